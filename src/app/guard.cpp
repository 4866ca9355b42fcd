// `switchyard guard`, hidden: what the only rank of a node starts beside itself (train/guard.hpp).
#include "train/guard.hpp"

#include <memory>

#include "app/commands.hpp"

namespace switchyard {

void add_guard(CLI::App& app, Command& command) {
  auto files = std::make_shared<train::GuardFiles>();
  CLI::App* sub = app.add_subcommand("guard", "Tell of the end of a rank; started by ranks, not by hand")->group("");
  sub->add_option("memory", files->memory, "descriptor")->required()->check(number_in(0, 1 << 20));
  sub->add_option("letter", files->letter, "descriptor")->required()->check(number_in(0, 1 << 20));
  sub->add_option("ready", files->ready, "descriptor")->required()->check(number_in(0, 1 << 20));
  sub->callback([&command, files] { command.run = [files] { return train::stand_guard(*files); }; });
}

}  // namespace switchyard
