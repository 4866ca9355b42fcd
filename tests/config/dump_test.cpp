// Writing configurations: what is written reads back the same, comments, canonical texts, what may change on resume.
#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "config/options.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

/// Every option away from its default.
Config unusual() {
  Config c;
  int n = 0;
  visit_values(c, [&]<class T>(const std::string&, T& member) {
    ++n;
    if constexpr (std::is_same_v<T, bool>)
      member = !member;
    else if constexpr (std::is_enum_v<T>)
      member = static_cast<T>((static_cast<std::size_t>(member) + 1) % EnumNames<T>::names.size());
    else if constexpr (std::is_same_v<T, std::string>)
      member = "it's: a #corpus\\ \"\xc3\xa4\"";
    else if constexpr (std::is_same_v<T, std::vector<int>>)
      member = {0, 8, 257};
    else if constexpr (is_name_list<T>)
      member = {typename T::value_type(2), typename T::value_type(0)};
    else if constexpr (std::is_floating_point_v<T>)
      member = member / 3.0 + 1e-30 * n;
    else
      member = static_cast<T>(member + 1000000 * n);
  });
  c.train.seed = 18446744073709551615u;
  c.moe.scale = 1e300;
  return c;
}

std::string all_options(const Config& config) {
  std::string text;
  visit_values(config,
               [&](const std::string& key, const auto& value) { text += key + ": " + format_value(value) + "\n"; });
  return text;
}

TEST(Dump, ReadsBackToTheSame) {
  for (const Config& c : {Config{}, unusual()}) {
    const LoadResult back = load_text("d.yaml", dump(c, {}));
    for (const ConfigError& e : back.errors) ADD_FAILURE() << e.text();
    EXPECT_EQ(all_options(back.config), all_options(c));
    EXPECT_EQ(dump(back.config, {}), dump(c, {}));
  }
}

/// Options that cannot be given another value yet.
std::set<std::string> options_of_one_value() {
  std::set<std::string> found;
  const Config defaults;
  visit_values(defaults, [&]<class T>(const std::string& key, const T&) {
    if (allowed_names<T>().size() == 1) found.insert(key);
  });
  return found;
}

TEST(Dump, EveryOptionIsWritten) {
  const std::vector<std::string> a = {all_options(Config{}), all_options(unusual())};
  EXPECT_NE(a[0], a[1]);
  const std::set<std::string> of_one_value = options_of_one_value();
  for (const std::string& key : option_keys()) {
    if (of_one_value.contains(key)) continue;
    const auto line = [&](const std::string& text) {
      const auto at = text.find(key + ": ");
      return text.substr(at, text.find('\n', at) - at);
    };
    EXPECT_NE(line(a[0]), line(a[1])) << key;
  }
}

