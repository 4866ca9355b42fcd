#include "checkpoint/upcycle.hpp"

#include <optional>
#include <vector>

#include "base/activity.hpp"
#include "base/check.hpp"
#include "checkpoint/tensor_files.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "comm/agree.hpp"

namespace switchyard::checkpoint {
namespace {

/// A matrix of one expert, whole: rows times columns.
struct Network {
  std::vector<float> values;
  std::int64_t rows = 0, columns = 0;
};

/// The values of a dataset with its shape; nothing where the file has none.
struct Dataset {
  std::vector<float> values;
  hdf5::Extent extent;
};

std::optional<Dataset> read_values(const hdf5::File& file, const std::string& parameter) {
  const std::string name = parameter + "/" + tensor_kinds[0];
  if (!file.has(name)) return std::nullopt;
  Dataset found;
  found.extent = check_tensor(file, name).extent;
  found.values.resize(static_cast<std::size_t>(hdf5::elements(found.extent)));
  hdf5::read_rows(file.open_dataset(name), hdf5::Type::f32, 0, found.extent[0], found.values.data(),
                  file.path() + ":" + name);
  activity::progress();
  return found;
}

/// Chunk `c` of a matrix that is cut into `chunks` by its columns or its rows, and back.
template <class Visit>
void for_each_of_chunk(const Network& whole, const Parameter& p, std::int64_t c, int chunks, const Visit& visit) {
  const std::int64_t rows = p.chunks_of_input ? whole.rows : whole.rows / chunks,
                     columns = p.chunks_of_input ? whole.columns / chunks : whole.columns;
  const std::int64_t first = p.chunks_of_input ? c * columns : c * rows * whole.columns;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) visit(i * columns + j, first + i * whole.columns + j);
}

/// "blocks.1.moe.experts.up.weight" with the middle of another part.
std::string of_feed_forward(const std::string& name) {
  const std::string part = "moe.experts.";
  const auto at = name.find(part);
  expect(at != name.npos, "a tensor of experts");
  return name.substr(0, at) + "feed_forward." + name.substr(at + part.size());
}

class Upcycling {
 public:
  Upcycling(const std::string& folder, ParameterSet& parameters)
      : folder_(folder), parameters_(parameters), dense_(hdf5::File::open(folder + "/dense.h5")) {}

  void read() {
    for (const Parameter& p : parameters_.all()) {
      if (!p.adds_to.empty() || p.role == Role::router || p.local_units() == 0) continue;
      p.placement == Placement::expert ? fill_experts(p) : fill(p);
    }
  }

 private:
  void put(const Parameter& p, Index unit, const std::vector<float>& values) {
    Kokkos::deep_copy(Vector<float>(parameters_.value(p.id) + unit * p.stride, p.unit),
                      HostVector<const float>(values.data(), values.size()));
  }

  void fill(const Parameter& p) {
    const std::optional<Dataset> source = read_values(dense_, p.name);
    check(source && source->extent == to_extent(p.shape), Exit::usage,
          dense_.path() + " has no " + p.name + " of this shape; upcycle from a run of the same model");
    put(p, 0, source->values);
  }

  /// Of a dense block; else of a mixture of one expert, whose chunks are put together.
  Network network_of(const Parameter& p) {
    const std::int64_t rows = p.shape[1] * (p.chunks_of_input ? 1 : p.chunks),
                       columns = p.shape[2] * (p.chunks_of_input ? p.chunks : 1);
    Network whole{{}, rows, columns};
    if (const auto dense = read_values(dense_, of_feed_forward(p.name))) {
      check(dense->extent == hdf5::Extent{hsize_t(rows), hsize_t(columns)}, Exit::usage,
            dense_.path() + ":" + of_feed_forward(p.name) + " is not of the width of an expert; set moe.hidden to it");
      whole.values = dense->values;
      return whole;
    }
    ExpertFile of_block;
    of_block.block = p.block;
    const hdf5::File file = hdf5::File::open(folder_ + "/" + of_block.name());
    const auto one = read_values(file, p.name);
    check(one && one->values.size() == static_cast<std::size_t>(rows * columns), Exit::usage,
          file.path() + ": " + p.name + " is not of one expert of this width; upcycle from a dense run");
    const int chunks = static_cast<int>(one->extent[0]);
    whole.values.resize(one->values.size());
    const std::size_t unit = one->values.size() / static_cast<std::size_t>(chunks);
    for (int c = 0; c < chunks; ++c)
      for_each_of_chunk(whole, p, c, chunks, [&](std::int64_t in_chunk, std::int64_t in_whole) {
        whole.values[in_whole] = one->values[c * unit + in_chunk];
      });
    return whole;
  }

  void fill_experts(const Parameter& p) {
    const Network whole = network_of(p);
    std::vector<float> unit(static_cast<std::size_t>(p.unit));
    for (Index u = 0; u < p.local_units(); ++u) {
      for_each_of_chunk(whole, p, p.held[u] % p.chunks, p.chunks,
                        [&](std::int64_t in_chunk, std::int64_t in_whole) { unit[in_chunk] = whole.values[in_whole]; });
      put(p, u, unit);
    }
  }

  const std::string& folder_;
  ParameterSet& parameters_;
  const hdf5::File dense_;
};

}  // namespace

TrainState load_upcycled(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters) {
  check_files(folder, groups.world);
  TrainState state;
  comm::agree(groups.world, [&] {
    Upcycling(folder, parameters).read();
    state = read_state(folder);
  });
  return state;
}

}  // namespace switchyard::checkpoint
