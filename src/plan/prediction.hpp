// What a step of a configuration would take on some ranks and nodes of a measured machine: the task list that the
// trainer runs, priced and simulated. No MPI, no Kokkos.
#pragma once
#include <array>

#include "base/timers.hpp"
#include "config/config.hpp"
#include "plan/machine_description.hpp"
#include "plan/simulation.hpp"
#include "plan/traffic.hpp"

namespace switchyard::plan {

/// Where a configuration is to run.
struct Site {
  int ranks = 1, nodes = 1;
  MachineDescription machine;
  int ranks_per_node() const { return ranks / nodes; }
};

/// Which way between its ranks the machine knows nothing of, in a sentence; empty where it knows what is needed.
std::string lacking(const Site& site);
/// Throws Error{usage} where the ranks do not make that many equal nodes, or the machine knows nothing of a way that
/// they need.
void require_site(const Site& site);

struct Prediction {
  Seconds seconds;                              ///< of one step
  std::array<double, Timers::phases> phases{};  ///< s, as bench step tells them
  Bytes rows;                                   ///< of all journeys
  Bytes sums;                                   ///< of gradients, and of values with shards of the optimizer
  double flop = 0.0;                            ///< of the products of the busiest rank
};

/// The configuration as it would run there: layout.ranks_per_node is the site's.
Config at_site(const Config& config, const Site& site);

/// Under even routing, where the busiest experts, and what they are sent, have `load` times their even rows.
Prediction predict(const Config& config, const Site& site, double load = 1.0);

/// Whether communication can be hidden at all, forwards, where it is hardest: what experts compute for each byte across
/// nodes (inside one where there is one), beside the FLOP/s of a rank by its share of the link.
struct Hiding {
  double flop_per_byte = 0.0;  ///< of this layout: its exchange, matrices, element and groups; infinite without bytes
  double straight = 0.0;       ///< the closed form of rows that go straight
  double flop_per_s = 0.0;     ///< of the experts' products
  double bytes_per_s = 0.0;
  double needed() const { return bytes_per_s > 0.0 ? flop_per_s / bytes_per_s : 0.0; }
  bool possible() const { return flop_per_byte >= needed(); }
};
Hiding hiding(const Config& config, const Site& site);

}  // namespace switchyard::plan
