// One text that two runs share exactly if they are the same run: contract C1 and C3 are compared with it.
#pragma once
#include <string>

namespace switchyard::record {

/// Lines "NAME SHA256" and a last line "total SHA256", over
///   run/NAME, evaluation/NAME   every variable of scope invariant, the latest row of each step, in step order;
///   tokens/NAME                 merged over the ranks' files by step, sequence, position;
///   checkpoint/PARAMETER/KIND   the tensors of the newest checkpoint in global order; checkpoint/state its counters
///   and biases.
/// Segments, chunks and the number of token files leave no trace. Of a single record file (results.h5): NAME, every
/// invariant variable. Reads a few MiB at a time.
std::string digest(const std::string& path);

}  // namespace switchyard::record
