// A training step without the host, captured once as two graphs and asked for as these (train.graph): the passes, and
// what ends a step. Between the two the host indexes the tokens, while the device works.
#pragma once
#include <string>

#include "config/config.hpp"
#include "config/layout.hpp"
#include "schedule/task.hpp"
#include "tensor/graph.hpp"

namespace switchyard::train {

/// Why a run's steps cannot be captured; "" where they can: one rank and lane, nothing between forward and backward
/// that needs the loads of the whole batch on the host, no random numbers of a step.
std::string fault_of_capture(const Config& config, int ranks);

/// Whether steps are captured: on a device, unless train.graph is off.
bool captures(const Config& config, int ranks);

/// Steps that are done task by task before one is captured: then rooms and workspaces have their sizes.
constexpr int steps_before_capture = 2;

/// "steps are captured as CUDA graphs (train.graph auto)", or why not, for the log.
std::string graph_text(const Config& config, int ranks);

/// Whether a task belongs to the passes, forward and backward; to what ends the step: the gradient of the embedding,
/// which waits for the index of its tokens, and sums of gradients.
bool in_passes(const schedule::Task& task);
bool in_end(const schedule::Task& task);

}  // namespace switchyard::train
