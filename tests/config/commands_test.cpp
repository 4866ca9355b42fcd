// links: train
// Commands against each other and against plain arithmetic: the ends of every number that they take, files that are
// none, one output however many ranks wait, tables that agree, texts that go on as they began.
#include <sys/stat.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/timers.hpp"
#include "config/estimate.hpp"
#include "config/yaml.hpp"
#include "support/json_lines.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class Commands : public Program {
 protected:
  /// Runs a command through a script of this text, in which "$@" is the command.
  Output run_through(const std::string& script, const std::string& arguments) {
    write("through", "#!/bin/sh\n" + script + "\n");
    fs::permissions(folder_ / "through", fs::perms::owner_all);
    wrapper_ = "./through";
    const Output o = run(arguments);
    wrapper_.clear();
    return o;
  }
};

/// An option of a command, and the numbers that it takes; refused without its command ever running.
struct Numbers {
  const char *command, *option, *lowest, *below, *highest, *above;
};

const char* const learned = "data laboratory missing --experts 1 --router learned --balance ";
constexpr const char* largest = "18446744073709551615";

const Numbers numbers[] = {
    {"check missing.yaml", "--ranks", "1", "0", "16384", "16385"},
    {"generate missing --prompt x", "--tokens", "1", "0", "1048576", "1048577"},
    {"generate missing --prompt x", "--temperature", "0", "-1e-300", "100", "100.00000000000001"},
    {"generate missing --prompt x", "--seed", "0", "-1", largest, "18446744073709551616"},
    {"bench step missing.yaml", "--warmup", "0", "-1", "1048576", "1048577"},
    {"bench step missing.yaml", "--repetitions", "1", "0", "1048576", "1048577"},
    {"data build missing.txt --out c", "--validation-share", "0", "-1e-300", "1", "1.0000000000000002"},
    {"data build missing.txt --out c", "--seed", "0", "-1", largest, "18446744073709551616"},
    {"data build missing.txt --out c --tokenizer bpe", "--vocabulary", "257", "256", "16777216", "16777217"},
    {"data build missing.txt --out c --tokenizer bpe", "--tokenizer-bytes", "1", "0", "1099511627776", "1099511627777"},
    {"data generate --out here", "--tasks", "2", "1", "4096", "4097"},
    {"data generate --out here --tasks 2", "--keys", "1", "0", "", "50257"},
    {"data generate --out here --tasks 2", "--values", "", "0", "", "50257"},
    {"data generate --out here", "--samples", "1", "0", "715827882", "715827883"},
    {"data generate --out here", "--seed", "0", "-1", largest, "18446744073709551616"},
    {"data generate --out here --shape facts", "--facts", "1", "0", "", "50257"},
    {"data laboratory missing", "--experts", "1,2", "1,0", "16384,1", "1,16385"},
    {"data laboratory missing --experts 1", "--samples", "0", "-1", "715827882", "715827883"},
    {"data laboratory missing --experts 1 --model mlp", "--hidden", "1", "0", "4096", "4097"},
    {"data laboratory missing --experts 1", "--exposures", "1", "0", "16777216", "16777217"},
    {"data laboratory missing --experts 1", "--rate", "0", "-1e-300", "1e6", "1000000.0000000001"},
    {learned, "aux --aux", "0", "-1e-300", "1e6", "1000000.0000000001"},
    {learned, "free --bias-rate", "0", "-1e-300", "1e6", "1000000.0000000001"},
    {learned, "none --router-rate", "0", "-1e-300", "1e6", "1000000.0000000001"},
    {"sweep run missing", "--jobs", "1", "0", "1024", "1025"},
    {"sweep run missing", "--task", "0", "-1", "2147483647", "2147483648"},
    {"selfcheck --print", "--threads", "", "0", "", "1025"},
    {"selfcheck --print", "--ranks", "", "0", "", "16385"},
};

