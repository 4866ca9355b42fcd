// links: train
// The program as users meet it: commands, messages once and whole, exit codes, nothing touched by a wrong call.
#include "config/presets.hpp"
#include "config/yaml.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

/// Arguments, and what is said of them.
constexpr std::pair<const char*, const char*> wrong_calls[] = {
    {"", "subcommand is required"},
    {"trian x", "unknown command trian (did you mean train?)"},
    {"train", "config is required"},
    {"check c.yaml --rnks 2", "--rnks"},
    {"check c.yaml --ranks 0", "--ranks"},
    {"data", "subcommand is required"},
    {"train missing.yaml", "missing.yaml: cannot be read (No such file or directory)"},
    {"resume missing", "missing: no run there (no such folder); give the folder of a run"},
    {"generate missing --prompt x", "missing: no run there (no such folder)"},
    {"verify missing", "missing is neither a run folder, nor a checkpoint, nor a file"},
    {"verify missing --digest", "missing is neither a run folder, nor a checkpoint, nor a file"},
    {"data build", "inputs is required"},
    {"data build a.txt", "--out is required"},
    {"data build missing.txt --out c", "missing.txt: byte 0: no such file or folder"},
    {"generate r --prompt x --temperature nan", "--temperature: \"nan\" is not a number"},
    {"data build a.txt --out c --validation-share nan", "--validation-share: \"nan\" is not a number"},
    {"check c.yaml --ranks 010", "\"010\" is not an integer; leading zeros"},
    {"check c.yaml --ranks 2147483647", "must be in [1, 16384]"},
    {"check c.yaml --ranks 99999999999999999999", "must be in [1, 16384]"},
    {"data generate --out c --seed 0x10", "\"0x10\" is not an integer"},
    {"data generate --out c --seed 18446744073709551616", "is out of range"},
    {"data generate --out c --seed -1", "--seed"},
    {"data generate --out c --keys 2147483647", "must be in [1, 50256]"},
    {"data laboratory f --experts 1,1e1", "\"1e1\" is not an integer; write 10"},
    {"data laboratory f --experts 1,,2", "\"\" is not an integer"},
    {"data laboratory f --experts 1 --aux 1", "--aux: has no effect with the folder's own router"},
    {"data generate --shape facts --samples 9 --out g", "--samples: has no effect with --shape facts"},
    {"data generate --facts 9 --out g", "--facts: has no effect with --shape bend"},
    {"data generate --shape fatcs --facts 9 --out g", "--shape: fatcs is not known; take one of knee, bend"},
    {"data laboratory f --experts 1 --router lerned --aux 1", "--router: lerned is not known; take one of oracle"},
    {"data laboratory f --experts 1 --router learned --balance axu --aux 1", "--balance: axu is not known"},
    {"sweep run s train.steps=2 --task 0", "overrides: has no effect with --task"},
    {"sweep run s --task 0 --jobs 5", "--jobs: has no effect with --task"},
    {"show --reference c.yaml", "config: has no effect with --reference"},
    {"data laboratory f --experts 4,1,4", "--experts gives a number twice"},
    {"train c.yaml --run ''", "--run is empty; give a text, or leave it out"},
    {"train ''", "config is empty; give a text\n"},
    {"data biuld a.txt", "unknown command biuld (did you mean build?); see switchyard data --help"},
    {"sweep stats x", "unknown command stats (did you mean status?)"},
    {"data check missing", "missing: no such file or folder; give a corpus folder or a shard"}};

TEST_F(Program, WrongCallsExitWithTwoAndSayWhy) {
  for (const auto& [arguments, message] : wrong_calls) {
    const Output o = run(arguments);
    EXPECT_EQ(o.code, 2) << arguments;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
    EXPECT_EQ(o.out, "") << arguments;
  }
}

