// Folders that are made: under a name that nobody else has, whole or not at all, never over what stands there.
#pragma once
#include <string>
#include <vector>

#include "base/lock.hpp"

namespace switchyard::files {

/// The first name in a folder that is to hold something new; "" where nothing is in the way: the folder is missing, or
/// empty but for hidden names, the regular files `ours`, and folders called as one of `parts` that are empty
/// themselves.
std::string first_entry(const std::string& folder, const std::vector<std::string>& ours,
                        const std::vector<std::string>& parts);

/// A folder that is filled beside its name, under aside_name(): it takes the name when it is whole, and goes with what
/// is in it where that fails. .NAME.lock keeps others from making the same one meanwhile; what a job that was killed
/// has left beside the name goes first.
class NewFolder {
 public:
  /// Throws Error{busy} where another job makes it now, Error{usage} where it stands already, and what
  /// throw_system_error throws.
  explicit NewFolder(const std::string& name);
  NewFolder(const NewFolder&) = delete;
  ~NewFolder();
  const std::string& aside() const { return aside_; }
  void finish();

 private:
  void make_above(const std::string& folder);
  void remove_left(const std::string& above, const std::string& name) const;
  void remove_made();
  FileLock lock_;
  std::string name_, aside_;
  std::vector<std::string> made_;  ///< folders above, outermost first
};

}  // namespace switchyard::files
