// What both kinds of tensor files of a checkpoint share: units of slabs, chunks, head and end of a file, and going on
// after a failure.
#pragma once
#include <array>
#include <exception>
#include <string>
#include <vector>

#include "checkpoint/manifest.hpp"
#include "hdf5/hdf5.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::checkpoint {

/// The datasets of a parameter, in the order of `kind`.
inline constexpr std::array<const char*, 3> tensor_kinds{"value", "first_moment", "second_moment"};

/// Where local unit number `unit` of a parameter is in the slab of values.
inline Range unit_of(const Parameter& p, std::int64_t unit) {
  const Index first = p.offset + unit * p.stride;
  return {first, first + p.unit};
}

/// Does what it is given until something fails; from then on nothing. Who writes receives all that others send, whether
/// it can be written or not.
class Attempts {
 public:
  template <class F>
  void operator()(const F& work) {
    if (failure_) return;
    try {
      work();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  /// Throws what failed.
  void end() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
};

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
