// What the exceptions of libraries mean to who runs the program.
#pragma once
#include <cstddef>
#include <exception>
#include <string>

#include "base/check.hpp"

namespace switchyard {

/// The Error that any exception amounts to: an Error itself; of std::filesystem and other calls of the system by their
/// errno, with the path; memory that is used up, of the host or of a device, Exit::memory; any other Exit::internal.
Error as_error(const std::exception& exception);
/// Throws Error{memory} unless `bytes` more can be had: before a library that follows null pointers where memory ends.
void require_memory(std::size_t bytes, const std::string& whose);

}  // namespace switchyard
