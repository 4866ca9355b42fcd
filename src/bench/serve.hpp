// What a driver asks for line by line, so that it can alternate this program with another one while both stay ready.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace switchyard::bench {

/// Does something n times; milliseconds of each. The same on all ranks.
using Measure = std::function<std::vector<double>(int n)>;

/// Rank 0 prints `ready` with `"ready": true`; then it reads lines "NAME N": all ranks call measures[NAME](N), and it
/// prints {"NAME": [ms, …]}. Ends with the input or the line "quit"; to any other line it prints {"error": "…"}.
/// Collective.
void serve(const comm::Communicator& world, nlohmann::ordered_json ready,
           const std::map<std::string, Measure>& measures);

}  // namespace switchyard::bench
