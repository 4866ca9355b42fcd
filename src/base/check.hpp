// Errors that end a run, and the exit code each of them gives.
#pragma once
#include <source_location>
#include <stdexcept>
#include <string>

namespace switchyard {

/// Exit codes of the program; they reach the batch system through an equal return of every rank or MPI_Abort.
enum class Exit : int {
  ok = 0,
  internal = 1,        ///< a defect of the program
  usage = 2,           ///< bad configuration, command line or input; a file that may not be read or written
  non_finite = 3,      ///< loss or gradient is not finite
  corrupt = 4,         ///< a checkpoint, record or corpus is damaged
  storage = 5,         ///< the disk is full or fails, or standard output cannot be written
  busy = 6,            ///< another job holds the folder
  layout_variant = 7,  ///< a product fails the probe of `determinism: layout`
  memory = 8,          ///< the host or the device has no memory left
  stuck = 9,           ///< a rank died or made no progress for layout.timeout; resume goes on from the last checkpoint
  again = 75,          ///< stopped early after a checkpoint: run me again
};

/// An error with a message for the user and the exit code of the program.
/// Message form: "<what is wrong> (<why it is wrong>); <what to do>".
class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Exit code() const { return code_; }

 private:
  Exit code_;
};

/// An error that every rank throws alike at the same place: rank 0 prints it, all ranks end in order with its code. Any
/// other error ends the job by MPI_Abort, since the other ranks do not know of it.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Throws Error{internal} with the place of the call: for what only a defect of this program can break.
inline void expect(bool good, const char* what, std::source_location at = std::source_location::current()) {
  if (!good)
    throw Error(Exit::internal, std::string(at.file_name()) + ":" + std::to_string(at.line()) + ": expected " + what);
}

/// Throws Error{code} for what users or machines can break.
inline void check(bool good, Exit code, const std::string& message) {
  if (!good) throw Error(code, message);
}

}  // namespace switchyard
