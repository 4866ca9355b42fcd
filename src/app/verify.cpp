// `switchyard verify`: whether records are whole, or the sums that equal runs share.
#include "record/verify.hpp"

#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "config/values.hpp"
#include "record/digest.hpp"
#include "record/in_use.hpp"

namespace switchyard {
namespace {

struct VerifyOptions {
  std::string path;
  bool digest = false;
};

void print_note(const std::string& note) { std::fprintf(stderr, "switchyard: note: %s\n", note.c_str()); }

Exit verify_command(const VerifyOptions& options) {
  if (options.digest) {
    if (const std::string job = record::in_use(options.path); !job.empty()) print_note(job);
    std::fputs(record::digest(options.path).c_str(), stdout);
    return Exit::ok;
  }
  const record::Findings found = record::verify_path(options.path);
  for (const std::string& note : found.notes) print_note(note);
  if (!found.problems.empty()) throw Error(Exit::corrupt, join(found.problems, "\n"));
  std::printf("%s: sound\n", options.path.c_str());
  return Exit::ok;
}

}  // namespace

void add_verify(CLI::App& app, Command& command) {
  auto verify = std::make_shared<VerifyOptions>();
  CLI::App* sub =
      app.add_subcommand("verify", "Read everything of a run, checkpoint or record and check sums and laws");
  sub->add_option("path", verify->path, "run folder, checkpoint folder or HDF5 file")->required();
  sub->add_flag("--digest", verify->digest, "print the sums that equal runs share, instead of checking");
  sub->callback([&command, verify] { command.run = [verify] { return verify_command(*verify); }; });
}

}  // namespace switchyard
