// The part of a training step that asks nothing of the host, captured once as a graph and asked for as one
// (train.graph).
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

/// "steps are captured as one CUDA graph (train.graph auto)", or why not, for the log.
std::string graph_text(const Config& config, int ranks);

/// Whether a task is part of what is captured.
bool is_captured(const schedule::Task& task);

}  // namespace switchyard::train
