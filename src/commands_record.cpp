// `switchyard schema` and `switchyard verify`: what records are, and whether they are whole.
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "record/schema.hpp"

namespace switchyard {

void add_record_commands(CLI::App& app, Command& command) {
  app.add_subcommand("schema", "Print the record schema in Markdown")->callback([&command] {
    command.run = [] {
      std::fputs(record::schema_markdown().c_str(), stdout);
      return Exit::ok;
    };
  });
}

}  // namespace switchyard
