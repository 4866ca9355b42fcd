#include "base/failure.hpp"

#include <cstdlib>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/files.hpp"

namespace switchyard {
namespace {

/// As files::throw_system_error says it.
Error of_system(int error, const std::string& action, const std::string& path) try {
  files::throw_system_error(error, action, path);
} catch (const Error& e) {
  return e;
}

Error no_memory(const std::string& why) {
  return {Exit::memory, "no memory is left (" + why +
                            "); take more ranks, nodes or memory, or a smaller model or batch: switchyard check says "
                            "what a rank needs"};
}

/// Whether text of Kokkos or of the device's library, which throw std::runtime_error for everything, tells of memory.
bool tells_of_memory(const std::string& text) {
  for (const char* words : {"failed to allocate", "out of memory", "cudaErrorMemoryAllocation"})
    if (text.find(words) != std::string::npos) return true;
  return false;
}

}  // namespace

Error as_error(const std::exception& exception) {
  const std::string text = exception.what();
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return *error;
  if (const auto* of_files = dynamic_cast<const std::filesystem::filesystem_error*>(&exception))
    return of_system(of_files->code().value(), "access", of_files->path1().string());
  if (const auto* of_calls = dynamic_cast<const std::system_error*>(&exception))
    return of_system(of_calls->code().value(), "go on: " + text, "");
  // std::length_error: more than a process can address.
  if (dynamic_cast<const std::bad_alloc*>(&exception) || dynamic_cast<const std::length_error*>(&exception) ||
      tells_of_memory(text))
    return no_memory(text);
  return {Exit::internal, text};
}

void require_memory(std::size_t bytes, const std::string& whose) {
  void* const volatile memory = std::malloc(bytes);  // volatile: compilers may leave out memory that nobody uses
  if (!memory) throw no_memory(whose + " wants " + std::to_string(bytes) + " bytes");
  std::free(memory);
}

}  // namespace switchyard
