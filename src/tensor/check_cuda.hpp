// Errors of the CUDA runtime as errors of ours.
#pragma once

namespace switchyard {

/// Throws Error{memory} or Error{internal} unless `code`, a cudaError_t, is that of success.
void check_cuda(int code, const char* call);

}  // namespace switchyard
