// Reading what another job writes at the same time.
#pragma once
#include <functional>
#include <string>

namespace switchyard::record {

/// "RUN is in use by …: what is complete is read" where `path` is a run folder on which a job works now, or lies in
/// one; else "".
std::string in_use(const std::string& path);

/// Calls read(last) until it returns true, a few times with longer and longer pauses. Between two tries a file that was
/// being written is whole, and a checkpoint that was being removed is gone; only in the last one `last` is true.
void read_again(const std::function<bool(bool last)>& read);

}  // namespace switchyard::record