TEST(Dump, CommentsGiveHelpUnitNamesAndOrigin) {
  const LoadResult r = load_text("c.yaml", "moe:\n  router: sigmoid\n", {"train.max_time=60"});
  const std::string text = dump(r.config, r.origins);
  EXPECT_NE(
      text.find(
          "  router: sigmoid                   # how scores are made and experts selected; one of softmax, sigmoid, "
          "noisy_topk, hash (c.yaml:2)\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("after this long; 0 means no limit [s] (command line)\n"), std::string::npos);
  EXPECT_NE(text.find("  top_k: 1                          # k, experts a token is sent to (default)\n"),
            std::string::npos);
  EXPECT_NE(text.find("\nmoe:                                # mixture-of-experts layers\n"), std::string::npos);
}

TEST(Dump, TextThatYamlWouldMisreadIsQuoted) {
  for (const std::string text : {"~", "12", "1e3", "a b", "-", "#x", "a: b", "[x", "*x", "'", "0x1", ".5"}) {
    Config c;
    c.data.path = text;
    EXPECT_EQ(load_text("d.yaml", dump(c, {})).config.data.path, text);
    EXPECT_EQ(format_value(text).front(), '\'') << text;
  }
  EXPECT_EQ(format_value(std::string("corpus/real-text_1.bin")), "corpus/real-text_1.bin");
}

// Our own reader takes them for texts, but those of YAML 1.1 (PyYAML, Ruby) for truth values and null.
TEST(Dump, WordsOfOlderYamlAreQuoted) {
  for (const std::string word : {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}) {
    std::string upper = word, capital = word;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    capital[0] = upper[0];
    for (const std::string& text : {word, capital, upper}) {
      Config c;
      c.data.path = text;
      EXPECT_NE(dump(c, {}).find("  path: '" + text + "' "), std::string::npos) << text;
      EXPECT_EQ(load_text("d.yaml", dump(c, {})).config.data.path, text);
      for (const std::string& longer : {text + "_", "x" + text}) EXPECT_EQ(format_value(longer), longer);
    }
  }
}

TEST(Dump, DoublesAreShortest) {
  EXPECT_EQ(format_value(0.1), "0.1");
  EXPECT_EQ(format_value(1e-8), "1e-08");
  EXPECT_EQ(format_value(10000.0), "10000");
  EXPECT_EQ(format_value(0.1 + 0.2), "0.30000000000000004");
}

TEST(InvariantOptions, LeaveOutWhatMayChange) {
  Config c;
  c.train.steps = 7;
  c.train.max_time = 7;
  c.layout.threads = 2;
  c.layout.timeout = 5;
  c.layout.exchange = ExchangeKind::alltoallv;
  c.record.flush_every = 7;
  EXPECT_EQ(invariant_options(c), invariant_options(Config{}));
  EXPECT_NE(all_options(c), all_options(Config{}));
  c.train.seed = 7;
  EXPECT_NE(invariant_options(c), invariant_options(Config{}));
}

TEST(Resume, NamesEachOptionThatMayNotChange) {
  Config c;
  c.train.steps = 7;
  c.layout.expert_parallel = 2;
  c.record.sample_every = 7;
  c.train.max_time = 9;
  EXPECT_TRUE(resume_changes(invariant_options(Config{}), c).empty());
  c.moe.experts = 16;
  c.train.grains = 4;
  c.data.path = "other";
  // A run from before an option was declared had its default.
  std::string older = invariant_options(Config{});
  const auto at = older.find("train.precision");
  older.erase(at, older.find('\n', at) + 1 - at);
  EXPECT_TRUE(resume_changes(older, Config{}).empty());
  const auto changes = resume_changes(invariant_options(Config{}), c);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].key, "moe.experts");
  EXPECT_TRUE(changes[0].message.starts_with("is 8 in the run and cannot become 16 ("));
  EXPECT_EQ(changes[1].key, "data.path");
  EXPECT_EQ(changes[2].key, "train.grains");
}

// Each option alone: it is either one that may change, as README says, or the one that is named.
TEST(Resume, EveryOptionIsOfOneKind) {
  const Config all = unusual();
  const std::set<std::string> of_one_value = options_of_one_value();
  for (const std::string& key : option_keys()) {
    if (of_one_value.contains(key)) continue;
    Config one;
    visit_values(one, [&]<class T>(const std::string& name, T& member) {
      if (name != key) return;
      visit_values(all, [&]<class Other>(const std::string& other, const Other& value) {
        if constexpr (std::is_same_v<T, Other>)
          if (other == key) member = value;
      });
    });
    const bool free = key.starts_with("layout.") || key.starts_with("record.") || key == "train.steps" ||
                      key == "train.max_time" || key == "train.graph" || key == "train.keep_steps";
    const auto changes = resume_changes(invariant_options(Config{}), one);
    ASSERT_EQ(changes.size(), free ? 0u : 1u) << key;
    EXPECT_EQ(invariant_options(one) == invariant_options(Config{}), free) << key;
    if (!free) {
      EXPECT_EQ(changes[0].key, key);
    }
  }
  EXPECT_TRUE(resume_changes(invariant_options(all), all).empty()) << "odd texts and numbers are the same as ever";
}

TEST(Reference, HasEveryOptionOnce) {
  const std::string text = config_markdown();
  for (const std::string& key : option_keys()) {
    const auto at = text.find("| `" + key + "` | ");
    ASSERT_NE(at, std::string::npos) << key;
    EXPECT_EQ(text.find("| `" + key + "` | ", at + 1), std::string::npos) << key;
  }
  EXPECT_NE(text.find("one of softmax, sigmoid, noisy_topk, hash"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
