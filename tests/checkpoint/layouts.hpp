// Checkpoints of every layout of up to all ranks: which there are, and saving and loading them.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "checkpoint/manifest.hpp"
#include "comm/collectives.hpp"
#include "config/yaml.hpp"
#include "model_fixture.hpp"
#include "support/small_config.hpp"

namespace switchyard::checkpoint::testing {

inline const comm::Communicator& world() {
  // Never freed: it would outlive MPI_Finalize.
  static const auto* all = new comm::Communicator(comm::Communicator::duplicate(MPI_COMM_WORLD));
  return *all;
}

/// A folder that all ranks share and rank 0 removes.
class SharedFolder {
 public:
  SharedFolder() {
    std::string path(256, '\0');
    if (world().rank() == 0) {
      path = (std::filesystem::temp_directory_path() / "switchyard.XXXXXX").string();
      if (!mkdtemp(path.data())) std::abort();
      path.resize(256);
    }
    comm::broadcast(world(), path.data(), 256, 0);
    path_ = path.c_str();
  }
  ~SharedFolder() {
    MPI_Barrier(world().handle());
    if (world().rank() == 0) std::filesystem::remove_all(path_);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Shape {
  int ranks, expert_parallel;
  bool sharded = false;
  unsigned placed = 0;  ///< seed of a placement; 0 for none
  std::vector<TensorSpec> (*tensors)(int experts) = fixtures::tensors_of;
  int team = 1;  ///< layout.expert_tensor_parallel
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.ranks << " ranks, EP " << shape.expert_parallel << " in teams of " << shape.team
             << (shape.sharded ? ", sharded" : "") << ", placement " << shape.placed;
}

inline std::vector<Shape> shapes() {
  std::vector<Shape> list;
  for (int n = 1; n <= world().size(); ++n)
    for (const int ep : test::degrees(n)) list.push_back({n, ep});
  return list;
}

inline std::unique_ptr<test::Ranks> ranks_of(const Shape& shape, int experts) {
  return fixtures::ranks_of(shape.ranks, shape.expert_parallel, shape.tensors(experts), shape.sharded, shape.placed,
                            shape.team);
}

inline void save(const Shape& shape, const std::string& run, int experts, std::int64_t step) {
  if (const auto ranks = ranks_of(shape, experts)) {
    ParameterSet& set = ranks->parameters;
    fixtures::fill(set);
    save_checkpoint(run, fixtures::small_config(), ranks->groups, set, fixtures::state_of(step));
  }
  MPI_Barrier(world().handle());
}

/// Differences after a load; −1 on ranks outside the shape. Errors come back as their exit code, times −100.
inline std::int64_t load(const Shape& shape, const std::string& run, int experts, std::string* message = nullptr) {
  std::int64_t result = -1;
  if (const auto ranks = ranks_of(shape, experts)) {
    ParameterSet& set = ranks->parameters;
    try {
      const TrainState state = load_checkpoint(latest_checkpoint(run), ranks->groups, set);
      const TrainState expected = fixtures::state_of(state.step);
      result = fixtures::count_differences(set);
      EXPECT_EQ(state.tokens, expected.tokens);
      EXPECT_EQ(state.bias, expected.bias);
      EXPECT_EQ(state.corpus_sha256, "corpus");
      EXPECT_EQ(state.options, invariant_options(fixtures::small_config()));
    } catch (const Error& error) {
      result = -100 * static_cast<int>(error.code());
      if (message) *message = error.what();
    }
  }
  MPI_Barrier(world().handle());
  return result;
}

/// Names, sizes and sums of the tensor files of the newest checkpoint.
inline std::string sums_of_tensors(const std::string& run) {
  const std::string path = latest_checkpoint(run) + "/manifest.json";
  std::string all;
  for (const ManifestEntry& entry : parse_manifest(files::read_text(path), path))
    if (entry.name.ends_with(".h5")) all += entry.name + " " + std::to_string(entry.bytes) + " " + entry.sha256 + "\n";
  return all;
}

}  // namespace switchyard::checkpoint::testing
