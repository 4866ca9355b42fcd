// `switchyard show`: a configuration resolved, or the reference of all options.
#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "config/presets.hpp"
#include "config/yaml.hpp"
#include "sweep/sweep.hpp"

namespace switchyard {
namespace {

struct ShowOptions {
  std::string config;
  std::vector<std::string> overrides;
  bool reference = false;
};

Exit show_config(const ShowOptions& options) {
  if (options.reference) {
    std::fputs((config_markdown() + presets_markdown() + sweep::sweep_markdown()).c_str(), stdout);
    return Exit::ok;
  }
  LoadResult loaded;
  if (!options.config.empty()) loaded = load(options.config, options.overrides);
  add_violations(loaded, 0, Use::count);  // nothing is trained
  throw_errors(loaded);
  std::fputs(dump(loaded.config, loaded.origins).c_str(), stdout);
  return Exit::ok;
}

}  // namespace

void add_show(CLI::App& app, Command& command) {
  auto show = std::make_shared<ShowOptions>();
  CLI::App* sub = app.add_subcommand("show", "Print a configuration resolved, with the origin of every value");
  sub->add_option("config", show->config, "configuration file; without one, the defaults");
  sub->add_option("overrides", show->overrides, "section.key=value");
  sub->add_flag("--reference", show->reference, "print the reference of all options in Markdown");
  sub->callback([&command, show, sub] {
    if (show->reference) refuse_given(*sub, {"config", "overrides"}, "--reference");
    command.run = [show] { return show_config(*show); };
  });
}

}  // namespace switchyard