// A folder, a text and a damaged shard where something else was meant: one message, the documented code, on 1 and 2
// ranks, and nothing is written.
TEST_F(Program, WhatIsNotARunIsSaidOnce) {
  fs::create_directory(folder_ / "empty");
  write("note.txt", "not a record\n");
  const std::string no_run = "empty: no run there (it has no config.yaml); give the folder of a run";
  for (const auto& [arguments, code, message] :
       {std::tuple("resume empty", 2, no_run), std::tuple("generate empty --prompt x", 2, no_run),
        std::tuple("verify empty", 2, std::string("empty is neither a run folder, nor a checkpoint, nor a file")),
        std::tuple("verify note.txt", 4, std::string("note.txt")),
        std::tuple("data check empty", 2, std::string("empty: no corpus there")),
        std::tuple("data check note.txt", 4, std::string("note.txt: has 13 bytes, but 1024 were expected"))})
    for (const int ranks : {0, 2}) {
      const Output o = run(arguments, ranks);
      EXPECT_EQ(o.code, code) << arguments << " on " << ranks << ": " << o.err;
      EXPECT_EQ(count(o.err, message), 1) << arguments << " on " << ranks << ": " << o.err;
      EXPECT_EQ(o.out, "") << arguments;
    }
  EXPECT_TRUE(fs::is_empty(folder_ / "empty"));
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(Program, ADamagedShardIsNamedOnce) {
  make_tiny();
  EXPECT_EQ(run("data check corpus").code, 0);
  std::string shard;
  for (const auto& file : fs::directory_iterator(folder_ / "corpus"))
    if (const std::string name = file.path().filename();
        name.starts_with("train") && name.find("documents") == name.npos)
      shard = name;
  std::string bytes = read(folder_ / "corpus" / shard);
  bytes.at(100) ^= 1;
  write("corpus/" + shard, bytes);
  const Output o = run("data check corpus");
  EXPECT_EQ(o.code, 4);
  EXPECT_EQ(o.err.find("switchyard: corpus/" + shard + ": sha256 "), 0u) << o.err;
  EXPECT_EQ(count(o.err, "\n"), 1) << o.err;
}

TEST_F(Program, PrintsWhatItIs) {
  const Output version = run("--version"), help = run("--help"), schema = run("schema"),
               reference = run("show --reference");
  for (const Output* o : {&version, &help, &schema, &reference}) EXPECT_EQ(o->code, 0);
  EXPECT_NE(version.out.find("commit"), std::string::npos);
  for (const char* command : {"train", "resume", "check", "show", "verify", "data", "bench", "generate", "schema"})
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
  EXPECT_NE(schema.out.find("assigned"), std::string::npos);
  EXPECT_TRUE(reference.out.starts_with(config_markdown() + presets_markdown() + "\n## Sweep files\n"));
}

TEST_F(Program, BadConfigurationIsSaidOnceBeforeAnythingIsTouched) {
  write("c.yaml", "moe:\n  n_expert: 8\ntrain:\n  grains: 5\n");
  for (const std::string command :
       {"check c.yaml moe.top_k=x", "train c.yaml moe.top_k=x", "bench step c.yaml moe.top_k=x"})
    for (const int ranks : {0, 2}) {
      const Output o = run(command, ranks);
      EXPECT_EQ(o.code, 2) << command;
      EXPECT_EQ(o.err.find("c.yaml:2:3: moe.n_expert: unknown key (did you mean moe.experts?)\n"
                           "c.yaml:4:11: train.grains: 5 does not divide train.batch 16"),
                0u)
          << o.err;
      EXPECT_EQ(count(o.err, "n_expert"), 1) << ranks;
      EXPECT_EQ(count(o.err, "command line: moe.top_k: \"x\" is not an integer"), 1) << ranks;
    }
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(Program, ShownConfigurationIsTheSameConfiguration) {
  write("c.yaml", "moe: {experts: 64}\n");
  const Output shown = run("show c.yaml train.learning_rate=3e-4");
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(shown.out.find("(c.yaml:1)"), std::string::npos);
  EXPECT_NE(shown.out.find("(command line)"), std::string::npos);
  const LoadResult back = load_text("shown", shown.out);
  EXPECT_TRUE(back.errors.empty());
  EXPECT_EQ(back.config.moe.experts, 64);
  EXPECT_EQ(back.config.train.learning_rate, 3e-4);
}

TEST_F(Program, CheckKnowsTheRanksAndTheCorpus) {
  write("c.yaml", "layout: {expert_parallel: 3}\n");
  Output o = run("check c.yaml model.vocabulary=64 --ranks 4");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(o.err.find("c.yaml:1:27: layout.expert_parallel: 3 does not divide the 4 ranks"), 0u) << o.err;
  o = run("check c.yaml model.vocabulary=64 --ranks 6");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("c.yaml: good for 6 ranks"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("note: the corpus was not checked"), std::string::npos) << o.out;
  EXPECT_EQ(run("check c.yaml --ranks 6").code, 2) << "the vocabulary is the corpus's, and that is missing";
  make_tiny();
  EXPECT_EQ(run("check tiny.yaml").code, 0);
  o = run("check tiny.yaml model.vocabulary=100");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "model.vocabulary is 100, but the corpus corpus has 257 tokens"), 1) << o.err;
  EXPECT_EQ(run("check tiny.yaml model.vocabulary=512 train.batch=40000 train.evaluate_every=0").code, 2)
      << "too few tokens";
}

}  // namespace
}  // namespace switchyard