// Where the last good number passes, the command says that what it works on is not there, or is there already.
TEST_F(Commands, NumbersEndWhereTheySayTheyEnd) {
  write("here", "");
  for (const auto& [command, option, lowest, below, highest, above] : numbers) {
    const std::string head = std::string(command) + " " + option + " ", name(std::strstr(option, "--"));
    for (const std::string bad : {below, above}) {
      const Output o = run(head + bad);
      EXPECT_EQ(o.code, 2) << head << bad;
      EXPECT_EQ(count(o.err, name), 1) << head << bad << ": " << o.err;
      EXPECT_EQ(count(o.err, "is out of range; must be in ["), 1) << head << bad << ": " << o.err;
    }
    for (const std::string good : {lowest, highest}) {
      if (good.empty()) continue;
      const Output o = run(head + good);
      EXPECT_EQ(o.code, 2) << head << good;
      EXPECT_EQ(count(o.err, "must be in"), 0) << head << good << ": " << o.err;
      EXPECT_EQ(count(o.err, "missing") + count(o.err, "here exists already"), 1) << head << good << ": " << o.err;
    }
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 3) << "here, out and err";
}

// What is given for a configuration may be anything.
TEST_F(Commands, WhatIsNoConfigurationIsSaidOnce) {
  fs::create_directory(folder_ / "folder");
  fs::create_symlink("loop", folder_ / "loop");
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  write("file", "");
  const std::string longer(256, 'n');
  for (const std::string command : {"show", "check", "train", "bench step"})
    for (const auto& [file, why] : {std::pair<std::string, const char*>{"folder", "it is a folder"},
                                    {"loop", "Too many levels of symbolic links"},
                                    {"fifo", "nothing comes from it"},
                                    {"/dev/null", "nothing comes from it"},
                                    {"/dev/zero", "it is larger than 64 MiB, as no configuration is"},
                                    {"file/x", "Not a directory"},
                                    {longer, "File name too long"}}) {
      const Output o = run(command + " " + file);
      EXPECT_EQ(o.code, 2) << command << " " << file;
      EXPECT_EQ(o.err, file + ": cannot be read (" + why + "); give the path of a readable file\n") << command;
      EXPECT_EQ(o.out, "") << command;
    }
  const Output failing = run("show /proc/self/mem");
  EXPECT_EQ(failing.code, 5) << "a disk that fails: " << failing.err;
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

// A pipe is as good as a file.
TEST_F(Commands, ConfigurationsComeThroughPipes) {
  write("c.yaml", "moe: {experts: 64}\nmodel: {vocabulary: 300}\n");
  std::string shown = run("show c.yaml").out;
  const Output piped = run_through("cat c.yaml | \"$@\"", "show /dev/stdin");
  for (std::size_t at; (at = shown.find("c.yaml:")) != std::string::npos;) shown.replace(at, 7, "/dev/stdin:");
  EXPECT_EQ(piped.code, 0) << piped.err;
  EXPECT_EQ(piped.out, shown);
}

TEST_F(Commands, RanksThatWaitPrintNothing) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  for (const char* arguments : {"--version", "schema", "show tiny.yaml", "check tiny.yaml", "data check corpus",
                                "verify r", "verify r --digest", "--help", "trian", "data check r", "show c.yaml"}) {
    const Output alone = run(arguments), both = run(arguments, 2);
    EXPECT_EQ(both.code, alone.code) << arguments;
    EXPECT_EQ(both.out, alone.out) << arguments;
    EXPECT_EQ(count(both.err, alone.err), alone.err.empty() ? count(both.err, "") : 1) << arguments << both.err;
  }
  const Output o = run("generate r --prompt x", 2);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "generate works on one rank; start it without mpirun"), 1) << o.err;
}

// A text goes on as it began: each token depends on those before it and on the seed alone.
TEST_F(Commands, TextsGoOnAsTheyBegan) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  const auto made = [&](const std::string& options) {
    const Output o = run("generate r " + options);
    EXPECT_EQ(o.code, 0) << options << ": " << o.err;
    EXPECT_TRUE(o.out.ends_with('\n')) << options;
    return o.out.substr(0, o.out.size() - 1);
  };
  for (const std::string how : {" --temperature 0", " --temperature 1 --seed 3", " --temperature 100 --seed 4"}) {
    const std::string four = made("--prompt 'line ' --tokens 4" + how);
    EXPECT_TRUE(four.starts_with("line ")) << four;
    EXPECT_EQ(made("--prompt 'line ' --tokens 4" + how), four) << "again";
    EXPECT_TRUE(four.starts_with(made("--prompt 'line ' --tokens 2" + how))) << four;
  }
  const std::string most = made("--prompt 'line ' --tokens 6 --temperature 0");
  EXPECT_EQ(made("--prompt 'line ' --tokens 6 --temperature 0 --seed 9"), most) << "nothing is drawn";
  EXPECT_EQ(most.size(), 11u) << "a token is a byte: " << testing::PrintToString(most);
  const std::string hot = " --tokens 40 --temperature 100";
  EXPECT_NE(made("--prompt l --seed 1" + hot), made("--prompt l --seed 2" + hot)) << "almost all bytes are alike";
  const std::string beyond(200, 'x');  // the context is 16
  EXPECT_TRUE(made("--prompt " + beyond + " --tokens 1").starts_with(beyond));
}

