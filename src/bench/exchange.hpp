// `switchyard bench exchange`: rows and bytes that cross between nodes, counted on made-up routing, beside their closed
// forms.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"

namespace switchyard::bench {

struct ExchangeOptions {
  int experts = 256;
  int top_k = 8;
  std::vector<int> limits{4, 3, 2};  ///< nodes that a token may use, in turn; each of them is used
  int tokens = 512;                  ///< of a rank
  int width = 16;
  std::string json;  ///< file to append a line a row of the table to
};

/// The closed forms, rows of a token across nodes of `nodes` on its way to `top_k` of `experts`: straight, one for each
/// node, and one for each of `limit` nodes.
double straight_rows(int nodes, int top_k);
double node_rows(int nodes, int experts, int top_k);
double limited_rows(int nodes, int limit);

/// For every number of nodes with as many ranks and as many experts each: what crosses on each of the four journeys
/// when rows go straight, by nodes, and gathered, each with and without sums home; and what goes on inside nodes on the
/// way out. Collective over MPI_COMM_WORLD.
Exit measure_exchange(const ExchangeOptions& options);

}  // namespace switchyard::bench
