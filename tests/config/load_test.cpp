// Reading configurations: every trap of YAML, the form and order of errors, overrides.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/check.hpp"
#include "config/options.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

std::vector<std::string> errors_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> lines;
  for (const ConfigError& e : load_text("c.yaml", text, overrides).errors) lines.push_back(e.text());
  return lines;
}

/// The only error.
std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto lines = errors_of(text, overrides);
  std::string all;
  for (const std::string& line : lines) all += (all.empty() ? "" : "\n") + line;
  return all;
}

Config loaded(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const LoadResult result = load_text("c.yaml", text, overrides);
  for (const ConfigError& e : result.errors) ADD_FAILURE() << e.text();
  return result.config;
}

TEST(Load, EmptyTextGivesTheDefaults) {
  EXPECT_EQ(dump(loaded(""), {}), dump(Config{}, {}));
  EXPECT_EQ(dump(loaded("# nothing\n"), {}), dump(Config{}, {}));
  EXPECT_EQ(dump(loaded("model:\nmoe:\n"), {}), dump(Config{}, {}));
}

TEST(Load, ReadsEveryKindOfValue) {
  const Config c = loaded(
      "model: {width: 64, tied: false, activation: swiglu, rope_base: 1e5}\n"
      "moe:\n  experts_per_block: [0, 8, 0, 257]\n  router: sigmoid\n  aux_loss: 0.01\n"
      "data: {path: \"my corpus\", seed: 18446744073709551615}\n"
      "train: {steps: 5000000000}  # beyond 32 bits\n");
  EXPECT_EQ(c.model.width, 64);
  EXPECT_FALSE(c.model.tied);
  EXPECT_EQ(c.model.activation, Activation::swiglu);
  EXPECT_EQ(c.model.rope_base, 1e5);
  EXPECT_EQ(c.moe.experts_per_block, (std::vector{0, 8, 0, 257}));
  EXPECT_EQ(c.moe.router, RouterKind::sigmoid);
  EXPECT_EQ(c.moe.aux_loss, 0.01);
  EXPECT_EQ(c.data.path, "my corpus");
  EXPECT_EQ(c.data.seed, 18446744073709551615u);
  EXPECT_EQ(c.train.steps, 5000000000);
}

TEST(Load, UnknownKeyHasPlaceAndSuggestion) {
  EXPECT_EQ(error_of("moe:\n  n_expert: 8\n"), "c.yaml:2:3: moe.n_expert: unknown key (did you mean moe.experts?)");
  EXPECT_EQ(error_of("train:\n    lr: 0.1\n"), "c.yaml:2:5: train.lr: unknown key (did you mean train.learning_rate?)");
  EXPECT_EQ(error_of("model: {stepz: 3}"), "c.yaml:1:9: model.stepz: unknown key (did you mean train.steps?)");
  EXPECT_EQ(error_of("top_k: 3"), "c.yaml:1:1: top_k: unknown key (did you mean moe.top_k?)");
  EXPECT_EQ(error_of("moe:\n  qqqqqqqqqq: 8\n"),
            "c.yaml:2:3: moe.qqqqqqqqqq: unknown key; `switchyard show --reference` lists all");
}

TEST(Load, MisspelledSectionIsStillLookedInto) {
  EXPECT_EQ(
      errors_of("mdoel:\n  width: x\n"),
      (std::vector<std::string>{"c.yaml:1:1: mdoel: unknown section (did you mean model?)",
                                "c.yaml:2:10: model.width: \"x\" is not an integer; write it in decimal digits only"}));
}

TEST(Load, DottedKeyInTheFileIsPointedAtItsSection) {
  EXPECT_EQ(error_of("moe.experts: 3"), "c.yaml:1:1: moe.experts: in a file this is written moe: {experts: …}");
}

TEST(Load, DuplicateKeys) {
  EXPECT_EQ(error_of("moe:\n  top_k: 1\n  experts: 8\n  top_k: 2\n"),
            "c.yaml:4:3: moe.top_k: duplicate key (first on line 2)");
  EXPECT_EQ(error_of("moe:\n  top_k: 1\nmoe:\n  top_k: 2\n"), "c.yaml:3:1: moe: duplicate key (first on line 1)");
  EXPECT_EQ(error_of("moe: {top_k: 1, \"top_k\": 1}"), "c.yaml:1:17: moe.top_k: duplicate key (first on line 1)");
}