/// Rows of a table with a comment above, each by the names of its columns.
std::vector<std::map<std::string, std::string>> rows_of(const std::string& text) {
  std::vector<std::map<std::string, std::string>> rows;
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    std::vector<std::string> cells;
    std::istringstream parts(line + ",");
    for (std::string cell; std::getline(parts, cell, ',');) cells.push_back(cell);
    if (names.empty()) {
      names = cells;
      continue;
    }
    EXPECT_EQ(cells.size(), names.size()) << line;
    for (std::size_t i = 0; i < std::min(cells.size(), names.size()); ++i) {
      if (i == 0) rows.emplace_back();
      rows.back()[names[i]] = cells[i];
    }
  }
  return rows;
}

/// What made a table, from its first line.
nlohmann::json head_of(const std::string& text) {
  EXPECT_TRUE(text.starts_with("# ")) << text;
  return nlohmann::json::parse(text.substr(2, text.find('\n') - 2));
}

TEST_F(Commands, TheLaboratorysIdealIsTheGenerators) {
  ASSERT_EQ(run("data generate --tasks 8 --samples 200 --seed 7 --out g").code, 0);
  const std::string ideal = read(folder_ / "g/ideal.csv");
  EXPECT_EQ(head_of(ideal).at("seed"), 7);
  EXPECT_NE(head_of(ideal).at("command").get<std::string>().find(" data generate --tasks 8 "), std::string::npos);
  std::map<std::string, double> wanted;
  for (auto& row : rows_of(ideal)) wanted[row["experts"]] = std::stod(row["ideal"]);
  const Output o = run("data laboratory g --experts 4,1,8,2");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(head_of(o.out).at("seed"), 7) << "of the folder";
  const auto rows = rows_of(o.out);
  ASSERT_EQ(rows.size(), 4u) << o.out;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& row = rows[i];
    EXPECT_EQ(row.at("experts"), std::string("4182").substr(i, 1)) << "in the order of the option";
    EXPECT_EQ(row.at("router"), "oracle");
    EXPECT_EQ(row.at("samples"), "200");
    ASSERT_TRUE(wanted.contains(row.at("experts")));
    EXPECT_NEAR(std::stod(row.at("ideal")), wanted[row.at("experts")], 1e-6);
    EXPECT_LE(std::stod(row.at("ideal")), std::stod(row.at("assignment")) + 1e-6) << "no assignment beats the ideal";
  }
  EXPECT_GT(wanted["1"], wanted["2"]);
  EXPECT_GT(wanted["4"], wanted["8"]);
  const Output few = run("data laboratory g --experts 2 --samples 50");
  EXPECT_EQ(rows_of(few.out).at(0).at("samples"), "50") << few.err;
}

// An odd command line is kept in a table as JSON all the same.
TEST_F(Commands, OddCommandLinesAreKept) {
  const Output o = run("data generate --tasks 2 --samples 9 --out 'a \"b\"\\\xff\xc3\xa4'");
  EXPECT_EQ(o.code, 0) << o.err;
  const std::string made = head_of(read(folder_ / "a \"b\"\\\xff\xc3\xa4/ideal.csv")).at("command");
  EXPECT_TRUE(made.ends_with("--out a \"b\"\\\xef\xbf\xbd\xc3\xa4")) << made;
}

