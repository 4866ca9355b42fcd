// What both kinds of tensor files of a checkpoint share: slabs on the host, chunks, head and end of a file.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "checkpoint/manifest.hpp"
#include "hdf5/hdf5.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::checkpoint {

/// The datasets of a parameter, in the order of `kind`.
inline constexpr std::array<const char*, 3> tensor_kinds{"value", "first_moment", "second_moment"};
using HostPart = HostVector<float>;

Vector<float> slab(const ParameterSet& parameters, Placement placement, std::size_t kind);
/// Local unit number `unit` of a parameter, in the slab.
Vector<float> unit_of(const ParameterSet& parameters, const Parameter& p, std::size_t kind, std::int64_t unit);

hdf5::Extent to_extent(const std::vector<std::int64_t>& shape);
/// Chunks of about a million elements, cut along the first dimension of a unit; one expert or less each.
hdf5::Storage storage_of(hdf5::Extent extent, bool experts);

/// A dataset of a checkpoint: of its rows of floats there are as many as the file can hold. Throws Error{corrupt}
/// otherwise.
hdf5::Shape check_tensor(const hdf5::File& file, const std::string& name);

void start_file(hdf5::File& file, const char* content);
/// Flushes, closes, fsyncs and measures.
ManifestEntry finish_file(hdf5::File& file, const std::string& folder, const std::string& name);

}  // namespace switchyard::checkpoint