TEST(Load, IntegersAreDecimalDigits) {
  const auto value = [](const std::string& text) { return error_of("moe: {experts: " + text + "}"); };
  const std::string head = "c.yaml:1:16: moe.experts: ";
  EXPECT_EQ(value("010"),
            head + "\"010\" is not an integer; leading zeros are refused because some readers take them as octal");
  EXPECT_EQ(value("0x10"), head + "\"0x10\" is not an integer; write it in decimal digits");
  EXPECT_EQ(value("0o10"), head + "\"0o10\" is not an integer; write it in decimal digits");
  EXPECT_EQ(value("1e3"), head + "\"1e3\" is not an integer; write 1000");
  EXPECT_EQ(value("8.0"), head + "\"8.0\" is not an integer; write 8");
  EXPECT_EQ(value("1_000"), head + "\"1_000\" is not an integer; write it in decimal digits only");
  EXPECT_EQ(value("+8"), head + "\"+8\" is not an integer; write it in decimal digits only");
  EXPECT_EQ(value("8 9"), head + "\"8 9\" is not an integer; write it in decimal digits only");
  EXPECT_EQ(value("2147483648"), head + "2147483648 is out of range; must be in [-2147483648, 2147483647]");
  EXPECT_EQ(value("'8'"), head + "\"8\" in quotes is text; must be an integer, written without quotes");
  EXPECT_EQ(value("\"8\""), head + "\"8\" in quotes is text; must be an integer, written without quotes");
  EXPECT_EQ(value("!!int 8"), "c.yaml:1:16: tags (tag:yaml.org,2002:int) are not supported; write the plain value");
  EXPECT_EQ(error_of("data: {seed: -1}"),
            "c.yaml:1:14: data.seed: -1 is out of range; must be in [0, 18446744073709551615]");
  EXPECT_EQ(loaded("moe: {experts: 0}").moe.experts, 0);
  EXPECT_EQ(loaded("moe: {experts: -3}").moe.experts, -3) << "ranges are validate's";
}

TEST(Load, NumbersAreFiniteAndPlain) {
  const auto value = [](const std::string& text) { return error_of("moe: {scale: " + text + "}"); };
  const std::string head = "c.yaml:1:14: moe.scale: ";
  for (const std::string text : {".nan", ".inf", "nan", "inf", "01.5", ".5", "1.", "0x1p3", "1;5", "--1"})
    EXPECT_EQ(value(text), head + "\"" + text + "\" is not a number; write it like 0.001, 1e-3 or 12");
  EXPECT_EQ(value("1e999"), head + "1e999 is out of range of a double");
  EXPECT_EQ(value("'1.5'"), head + "\"1.5\" in quotes is text; must be a number, written without quotes");
  EXPECT_EQ(loaded("moe: {scale: 1E-2}").moe.scale, 0.01);
  EXPECT_EQ(loaded("moe: {scale: -0.1e+1}").moe.scale, -1.0);
}

TEST(Load, TruthValuesAreTwoWords) {
  for (const std::string text : {"yes", "on", "True", "TRUE", "1", "y"})
    EXPECT_EQ(error_of("model: {tied: " + text + "}"),
              "c.yaml:1:15: model.tied: \"" + text + "\" is not a truth value; write true or false");
  EXPECT_TRUE(loaded("model: {tied: true}").model.tied);
}

TEST(Load, EnumerationsListTheirNames) {
  EXPECT_EQ(error_of("moe: {router: Softmax}"),
            "c.yaml:1:15: moe.router: \"Softmax\" must be one of softmax, sigmoid, noisy_topk, hash");
  EXPECT_EQ(error_of("train: {determinism: all}"),
            "c.yaml:1:22: train.determinism: \"all\" must be one of layout, run");
}

TEST(Load, WrongKinds) {
  EXPECT_EQ(error_of("moe: {experts: [8]}"), "c.yaml:1:16: moe.experts: is a list; must be an integer");
  EXPECT_EQ(error_of("moe: {experts: {a: 8}}"), "c.yaml:1:7: moe.experts: is a section; must be an integer");
  EXPECT_EQ(error_of("moe:\n  experts:\n"), "c.yaml:2:3: moe.experts: is nothing; must be an integer");
  EXPECT_EQ(error_of("moe:\n  experts: ~\n"), "c.yaml:2:3: moe.experts: is nothing; must be an integer");
  EXPECT_EQ(error_of("moe: {experts_per_block: 8}"),
            "c.yaml:1:26: moe.experts_per_block: is one value; must be a list of integers like [0, 8, 0, 8]");
  EXPECT_EQ(error_of("moe: {experts_per_block: [8, x]}"),
            "c.yaml:1:26: moe.experts_per_block: item 2: \"x\" is not an integer; write it in decimal digits only");
  EXPECT_EQ(error_of("moe: 8"), "c.yaml:1:6: moe: must be a section with options below it");
  EXPECT_EQ(error_of("- 8"),
            "c.yaml:1:1: a configuration is made of sections (model:, moe:, data:, train:, layout:, record:)");
  EXPECT_EQ(error_of("moe: {? [a] : 1}"), "c.yaml:1:9: moe.: a key must be a plain name");
}

