// `switchyard plan`: what a configuration comes to, without training it.
#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "config/yaml.hpp"
#include "plan/accounting.hpp"

namespace switchyard {
namespace {

struct PlanOptions {
  std::string config;
  std::vector<std::string> overrides;
  bool parameters = false;
  bool json = false;
};

/// Also of models that cannot be trained.
Exit print_parameters(const PlanOptions& options) {
  LoadResult loaded = load(options.config, options.overrides);
  add_violations(loaded, 0, Use::count);
  throw_errors(loaded);
  check(loaded.config.model.vocabulary > 0, Exit::usage,
        options.config + ": model.vocabulary: is 0 (parameters are counted without a corpus to take it from); set it");
  const plan::Accounting accounting = plan::count_parameters(loaded.config);
  std::fputs((options.json ? accounting_json(accounting) : accounting_text(accounting)).c_str(), stdout);
  return Exit::ok;
}

}  // namespace

void add_plan(CLI::App& app, Command& command) {
  auto plan = std::make_shared<PlanOptions>();
  CLI::App* sub = app.add_subcommand("plan", "Say what a configuration comes to, without training it");
  sub->add_option("config", plan->config, "configuration file")->required();
  sub->add_option("overrides", plan->overrides, "section.key=value");
  sub->add_flag("--parameters", plan->parameters, "count the parameters, all and active, by part")->required();
  sub->add_flag("--json", plan->json, "as one line of JSON");
  sub->callback([&command, plan] { command.run = [plan] { return print_parameters(*plan); }; });
}

}  // namespace switchyard
