// What a machine can do, as `switchyard bench machine` measured it and `switchyard plan` reads it. No MPI, no Kokkos.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schedule/task.hpp"

namespace switchyard::plan {

/// A product of rows with one matrix (N, K), its gradient by the rows, and by the matrix (tensor/products).
enum class Product { forward, input_gradient, weight_gradient, count };
const std::string& name_of(Product product);

/// FLOP/s of one rank while all others multiply too, on a grid of shapes: rows of a segment, K (inner), N (columns).
struct ProductRates {
  std::vector<std::int64_t> rows, inner, columns;                                    ///< each ascending
  std::array<std::vector<double>, static_cast<std::size_t>(Product::count)> gflops;  ///< [row][inner][column], 1e9/s
  /// Between points of the grid the seconds of one FLOP are interpolated in the logarithms of the shape; beyond its
  /// ends they are those of the end.
  double flop_per_s(Product product, double of_rows, double of_inner, double of_columns) const;
};

/// Messages between ranks: of one node (near) each rank has a way of its own, between nodes (far) all ranks of a node
/// share one; as fast in either direction at the same time.
struct Way {
  bool by_window = false;    ///< the transport that was measured: memory that a node shares; else messages of MPI
  double latency = 0.0;      ///< s, of a small message
  double bytes_per_s = 0.0;  ///< of rows, one direction
  double collective = 0.0;   ///< s, a small sum over all ranks that were measured
  double buffer = 0.0;  ///< bytes that move while nobody polls, and that a small message waits behind; not by window,
                        ///< where a poll copies all there is and nothing waits
  double poll = 0.0;    ///< s that a look after rows on their way takes from computing, copies included
};

/// Seconds that a stage takes beside its products for one of the elements that it reads or writes (plan/work.hpp).
struct StageRates {
  double forward = 0.0;  ///< also of stages that have no direction, and of what is made again
  double backward = 0.0;
};

struct MachineDescription {
  std::string commit, host, date, products_by, reference;
  int ranks = 1, nodes = 1, threads = 1, repetitions = 1;
  double memory = 0.0;  ///< bytes of one node
  ProductRates products;
  std::array<StageRates, static_cast<std::size_t>(schedule::Stage::count)> stages;
  std::optional<Way> near, far;    ///< nothing where it was not measured: one rank a node, one node
  std::optional<Way> near_by_mpi;  ///< where near is by window: what layout.transport mpi and MPI's own exchange take
};

/// Stages that take time of a rank by themselves, in order; those of the others is messages' or nothing to speak of.
const std::vector<schedule::Stage>& timed_stages();

/// As YAML, with units.
std::string to_yaml(const MachineDescription& machine);
/// Of the present format or the one before, whose ways are all by MPI. Throws Error{usage} with all complaints, each
/// with its place in `name`.
MachineDescription machine_from_yaml(const std::string& name, const std::string& text);

/// A machine that was measured several times: of every number the median, of an even number of them the mean of the two
/// in the middle; the rest is the first one's. Throws Error{usage} where they are not of the same ranks, nodes,
/// threads, ways and shapes of products, which it names by `names`.
MachineDescription middle_of(const std::vector<MachineDescription>& machines, const std::vector<std::string>& names);

}  // namespace switchyard::plan