TEST_F(Commands, OptionsThatTheFolderLeavesIdleAreRefused) {
  ASSERT_EQ(run("data generate --tasks 2 --samples 9 --out g").code, 0);
  ASSERT_EQ(run("data generate --shape facts --facts 4 --out f").code, 0);
  for (const auto& [arguments, message] :
       {std::pair("g --experts 1 --exposures 5", "g has no facts: --exposures has no effect; leave it out"),
        std::pair("g --experts 1 --hidden 5", "--hidden has no effect without --model mlp; leave it out"),
        std::pair("f --experts 1 --router oracle", "f has facts: only --router hash sends them, not oracle"),
        std::pair("f --experts 1 --model table", "f has facts: only --model mlp learns them, not table"),
        std::pair("f --experts 1 --samples 5", "f has facts: --exposures says how often each is seen, not --samples"),
        std::pair("g --experts 1 --router learned --balance free --aux 1", "--aux: has no effect with --balance free"),
        std::pair("g --experts 1 --router learned --balance aux --bias-rate 1",
                  "--bias-rate: has no effect with --balance aux"),
        std::pair("g --experts 1 --router hash --router-rate 1", "--router-rate: has no effect with --router hash")}) {
    const Output o = run(std::string("data laboratory ") + arguments);
    EXPECT_EQ(o.code, 2) << arguments;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
    EXPECT_EQ(o.out, "") << "no half of a table: " << arguments;
  }
}

TEST_F(Commands, ABenchmarkAppendsALineOfNumbersThatAgree) {
  write("c.yaml",
        "model: {vocabulary: 64, width: 16, heads: 2, blocks: 2, context: 16, hidden: 32}\n"
        "moe: {experts: 4, hidden: 16}\ntrain: {batch: 4, grains: 4, evaluate_every: 0}\n");
  EXPECT_EQ(count(run("bench step c.yaml model.vocabulary=0").err, "model.vocabulary: is 0 (a benchmark has no corpus"),
            1);
  write("b.json", "{\"mine\": 1}\n");
  for (const int ranks : {0, 2}) {
    const Output o = run("bench step c.yaml --warmup 1 --repetitions 3 --json b.json", ranks);
    EXPECT_EQ(o.code, 0) << o.err;
  }
  const std::vector<nlohmann::json> all = test::json_lines(read(folder_ / "b.json"));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].at("mine"), 1) << "what stood there stays";
  const double flop = flop_per_token(load((folder_ / "c.yaml").string()).config);
  for (int i = 1; i < 3; ++i) {
    const auto value = [&](const char* name) { return all[i].at(name).get<double>(); };
    EXPECT_EQ(value("ranks"), i);
    EXPECT_EQ(value("warmup"), 1);
    EXPECT_EQ(value("repetitions"), 3);
    EXPECT_EQ(value("step_tokens"), 64);
    EXPECT_NEAR(value("tokens_per_s"), 64.0 / value("step_ms") * 1e3, 1e-6 * value("tokens_per_s"));
    EXPECT_NEAR(value("gflops"), flop * value("tokens_per_s") / 1e9, 1e-6 * value("gflops"));
    EXPECT_LE(value("tokens_per_s_least"), value("tokens_per_s"));
    EXPECT_GE(value("tokens_per_s_most"), value("tokens_per_s"));
    EXPECT_EQ(all[i].at("phase_ms").size(), phase_names().size());
    EXPECT_EQ(count(run("--version").out, all[i].at("commit").get<std::string>()), 1);
    EXPECT_EQ(all[i].at("date").get<std::string>().size(), std::string("2026-01-31T12:00:00Z").size());
  }
}

TEST_F(Commands, SelfchecksAreTheSameOnAnyRanks) {
  const Output one = run("selfcheck --print"), three = run("selfcheck --print --threads 2", 3),
               started = run("selfcheck --print --ranks 2");
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_GT(count(one.out, " | step "), 3);
  EXPECT_EQ(three.out, one.out);
  EXPECT_EQ(started.out, one.out) << started.err;
  const Output other = run("selfcheck --print --ranks 3", 2);
  EXPECT_EQ(other.code, 2);
  EXPECT_EQ(count(other.err, "--ranks is 3, but it was started on 2; leave it out"), 1) << other.err;
  const Output alone = run_through("PATH=/nowhere exec \"$@\"", "selfcheck --ranks 2");
  EXPECT_EQ(alone.code, 2);
  EXPECT_EQ(alone.err, "mpirun is not there, which --ranks starts; use your launcher: srun switchyard selfcheck\n");
}

}  // namespace
}  // namespace switchyard