TEST(Load, SeveralDocuments) {
  EXPECT_EQ(error_of("moe:\n  top_k: 1\n---\nmoe:\n  top_k: 2\n"),
            "c.yaml:4:1: a second document starts here; a configuration is one document");
  EXPECT_EQ(loaded("---\nmoe:\n  top_k: 2\n...\n").moe.top_k, 2);
}

TEST(Load, AnchorsAliasesAndMergeKeys) {
  EXPECT_EQ(errors_of("moe:\n  experts: &n 8\n  hidden: *n\n"),
            (std::vector<std::string>{
                "c.yaml:2:12: anchors (&name) are not supported; write the value out where it is needed",
                "c.yaml:3:11: aliases (*name) are not supported; write the value out"}));
  EXPECT_EQ(error_of("moe:\n  <<: {top_k: 2}\n"),
            "c.yaml:2:3: merge keys (<<) are not supported; write the values out");
  EXPECT_EQ(error_of("moe:\n  experts: *n\n").find("c.yaml:2:12: not valid YAML: the referenced anchor is not defined"),
            0u);
}

TEST(Load, TabsAndSyntaxErrorsHavePlaces) {
  EXPECT_EQ(error_of("moe:\n\ttop_k: 2\n"), "c.yaml:2:1: a tab in the indentation; YAML wants spaces");
  EXPECT_EQ(loaded("moe: # c\n\t# a comment\n \t\n  top_k:\t2\n").moe.top_k, 2);
  EXPECT_EQ(error_of("moe: {top_k: 2\n"), "c.yaml:2:1: not valid YAML: end of map flow not found");
}

TEST(Load, TextStaysOnItsLine) {
  EXPECT_EQ(error_of("data:\n  path: 'corpus\n"),
            "c.yaml:2:9: a value must be written on one line, with its closing quote");
  EXPECT_EQ(error_of("data:\n  path: a\n    b\n"),
            "c.yaml:2:9: a value must be written on one line; a bracket or brace before it may be open");
  EXPECT_EQ(error_of("data:\n  path: |\n    b\n"),
            "c.yaml:2:9: a value must be written on one line, with its closing quote");
  EXPECT_EQ(error_of("data: {path: ''}"), "c.yaml:1:14: data.path: is empty");
  EXPECT_EQ(loaded("layout: {machine: ''}").layout.machine, "") << "as config.yaml of a run without one has it";
  EXPECT_EQ(loaded("data:\n  path: 'it''s'\n").data.path, "it's");
  EXPECT_EQ(loaded("data:\n  path: \"a\\\"b\"\n").data.path, "a\"b");
  EXPECT_EQ(loaded("data:\n  path: /tmp/gr\xc3\xbc\xc3\x9f"
                   "e  # ok\n")
                .data.path,
            "/tmp/gr\xc3\xbc\xc3\x9f"
            "e");
  EXPECT_EQ(loaded("data: {path: \xc3\xa4, seed: 3}").data.path, "\xc3\xa4");
  EXPECT_EQ(error_of("data:\n  path: a\xff\n"), "c.yaml:2:10: a control character, or not UTF-8");
  EXPECT_EQ(error_of(std::string("data:\n  path: a\0b\n", 17)), "c.yaml:2:10: a control character, or not UTF-8");
  EXPECT_EQ(loaded("data:\r\n  path: corpus\r\n").data.path, "corpus");
}

TEST(Load, AllErrorsAtOnceSortedByPlaceCommandLineLast) {
  const auto lines = errors_of("train:\n  steps: 1e3\n  wramup: 3\nmoe:\n  top_k: 2\n  router: x\n  top_k: 3\n",
                               {"moe.experts=x", "nonsense", "train=3", "moe.foo=1"});
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_TRUE(lines[0].starts_with("c.yaml:2:10: train.steps: "));
  EXPECT_TRUE(lines[1].starts_with("c.yaml:3:3: train.wramup: unknown key (did you mean train.warmup?)"));
  EXPECT_TRUE(lines[2].starts_with("c.yaml:6:11: moe.router: "));
  EXPECT_TRUE(lines[3].starts_with("c.yaml:7:3: moe.top_k: duplicate key"));
  EXPECT_TRUE(lines[4].starts_with("command line: moe.experts: \"x\" is not an integer"));
  EXPECT_EQ(lines[5], "command line: \"nonsense\" is not of the form section.key=value");
  EXPECT_EQ(lines[6], "command line: train: is a section; give one of its options, train.key=value");
  EXPECT_TRUE(lines[7].starts_with("command line: moe.foo: unknown key"));
}

