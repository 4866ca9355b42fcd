// `switchyard schema`: what records hold.
#include "record/schema.hpp"

#include <cstdio>

#include "app/commands.hpp"

namespace switchyard {

void add_schema(CLI::App& app, Command& command) {
  app.add_subcommand("schema", "Print the record schema in Markdown")->callback([&command] {
    command.run = [] {
      std::fputs(record::schema_markdown().c_str(), stdout);
      return Exit::ok;
    };
  });
}

}  // namespace switchyard
