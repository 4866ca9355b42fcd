// What a rank trains with: groups, exchange, parameters, model, gradients — everything but data and records.
#pragma once
#include <memory>

#include "base/polling.hpp"
#include "comm/exchange.hpp"
#include "comm/groups.hpp"
#include "config/config.hpp"
#include "model/transformer.hpp"
#include "schedule/generators.hpp"
#include "tensor/graph.hpp"
#include "tensor/room.hpp"
#include "train/norm.hpp"
#include "train/optimizer.hpp"
#include "train/reduce.hpp"

namespace switchyard::train {

/// Built once from a resolved configuration (model.vocabulary > 0). Collective over `world`.
struct Machine {
  Machine(const Config& config, comm::Communicator world);
  /// The bucket whose first block that is.
  const Range& bucket_from(int block) const;
  /// Which way rows go, and on what nodes, for the log.
  std::string way() const;
  /// Where all works that is not one of several tasks at a time.
  const Queue& queue() const { return queues.front(); }

  Config config;
  comm::Groups groups;
  comm::Exchanges exchanges;
  Timers timers;
  Pace pace;                  ///< of polls while a step computes, and what it has learnt of them
  std::vector<Queue> queues;  ///< those of the tasks
  ParameterSet parameters;
  std::unique_ptr<model::Transformer> model;
  Gradients gradients;
  NormMemory norm_memory;
  Optimizer optimizer;
  std::vector<Range> buckets;         ///< of gradients
  std::vector<schedule::Task> tasks;  ///< of a training step
  bool captures;                      ///< whether steps are captured, once memory has its sizes
  Graph passes, end;                  ///< what was captured of it
  int eager_steps = 0;                ///< done so far
};

}  // namespace switchyard::train
