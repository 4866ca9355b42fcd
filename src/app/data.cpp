// `switchyard data build` and `switchyard data check`: text to corpora, and whether a corpus is sound.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "app/commands.hpp"
#include "config/values.hpp"
#include "data/build.hpp"
#include "data/check.hpp"

namespace switchyard {
namespace {

Exit build_command(data::BuildOptions options) {
  options.say = [](const std::string& line) { std::fprintf(stderr, "switchyard: %s\n", line.c_str()); };
  const data::BuildReport report = data::build_corpus(options);
  std::printf("%s: %lld documents, %lld bytes, %lld training tokens, %lld validation tokens, vocabulary %d\n",
              options.out.c_str(), static_cast<long long>(report.documents), static_cast<long long>(report.bytes),
              static_cast<long long>(report.train_tokens), static_cast<long long>(report.validation_tokens),
              report.vocabulary);
  return Exit::ok;
}

Exit check_command(const std::string& path) {
  const std::vector<std::string> problems = data::check_corpus(path);
  if (!problems.empty()) throw Error(Exit::corrupt, join(problems, "\n"));
  std::printf("%s: sound\n", path.c_str());
  return Exit::ok;
}

void add_build(CLI::App& group, Command& command) {
  auto build = std::make_shared<data::BuildOptions>();
  CLI::App* sub = group.add_subcommand("build", "Turn text into token shards with a manifest");
  sub->add_option("inputs", build->inputs,
                  "folders (of which .txt, .jsonl and .ndjson files are taken) and files of any ending; .jsonl and "
                  ".ndjson hold a document a line, any other file is one document")
      ->required();
  sub->add_option("--ending", build->endings, "take files of folders with this ending as text too; may be repeated")
      ->allow_extra_args(false);
  sub->add_flag("--all", build->all, "take every file of folders, hidden ones too");
  sub->add_option("--out", build->out, "folder to make; must not exist")->required();
  sub->add_option("--tokenizer", build->tokenizer, "bytes, bpe (trained on the inputs) or a SentencePiece .model file")
      ->capture_default_str();
  sub->add_option("--vocabulary", build->vocabulary, "pieces of a trained tokenizer")
      ->capture_default_str()
      ->check(number_in(257, 1 << 24));
  sub->add_option("--validation-share", build->validation_share, "share of the documents held out")
      ->capture_default_str()
      ->check(number_in(0.0, 1.0));
  sub->add_option("--seed", build->seed, "of the draw of held-out documents")->capture_default_str()->check(any_seed());
  sub->add_option("--tokenizer-bytes", build->tokenizer_bytes, "text that a tokenizer is trained on")
      ->capture_default_str()
      ->check(number_in(std::int64_t{1}, std::int64_t{1} << 40));
  sub->callback([&command, build, sub] {
    // Of another name data build itself says that nothing has it.
    if (build->tokenizer == "bytes" || (build->tokenizer != "bpe" && std::filesystem::exists(build->tokenizer)))
      refuse_given(*sub, {"--vocabulary", "--tokenizer-bytes"},
                   "--tokenizer " + build->tokenizer + " (only bpe trains a tokenizer)");
    command.run = [build] { return build_command(*build); };
  });
}

}  // namespace

void add_data(CLI::App& app, Command& command) {
  CLI::App* group = app.add_subcommand("data", "Make and check corpora");
  group->require_subcommand(1);
  add_build(*group, command);
  add_data_generate(*group, command);
  add_laboratory(*group, command);
  auto path = std::make_shared<std::string>();
  CLI::App* sub = group->add_subcommand("check", "Verify the sums and ranges of a corpus");
  sub->add_option("path", *path, "corpus folder, or an llm.c .bin shard")->required();
  sub->callback([&command, path] { command.run = [path] { return check_command(*path); }; });
}

}  // namespace switchyard
