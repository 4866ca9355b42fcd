// The ranks of a test, and the expert-parallel degrees that they allow.
#pragma once
#include <mpi.h>

#include <vector>

#include "config/config.hpp"

namespace switchyard::test {

inline int world_size() {
  int ranks = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  return ranks;
}

inline int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

inline LayoutConfig expert_parallel(int degree) {
  LayoutConfig options;
  options.expert_parallel = degree;
  return options;
}

/// Expert-parallel degrees of a run on `ranks` ranks.
inline std::vector<int> degrees(int ranks = world_size()) {
  std::vector<int> all;
  for (int d = 1; d <= ranks; ++d)
    if (ranks % d == 0) all.push_back(d);
  return all;
}

}  // namespace switchyard::test