TEST(Load, OverridesReplaceTheFile) {
  const LoadResult r =
      load_text("c.yaml", "moe:\n  top_k: 2\n  experts: 16\n",
                {"moe.top_k=4", "moe.experts_per_block=[0, 8]", "data.path=a=b #c", "moe.router=hash"});
  for (const auto& e : r.errors) ADD_FAILURE() << e.text();
  EXPECT_EQ(r.config.moe.top_k, 4);
  EXPECT_EQ(r.config.moe.experts, 16);
  EXPECT_EQ(r.config.moe.experts_per_block, (std::vector{0, 8}));
  EXPECT_EQ(r.config.data.path, "a=b #c");
  EXPECT_EQ(r.config.moe.router, RouterKind::hash);
  EXPECT_EQ(to_string(r.origins.at("moe.top_k")), "command line");
  EXPECT_EQ(to_string(r.origins.at("moe.experts")), "c.yaml:3");
  EXPECT_FALSE(r.origins.contains("moe.every"));
  EXPECT_EQ(error_of("", {"moe.top_k=1", "moe.top_k=2"}), "command line: moe.top_k: given twice");
  EXPECT_EQ(error_of("", {"moe.n_experts=1"}), "command line: moe.n_experts: unknown key (did you mean moe.experts?)");
  EXPECT_EQ(error_of("", {"moe.top_k=010"}),
            "command line: moe.top_k: \"010\" is not an integer; leading zeros are refused because some readers take "
            "them as octal");
  EXPECT_EQ(error_of("", {"moe.experts_per_block=8"}),
            "command line: moe.experts_per_block: is one value; must be a list of integers like [0, 8, 0, 8]");
  EXPECT_EQ(error_of("moe: {top_k: x}", {"moe.top_k=2"}),
            "c.yaml:1:14: moe.top_k: \"x\" is not an integer; write it in decimal digits only")
      << "a broken file is broken, whatever replaces the value";
}

TEST(Load, MissingFileFolderAndEmptyFile) {
  const auto folder = std::filesystem::temp_directory_path() / ("switchyard_load_test_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  EXPECT_EQ(load("/nonexistent/c.yaml").errors.at(0).text(),
            "/nonexistent/c.yaml: cannot be read (No such file or directory); give the path of a readable file");
  EXPECT_EQ(load(folder.string()).errors.at(0).text(),
            folder.string() + ": cannot be read (it is a folder); give the path of a readable file");
  std::ofstream(folder / "empty.yaml");
  EXPECT_TRUE(load((folder / "empty.yaml").string()).errors.empty());
  EXPECT_EQ(load("/nonexistent/c.yaml", {"x"}).errors.size(), 2u);
  std::filesystem::remove_all(folder);
}

TEST(Load, ThrowErrorsGivesOneLineEach) {
  try {
    throw_errors(load_text("c.yaml", "moe:\n  a: 1\n  b: 2\n"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    const std::string text = e.what();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  }
  EXPECT_NO_THROW(throw_errors(load_text("c.yaml", "")));
}

TEST(Suggest, CommonSpellings) {
  for (const auto& [typed, meant] :
       {std::pair("moe.num_experts", "moe.experts"), std::pair("moe.expert", "moe.experts"),
        std::pair("moe.topk", "moe.top_k"), std::pair("moe.num_experts_per_tok", "moe.top_k"),
        std::pair("model.n_layers", "model.blocks"), std::pair("model.d_model", "model.width"),
        std::pair("model.n_heads", "model.heads"), std::pair("train.batch_size", "train.batch"),
        std::pair("train.sead", "train.seed"), std::pair("layout.ep", "layout.expert_parallel"),
        std::pair("moe.normalize", "moe.normalise"), std::pair("train.weightdecay", "train.weight_decay"),
        std::pair("moe.zloss", "moe.z_loss"), std::pair("model.n_kv_heads", "model.kv_heads"),
        std::pair("moe.tpo_k", "moe.top_k")})
    EXPECT_EQ(suggest_key(typed), meant) << typed;
  EXPECT_EQ(suggest_key("moe.zzzzzzzzzz"), "");
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("top_k", "tpo_k"), 1);
  EXPECT_EQ(edit_distance("", "abc"), 3);
}

}  // namespace
}  // namespace switchyard
