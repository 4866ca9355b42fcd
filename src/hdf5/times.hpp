// HDF5 writes the time into one part of a file that no property reaches.
#pragma once
#include <string>

namespace switchyard::hdf5 {

/// Sets the times of the superblock's extension in a closed file to 0, so that equal contents are equal bytes
/// whenever they were written. Files without such times stay as they are; throws what files::throw_system_error throws.
void settle_times(const std::string& path);

}  // namespace switchyard::hdf5
