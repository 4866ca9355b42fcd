#include "app/machine_file.hpp"

#include <algorithm>
#include <filesystem>

#include "comm/agree.hpp"
#include "plan/forecast.hpp"

namespace switchyard {
namespace {

/// The text, or what is wrong at the place where the option was given.
std::string machine_text(const LoadResult& loaded) {
  try {
    return read_text(loaded.config.layout.machine);
  } catch (const Error& e) {
    const auto origin = loaded.origins.find("layout.machine");
    const ConfigError error{origin == loaded.origins.end() ? Origin{} : origin->second, "layout.machine", e.what()};
    throw Error(e.code(), error.text());
  }
}

std::vector<int> node_ranks(const comm::Nodes& nodes) {
  std::vector<int> ranks(static_cast<std::size_t>(nodes.count()), 0);
  for (const int node : nodes.of) ++ranks.at(static_cast<std::size_t>(node));
  return ranks;
}

}  // namespace

std::optional<plan::MachineDescription> read_machine(const LoadResult& loaded) {
  if (loaded.config.layout.machine.empty()) return {};
  return plan::machine_from_yaml(loaded.config.layout.machine, machine_text(loaded));
}

train::Predict predict_on_all(const comm::Communicator& world, LoadResult& loaded) {
  std::string& file = loaded.config.layout.machine;
  if (file.empty()) return {};
  std::string text;
  comm::on_root(world, [&] { text = machine_text(loaded); });
  text = comm::broadcast(world, text, 0);
  plan::MachineDescription machine;
  comm::agree(world, [&] {
    machine = plan::machine_from_yaml(file, text);
    file = std::filesystem::absolute(file).lexically_normal().string();
  });
  return [machine, name = file](const Config& config, const comm::Nodes& nodes) {
    const plan::Forecast found = plan::forecast(config, machine, node_ranks(nodes));
    return train::Forecast{name, found.seconds.step, found.seconds.hidden_share(), found.why_not};
  };
}

}  // namespace switchyard
