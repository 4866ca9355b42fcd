// HDF5 crashes, or never comes back, on some damaged files: another process reads a foreign file first.
#pragma once
#include <string>

namespace switchyard::hdf5 {

/// Has everything but the rows of a file read by a process of its own: objects, types, attributes, indices of chunks.
/// Throws Error{corrupt} where that process dies of it, needs more than 2 s of processor time or 2 GB, or finds an
/// attribute that cannot be read; Error{memory} where it is killed. What HDF5 refuses in order is left to the caller.
///
/// The process is this program started once more. It answers before main(), so that it works the same in every program
/// that links this library, needs no MPI, and serves all files of this process until there are no more for 2 s.
void probe(const std::string& path);

}  // namespace switchyard::hdf5
