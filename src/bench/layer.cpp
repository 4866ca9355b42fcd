#include "bench/layer.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "base/median.hpp"
#include "bench/json_lines.hpp"
#include "bench/layer_rig.hpp"
#include "bench/serve.hpp"
#include "comm/agree.hpp"
#include "config/values.hpp"
#include "tensor/products/library.hpp"

namespace switchyard::bench {
namespace {

/// Milliseconds of each of n repetitions of `queued` times `run`, between moments of the queue, back to back.
std::vector<double> timed(const Queue& queue, int n, int queued, const std::function<void()>& run) {
  const std::vector<Event> moments(n + 1);
  queue.record(moments[0]);
  for (int i = 0; i < n; ++i) {
    for (int q = 0; q < queued; ++q) run();
    queue.record(moments[i + 1]);
  }
  queue.fence("switchyard::bench::layer");
  std::vector<double> ms;
  for (int i = 0; i < n; ++i) ms.push_back(1e3 * seconds_between(moments[i], moments[i + 1]) / queued);
  return ms;
}

/// Medians of the milliseconds of stages, by "experts forward". Moments after each, so a stage that the host is slow to
/// ask for counts what it waited.
nlohmann::ordered_json stage_ms(LayerRig& rig, int repetitions) {
  std::vector<std::string> names;
  std::map<std::string, std::vector<double>> ms;
  std::vector<Event> moments(64);
  for (int i = 0; i < repetitions; ++i) {
    names.clear();
    rig.queue().record(moments[0]);
    rig.pass([&](const Queue& queue, schedule::Stage stage, schedule::Direction direction) {
      names.push_back(name_of(stage) + " " + name_of(direction));
      queue.record(moments.at(names.size()));
    });
    rig.queue().fence("switchyard::bench::stages");
    for (std::size_t s = 0; s < names.size(); ++s)
      ms[names[s]].push_back(1e3 * seconds_between(moments[s], moments[s + 1]));
  }
  nlohmann::ordered_json j;
  for (const std::string& name : names) j[name] = median_of(ms[name]);
  return j;
}

nlohmann::ordered_json protocol(const LayerOptions& o, const LayerRig& rig) {
  nlohmann::ordered_json j;
  j["what"] = "layer", j["tokens"] = o.tokens, j["width"] = o.width, j["hidden"] = o.hidden;
  j["experts"] = o.experts, j["top_k"] = o.top_k, j["activation"] = format_value(o.activation);
  j["load"] = format_value(o.load), j["precision"] = format_value(o.precision);
  j["grains"] = o.grains, j["queued"] = o.queued, j["products"] = products::description();
  const auto [least, most] = std::minmax_element(rig.loads().begin(), rig.loads().end());
  j["least_load"] = *least, j["largest_load"] = *most, j["choices"] = std::to_string(rig.digest());
  j["flop"] = layer_flop(o), j["commit"] = record::program_commit();
  return j;
}

/// What was measured of a pass and of products, in turn.
void add_speed(nlohmann::ordered_json& report, const LayerOptions& options, const std::vector<double>& pass,
               const std::vector<double>& products) {
  const auto [least, most] = std::minmax_element(pass.begin(), pass.end());
  const double ms = median_of(pass), products_ms = median_of(products);
  report["ms"] = ms, report["ms_least"] = *least, report["ms_most"] = *most, report["products_ms"] = products_ms;
  report["tflops"] = layer_flop(options) / ms * 1e-9;
  report["products_tflops"] = layer_flop(options) / products_ms * 1e-9;
  report["share_of_products"] = products_ms / ms;
}

}  // namespace

Config layer_config(const LayerOptions& o) {
  check(o.tokens % o.grains == 0, Exit::usage,
        "--tokens is " + std::to_string(o.tokens) + ", no multiple of the " + std::to_string(o.grains) + " grains");
  check(o.experts <= o.width, Exit::usage,
        "--experts is " + std::to_string(o.experts) + ", more than --width " + std::to_string(o.width) +
            ": loads are forced by a number of the input for each expert");
  Config config;
  config.model.vocabulary = 64, config.model.width = o.width, config.model.blocks = config.model.heads = 1;
  config.model.context = o.tokens / o.grains, config.model.activation = o.activation;
  config.moe.experts = o.experts, config.moe.top_k = o.top_k, config.moe.hidden = o.hidden;
  config.train.batch = config.train.grains = o.grains, config.train.precision = o.precision;
  config.layout.threads = o.threads, config.layout.transport = TransportChoice::mpi;
  for (const Violation& violation : validate(config, 1))
    check(false, Exit::usage, "of the layer that was asked for, " + violation.key + ": " + violation.message);
  return config;
}

double layer_flop(const LayerOptions& o) {
  const double matrices = o.activation == Activation::swiglu ? 3.0 : 2.0;
  return 6.0 * matrices * double(o.tokens) * o.top_k * double(o.width) * double(o.hidden);
}

Exit measure_layer(const LayerOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const Config config = layer_config(options);
  JsonLines lines;
  lines.open(options.json);
  LayerRig rig(options, config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  rig.pass();
  const auto passes = [&](int n) { return timed(rig.queue(), n, options.queued, [&rig] { rig.pass(); }); };
  const auto alone = [&](int n) { return timed(rig.queue(), n, options.queued, [&rig] { rig.run_products(); }); };
  nlohmann::ordered_json report = protocol(options, rig);
  if (options.serve) {
    serve(world, report, {{"run", passes}, {"products", alone}});
    return Exit::ok;
  }
  std::vector<double> of_pass, of_products;
  for (int i = 0; i < options.warmup; ++i) passes(1), alone(1);
  for (int i = 0; i < options.repetitions; ++i) of_pass.push_back(passes(1)[0]), of_products.push_back(alone(1)[0]);
  add_speed(report, options, of_pass, of_products);
  report["repetitions"] = options.repetitions, report["stage_ms"] = stage_ms(rig, options.repetitions);
  std::printf("%s\n", report.dump().c_str());
  lines.add(report);
  return Exit::ok;
}

}  // namespace switchyard::bench
