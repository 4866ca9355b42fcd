// experiments/known-models through the program: its table says what the program prints, and what can be trained.
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/program.hpp"

namespace switchyard {
namespace {

const fs::path models = fs::path(SWITCHYARD_TEST_DIR).parent_path() / "experiments" / "known-models";

/// One row of the table.
struct Row {
  std::string file;
  std::vector<std::int64_t> numbers;  ///< total, active, without the input embedding, without both embeddings
  std::string refused;                ///< options that train refuses; empty where it takes the model
};

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

/// Columns: link to the file, four numbers, published, the one it agrees with, refused, command.
std::vector<Row> table() {
  std::vector<Row> rows;
  std::istringstream lines(read(models / "README.md"));
  for (std::string line; std::getline(lines, line);) {
    const auto link = line.find(".yaml)");
    if (!line.starts_with("| [") || link == line.npos) continue;
    std::vector<std::string> cells;
    std::istringstream text(line.substr(1));
    for (std::string cell; std::getline(text, cell, '|');) cells.push_back(trimmed(cell));
    Row row;
    row.file = cells.at(0).substr(cells[0].find('(') + 1);
    row.file.pop_back();
    for (int i = 1; i <= 4; ++i) {
      std::erase(cells.at(i), ',');
      row.numbers.push_back(std::stoll(cells[i]));
    }
    row.refused = cells.at(7) == "–" ? "" : cells[7];
    EXPECT_EQ(cells.at(8), "`switchyard plan experiments/known-models/" + row.file + " --parameters`");
    rows.push_back(row);
  }
  return rows;
}

using KnownModels = Program;

TEST_F(KnownModels, EveryFileHasARow) {
  std::set<std::string> files, named;
  for (const auto& entry : fs::directory_iterator(models))
    if (entry.path().extension() == ".yaml") files.insert(entry.path().filename());
  for (const Row& row : table()) named.insert(row.file);
  EXPECT_EQ(files, named);
  EXPECT_GE(files.size(), 13u);
}

TEST_F(KnownModels, TheTableIsWhatIsPrinted) {
  for (const Row& row : table()) {
    const Output o = run("plan '" + (models / row.file).string() + "' --parameters --json " + row.file + ".json");
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_NE(o.out.find("active"), std::string::npos);
    const auto counted = nlohmann::json::parse(read(folder_ / (row.file + ".json"))).at("parameters");
    EXPECT_EQ(counted.at("total"), row.numbers[0]) << row.file;
    EXPECT_EQ(counted.at("active"), row.numbers[1]) << row.file;
    EXPECT_EQ(counted.at("active_without_input"), row.numbers[2]) << row.file;
    EXPECT_EQ(counted.at("active_without_embeddings"), row.numbers[3]) << row.file;
  }
}

// By the name of each option that it cannot build, and by no other; what it can build passes.
TEST_F(KnownModels, TrainRefusesWhatItCannotBuild) {
  for (const Row& row : table()) {
    const std::string file = (models / row.file).string();
    const Output checked = run("check '" + file + "'");
    EXPECT_EQ(checked.code, row.refused.empty() ? 0 : 2) << row.file << checked.err;
    if (row.refused.empty()) continue;
    const Output o = run("train '" + file + "' --run r");
    EXPECT_EQ(o.code, 2) << row.file << o.err;
    EXPECT_EQ(o.err, checked.err);
    std::string found;
    std::istringstream lines(o.err);
    for (std::string line; std::getline(lines, line);) {
      const auto key = line.find(": m") + 2;
      found += (found.empty() ? "`" : ", `") + line.substr(key, line.find(':', key) - key) + "`";
      EXPECT_NE(line.find(" is not available in train yet (`switchyard plan --parameters` counts it)"), line.npos);
    }
    EXPECT_EQ(found, row.refused) << row.file;
    EXPECT_FALSE(fs::exists(folder_ / "r"));
  }
}

// Nothing that builds a model takes them, on one rank or two; show resolves and plan counts them.
TEST_F(KnownModels, NothingElseTakesThemEither) {
  const std::string file = "'" + (models / "qwen3-30b-a3b.yaml").string() + "'";
  write("s.yaml", "configuration: " + (models / "qwen3-30b-a3b.yaml").string() + "\nexperts: [128]\nseeds: [1]\n");
  for (const std::string& command :
       {"check " + file, "train " + file + " --run r", "bench step " + file, std::string("sweep run s.yaml --out s")})
    for (const int ranks : {0, 2}) {
      if (ranks > 0 && command.starts_with("sweep")) continue;
      const Output o = run(command, ranks);
      EXPECT_EQ(o.code, 2) << command << ": " << o.err;
      EXPECT_NE(o.err.find("model.query_key_norm: head is not available in train yet"), o.err.npos) << command << o.err;
    }
  EXPECT_EQ(run("show " + file).code, 0);
}

TEST_F(KnownModels, WrongCallsSayWhy) {
  write("c.yaml", "model: {width: 16, heads: 3}\n");
  for (const auto& [arguments, message] :
       {std::pair("plan c.yaml --parameters model.vocabulary=9", "c.yaml:1:27: model.heads: 3 does not divide"),
        std::pair("plan c.yaml --parameters model.heads=2", "c.yaml: model.vocabulary: is 0 (parameters are counted"),
        std::pair("plan missing.yaml --parameters", "missing.yaml: cannot be read"),
        std::pair("plan c.yaml", "--ranks and --machine are missing (what a step takes")}) {
    const Output o = run(arguments);
    EXPECT_EQ(o.code, 2) << arguments;
    EXPECT_NE(o.err.find(message), o.err.npos) << arguments << ": " << o.err;
    EXPECT_EQ(o.out, "") << arguments;
  }
}

}  // namespace
}  // namespace switchyard
