// Presets: every one is a valid recipe, what is said of its options counts, and where each value is from is told.
#include "config/presets.hpp"

#include <gtest/gtest.h>

#include "config/estimate.hpp"
#include "config/yaml.hpp"
#include "support/refusal.hpp"

namespace switchyard {
namespace {

std::string errors_of(const LoadResult& result) {
  std::string text;
  for (const ConfigError& e : result.errors) text += e.text() + "\n";
  return text;
}

/// "key value origin" of an option.
std::string line_of(const LoadResult& result, const std::string& key) {
  const std::string text = dump(result.config, result.origins);
  const std::size_t at =
      text.find("  " + key.substr(key.find('.') + 1) + ": ", text.find(key.substr(0, key.find('.')) + ":"));
  return text.substr(at, text.find('\n', at) - at);
}

TEST(Presets, EachIsAValidRecipeOfKnownOptions) {
  for (const Preset& preset : presets()) {
    LoadResult result = load_text("c.yaml", "preset: " + preset.name + "\nmodel: {vocabulary: 256}\n");
    add_violations(result, 1);
    EXPECT_EQ(errors_of(result), "") << preset.name;
    EXPECT_NE(preset.source.find("arXiv"), std::string::npos) << preset.name;
    for (const auto& [key, value] : preset.values) {
      EXPECT_EQ(to_string(result.origins[key]), "preset " + preset.name) << key;
      const std::string given = line_of(load_text("c.yaml", "", {key + "=" + value}), key);
      EXPECT_EQ(line_of(result, key).substr(0, given.find('#')), given.substr(0, given.find('#')));
      EXPECT_NE(line_of(result, key).find("(preset " + preset.name + ")"), std::string::npos) << line_of(result, key);
    }
    EXPECT_NE(presets_markdown().find("| `" + preset.name + "` | `" + preset.values[0].first), std::string::npos);
  }
}

// None leaves a router that learns without a gradient, and all but hash even their loads.
TEST(Presets, NoneIsAdvisedAgainst) {
  for (const Preset& preset : presets()) {
    const LoadResult result = load_text("c.yaml", "preset: " + preset.name);
    for (const Violation& v : advice(result.config, 1))
      ADD_FAILURE() << preset.name << ": " << v.key << " " << v.message;
  }
}

TEST(Presets, WhatIsSaidOfAnOptionCounts) {
  const std::string text = "model: {width: 64}\nmoe: {aux_loss: 0.5}\npreset: switch\n";
  const LoadResult result = load_text("c.yaml", text, {"moe.top_k=2"});
  EXPECT_EQ(errors_of(result), "");
  EXPECT_EQ(result.config.moe.aux_loss, 0.5);
  EXPECT_EQ(result.config.moe.top_k, 2);
  EXPECT_EQ(result.config.moe.capacity_factor, 1.25);
  EXPECT_EQ(to_string(result.origins.at("moe.aux_loss")), "c.yaml:2");
  EXPECT_EQ(to_string(result.origins.at("moe.top_k")), "command line");
  EXPECT_EQ(to_string(result.origins.at("moe.capacity_factor")), "preset switch");
}

TEST(Presets, TheCommandLineChoosesAnother) {
  const LoadResult result = load_text("c.yaml", "preset: switch\n", {"preset=olmoe"});
  EXPECT_EQ(errors_of(result), "");
  EXPECT_EQ(result.config.moe.top_k, 8);
  EXPECT_EQ(result.config.moe.capacity_factor, 0.0);
}

TEST(Presets, AWrongOneIsRefusedAtItsPlace) {
  const std::string all = "must be one of switch, st-moe, mixtral, olmoe, deepseek-v3, qwen3, hash\n";
  EXPECT_EQ(errors_of(load_text("c.yaml", "moe: {top_k: 2}\npreset: swich\n")),
            "c.yaml:2:9: preset: is \"swich\"; " + all);
  EXPECT_EQ(errors_of(load_text("c.yaml", "", {"preset="})), "command line: preset: is \"\"; " + all);
  EXPECT_EQ(errors_of(load_text("c.yaml", "", {"preset=olmoe", "preset=switch"})),
            "command line: preset: given twice\n");
  EXPECT_EQ(errors_of(load_text("c.yaml", "preset: {a: 1}\n")), "c.yaml:1:1: preset: must be the name of a preset\n");
  EXPECT_EQ(errors_of(load_text("c.yaml", "preset: switch\npreset: olmoe\n")),
            "c.yaml:2:1: preset: duplicate key (first on line 1)\n");
}

}  // namespace
}  // namespace switchyard
