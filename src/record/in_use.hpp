// Reading what someone names, while another job may write it.
#pragma once
#include <functional>
#include <string>

namespace switchyard::record {

/// What lies at a path that someone names.
enum class Recorded { run, checkpoint, file };
/// Throws Error{usage} where it is none of these, and what files::kind_at throws.
Recorded what_is(const std::string& path);

/// "RUN is in use by …: what is complete is read" where `path` is a run folder on which a job works now, or lies in
/// one; else "".
std::string in_use(const std::string& path);

/// Calls read() once where no job works on `path`. Else until it returns true and throws nothing, a few times with
/// longer and longer pauses: between two, a file that was being written is whole, and a checkpoint that was being
/// removed is gone. Returns how often it called; throws what the last call throws, and at once what asks for more
/// memory.
int read_again(const std::string& path, const std::function<bool()>& read);

}  // namespace switchyard::record
