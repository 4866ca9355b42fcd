// One law broken at a time in records that are sound otherwise, changed by HDF5 so that all sums stay right: verify
// says exactly this and nothing else. What the laws allow, up to their bounds, passes.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/check.hpp"
#include "base/files.hpp"
#include "edit.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Editor;
using fixtures::Folder;
using fixtures::joined;
namespace fs = std::filesystem;

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();

/// Steps 1 to 12 on one rank, written once; each case changes a copy.
class Laws : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    sound_ = std::make_unique<Folder>();
    RunFolder folder(sound_->path());
    fixtures::write_segment(folder, fixtures::small_config(), 1, 12, 1);
  }
  static void TearDownTestSuite() { sound_.reset(); }

  /// The problems of `path` in a copy of the run, after a change of its segment; paths are left out of them.
  static std::string problems(const std::function<void(const std::string& segment)>& change, const std::string& path) {
    const Folder run;
    fs::copy(sound_->path(), run.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    const std::string segment = run / "segments/000/";
    change(segment);
    std::string text = joined(verify_path(path.empty() ? run.path() : run / path).problems);
    for (const std::string& place : {segment, run.path() + "/"})
      for (auto at = text.find(place); at != std::string::npos; at = text.find(place)) text.erase(at, place.size());
    return text;
  }

  static std::unique_ptr<Folder> sound_;
};
std::unique_ptr<Folder> Laws::sound_;

/// Changes of one file and what verify says of it; nothing where `words` is empty.
struct Case {
  const char* name;
  std::function<void(const Editor& file)> change;
  std::string words;
};

// Of 32 tokens that choose 2 of 3 experts (layer 0) and of 5 (layer 1), step 1 has the counts 21 22 21 and
// 12 16 12 12 12, all kept; of three steps one is sampled or evaluated, see the fixture. Row 1 has step 2.
const Case run_cases[] = {
    {"the first step is 0", [](const Editor& f) { f.set("step", 0, std::int64_t{0}); },
     "row 0: step 0 does not follow the one before\nrow 0: tokens are not step * step_tokens\n"
     "row 1: step 2 does not follow the one before\n"},
    {"a step twice", [](const Editor& f) { f.set("step", 5, std::int64_t{5}), f.set("tokens", 5, std::int64_t{160}); },
     "row 5: step 5 does not follow the one before\nrow 6: step 7 does not follow the one before\n"},
    {"the largest step", [](const Editor& f) { f.set("step", 5, largest); },
     "row 5: step 9223372036854775807 does not follow the one before\nrow 5: tokens are not step * step_tokens\n"
     "row 6: step 7 does not follow the one before\n"},
    {"a step below 0", [](const Editor& f) { f.set("step", 11, std::numeric_limits<std::int64_t>::min()); },
     "row 11: step -9223372036854775808 does not follow the one before\n"
     "row 11: tokens are not step * step_tokens\n"},
    {"the z-loss of the head", [](const Editor& f) { f.set("loss_head_z", 2, 0.25); },
     "row 2: loss is not the sum of its parts\n"},
    {"the balancing loss", [](const Editor& f) { f.set("loss_aux", 3, 0.25); },
     "row 3: loss is not the sum of its parts\n"},
    {"the importance loss", [](const Editor& f) { f.set("loss_importance", 4, 0.25); },
     "row 4: loss is not the sum of its parts\n"},
    {"the z-loss of the routers", [](const Editor& f) { f.set("loss_router_z", 11, 0.25); },
     "row 11: loss is not the sum of its parts\n"},
    {"the cross-entropy by one bit",
     [](const Editor& f) { f.set("loss_cross_entropy", 0, std::nextafter(3.0, 4.0) + 1e-15); },
     "row 0: loss is not the sum of its parts\n"},
    {"a loss that is not finite", [](const Editor& f) { f.set("loss", 2, nan), f.set("loss_cross_entropy", 2, nan); },
     "row 2: loss is not the sum of its parts\n"},
    {"a choice too many", [](const Editor& f) { f.set("assigned", 0, std::int64_t{22}); },
     "row 0: layer 0: assigned sums to 65, not step_tokens * top_k = 64\nrow 0: layer 0: max_vio is not that of "
     "assigned\nrow 0: layer 0: drop_share is not that of assigned and kept\n"},
    {"a count below 0", [](const Editor& f) { f.set("assigned", 0, std::int64_t{-1}); },
     "row 0: layer 0: kept is not within 0 and assigned\nrow 0: layer 0: assigned sums to something else, not "
     "step_tokens * top_k = 64\n"},
    {"counts whose sum does not fit",
     [](const Editor& f) {
       for (const hsize_t e : {5, 6, 7}) f.set("assigned", e, largest);
     },
     "row 0: layer 1: assigned sums to something else, not step_tokens * top_k = 64\n"},
    {"a choice that moved",
     [](const Editor& f) {
       for (const char* counts : {"assigned", "kept"})
         f.set(counts, 0, std::int64_t{20}), f.set(counts, 1, std::int64_t{23});
     },
     "row 0: layer 0: max_vio is not that of assigned\n"},
    {"kept below 0", [](const Editor& f) { f.set("kept", 9, std::int64_t{-1}); },
     "row 0: layer 1: kept is not within 0 and assigned\n"},
    {"kept above assigned", [](const Editor& f) { f.set("kept", 2, std::int64_t{22}); },
     "row 0: layer 0: kept is not within 0 and assigned\n"},
    {"a choice dropped", [](const Editor& f) { f.set("kept", 2, std::int64_t{20}); },
     "row 0: layer 0: drop_share is not that of assigned and kept\nrow 0: traffic sums to something else, kept to "
     "127\n"},
    {"an expert that the layer does not have", [](const Editor& f) { f.set("assigned", 3, std::int64_t{1}); },
     "row 0: layer 0: counts beyond the layer's experts\n"
     "row 0: layer 0: assigned sums to 65, not step_tokens * top_k = 64\n"},
    {"mass of an expert that the layer does not have", [](const Editor& f) { f.set("prob_mass", 3, 0.5); },
     "row 0: layer 0: prob_mass or bias beyond the layer's experts\n"},
    {"bias of an expert that the layer does not have", [](const Editor& f) { f.set("bias", 24, nan); },
     "row 2: layer 0: prob_mass or bias beyond the layer's experts\n"},
    {"no max_vio", [](const Editor& f) { f.set("max_vio", 3, nan); },
     "row 1: layer 1: max_vio is not that of assigned\n"},
    {"no drop_share", [](const Editor& f) { f.set("drop_share", 2, nan); },
     "row 1: layer 0: drop_share is not that of assigned and kept\n"},
    {"a token less in the margin", [](const Editor& f) { f.set("margin", 0, std::int64_t{31}); },
     "row 0: layer 0: margin does not have every token of the step once\n"},
    {"a margin below 0",
     [](const Editor& f) { f.set("margin", 4, std::int64_t{33}), f.set("margin", 5, std::int64_t{-1}); },
     "row 0: layer 1: margin does not have every token of the step once\n"},
    {"entropy above that of 3 experts", [](const Editor& f) { f.set("entropy", 0, std::log(3.0) + 0.02); },
     "row 0: layer 0: entropy is not within 0 and the logarithm of the experts\n"},
    {"entropy of 5 experts", [](const Editor& f) { f.set("entropy", 1, std::log(5.0) + 0.009); }, ""},
    {"entropy rounded below 0", [](const Editor& f) { f.set("entropy", 1, -0.009); }, ""},
    {"no entropy", [](const Editor& f) { f.set("entropy", 1, nan); },
     "row 0: layer 1: entropy is not within 0 and the logarithm of the experts\n"},
    {"mass below 0", [](const Editor& f) { f.set("prob_mass", 9, -1e-9); },
     "row 0: layer 1: prob_mass is not within 0 and the tokens of the step\n"},
    {"mass of all tokens", [](const Editor& f) { f.set("prob_mass", 9, 32.3); }, ""},
    {"mass of more than all tokens", [](const Editor& f) { f.set("prob_mass", 9, 32.4); },
     "row 0: layer 1: prob_mass is not within 0 and the tokens of the step\n"},
    {"infinite mass", [](const Editor& f) { f.set("prob_mass", 0, inf); },
     "row 0: layer 0: prob_mass is not within 0 and the tokens of the step\n"},
    {"no mass", [](const Editor& f) { f.set("prob_mass", 0, nan); },
     "row 0: layer 0: prob_mass is not within 0 and the tokens of the step\n"},
    {"a row that did not travel", [](const Editor& f) { f.set("traffic", 0, std::int64_t{127}); },
     "row 0: traffic sums to 127, kept to 128\n"},
    {"traffic below 0", [](const Editor& f) { f.set("traffic", 0, std::int64_t{-1}); },
     "row 0: traffic sums to something else, kept to 128\n"},
    {"more experts than there is room for", [](const Editor& f) { f.set("experts", 0, std::int64_t{6}); },
     "run.h5 is damaged (a layer has 6 experts of 5)\n"},
    {"a layer without experts", [](const Editor& f) { f.set("experts", 1, std::int64_t{0}); },
     "run.h5 is damaged (a layer has 0 experts of 5)\n"},
    {"another begin", [](const Editor& f) { f.set_attribute("begins_after", 1); },
     "row 0: step 1 does not follow the one before\n"},
};

TEST_F(Laws, OfTheRowsOfARun) {
  for (const Case& c : run_cases) {
    std::string wanted;  // the file stands before "row 0"
    for (std::size_t at = 0, end; at < c.words.size(); at = end) {
      end = c.words.find('\n', at) + 1;
      wanted += (c.words.compare(at, 3, "row") == 0 ? "run.h5: " : "") + c.words.substr(at, end - at);
    }
    EXPECT_EQ(
        problems([&](const std::string& segment) { c.change(Editor(segment + "run.h5")); }, "segments/000/run.h5"),
        wanted)
        << c.name;
  }
}

/// The tasks of a step of the fixture's model.
std::int64_t tasks() { return static_cast<std::int64_t>(schedule::make_tasks(fixtures::small_config()).size()); }

TEST_F(Laws, OfTimelines) {
  const hsize_t last = static_cast<hsize_t>(2 * tasks() - 1);  // of step 8; the step begins at 0
  const double end = 1e-3 * static_cast<double>(tasks() * (tasks() + 1)) / 2;
  const std::string within = "run.h5: timeline 1: a task does not lie within the step of its rank\n",
                    both = within + "run.h5: timeline 1: a hop does not lie within the step of its rank\n";
  const Case cases[] = {
      {"within the clock's resolution", [&](const Editor& f) { f.set("timeline_end", last, end + 5e-7); }, ""},
      {"beyond it", [&](const Editor& f) { f.set("timeline_end", last, end + 1e-5); }, within},
      {"before the step", [&](const Editor& f) { f.set("timeline_start", hsize_t(tasks()), -1e-5); }, within},
      {"within the resolution before it", [&](const Editor& f) { f.set("timeline_start", hsize_t(tasks()), -5e-7); },
       ""},
      {"an end before its begin", [&](const Editor& f) { f.set("timeline_end", last - 1, 1e-3); }, within},
      {"no begin", [&](const Editor& f) { f.set("timeline_start", last, nan); }, within},
      {"no end", [&](const Editor& f) { f.set("timeline_end", last, nan); }, within},
      {"a step without a begin", [&](const Editor& f) { f.set("timeline_step_start", 1, nan); }, both},
      {"a step without an end", [&](const Editor& f) { f.set("timeline_step_end", 1, nan); }, both},
      {"bytes below 0", [&](const Editor& f) { f.set("timeline_bytes", last, std::int64_t{-1}); },
       "run.h5: timeline 1: bytes are negative\n"},
  };
  for (const Case& c : cases)
    EXPECT_EQ(
        problems([&](const std::string& segment) { c.change(Editor(segment + "run.h5")); }, "segments/000/run.h5"),
        c.words)
        << c.name;
}

// 32 rows a sampled step, 8 a sequence: row 40 is of step 4, sequence 1, position 0.
TEST_F(Laws, OfTheOrderOfSampledTokens) {
  const auto not_after = [](int row) {
    std::string text = "tokens.r0000.h5: row ";  // in one expression gcc 12 warns of bounds that it gets wrong
    text += std::to_string(row);
    return text += " is not after the one before by step, sequence, position\n";
  };
  const Case cases[] = {
      {"a step that goes back", [](const Editor& f) { f.set("step", 40, std::int64_t{2}); }, not_after(40)},
      {"a sequence that goes back", [](const Editor& f) { f.set("sequence", 44, std::int64_t{0}); }, not_after(44)},
      {"a position twice", [](const Editor& f) { f.set("position", 43, std::int64_t{2}); }, not_after(43)},
      {"two of them: the first",
       [](const Editor& f) { f.set("position", 90, std::int64_t{0}), f.set("position", 50, std::int64_t{0}); },
       not_after(50)},
      {"the first position below 0", [](const Editor& f) { f.set("position", 0, std::int64_t{-1}); }, ""},
      {"the first step below 0", [](const Editor& f) { f.set("step", 0, std::int64_t{-1}); }, ""},
  };
  for (const Case& c : cases)
    EXPECT_EQ(problems([&](const std::string& segment) { c.change(Editor(segment + "tokens.r0000.h5")); },
                       "segments/000/tokens.r0000.h5"),
              c.words)
        << c.name;
}

TEST_F(Laws, OfEvaluations) {
  const Case cases[] = {
      {"a step twice", [](const Editor& f) { f.set("step", 2, std::int64_t{6}); },
       "evaluation.h5: evaluation 2: its step is not after the one before\n"},
      {"a dropped choice", [](const Editor& f) { f.set("dropped", 3 * 80 + 79, std::int64_t{1}); },
       "evaluation.h5: evaluation 3: choices are dropped, though evaluation drops nothing\n"},
      {"an expert chosen twice", [](const Editor& f) { f.set("expert", 83, std::int64_t{0}); },
       "evaluation.h5: evaluation 1: a token chooses an expert twice\n"},
      {"no choice twice",
       [](const Editor& f) { f.set("expert", 80, std::int64_t{-1}), f.set("expert", 81, std::int64_t{-1}); }, ""},
      {"an expert of another token", [](const Editor& f) { f.set("expert", 81, std::int64_t{2}); }, ""},
  };
  for (const Case& c : cases)
    EXPECT_EQ(problems([&](const std::string& segment) { c.change(Editor(segment + "evaluation.h5")); },
                       "segments/000/evaluation.h5"),
              c.words)
        << c.name;
}

/// The files of a segment against each other.
struct Between {
  const char* name;
  const char* file;
  std::function<void(const Editor& file)> change;
  const char* words;
};

const Between between[] = {
    {"a choice of another expert", "tokens.r0000.h5", [](const Editor& f) { f.set("expert", 2, std::int64_t{1}); },
     "run.h5: step 2: sampled tokens have other counts than assigned and kept\n"},
    {"a choice of none", "tokens.r0000.h5", [](const Editor& f) { f.set("expert", 2, std::int64_t{-1}); },
     "run.h5: step 2: sampled tokens have other counts than assigned and kept\n"},
    {"an expert beyond the layer's", "tokens.r0000.h5", [](const Editor& f) { f.set("expert", 129, std::int64_t{3}); },
     "run.h5: step 4: sampled tokens have other counts than assigned and kept\n"},
    {"a choice that was not kept", "tokens.r0000.h5", [](const Editor& f) { f.set("kept", 767, std::int64_t{0}); },
     "run.h5: step 12: sampled tokens have other counts than assigned and kept\n"},
    {"a sequence beyond the batch", "tokens.r0000.h5",
     [](const Editor& f) {
       for (const hsize_t row : {28, 29, 30, 31}) f.set("sequence", row, std::int64_t{4});
     },
     "run.h5: step 2: not every token of the step is sampled once\n"},
    {"a position beyond the context", "tokens.r0000.h5",
     [](const Editor& f) { f.set("position", 31, std::int64_t{8}); },
     "run.h5: step 2: not every token of the step is sampled once\n"},
    {"the largest sequence", "tokens.r0000.h5", [](const Editor& f) { f.set("sequence", 191, largest); },
     "run.h5: step 12: not every token of the step is sampled once\n"},
    {"a position below 0", "tokens.r0000.h5", [](const Editor& f) { f.set("position", 8, std::int64_t{-1}); },
     "run.h5: step 2: not every token of the step is sampled once\n"},
    {"a sample that is not due", "tokens.r0000.h5",
     [](const Editor& f) {
       for (hsize_t row = 64; row < 96; ++row) f.set("step", row, std::int64_t{5});
     },
     "run.h5: tokens of step 5 are sampled, which is not due (record.sample_every is 2, and the segment begins after "
     "step 0)\nrun.h5: step 6: 0 tokens are sampled, not all 32\n"},
    {"a sample of before the segment", "tokens.r0000.h5",
     [](const Editor& f) {
       for (hsize_t row = 0; row < 32; ++row) f.set("step", row, std::int64_t{0});
     },
     "run.h5: tokens of step 0 are sampled, which is not due (record.sample_every is 2, and the segment begins after "
     "step 0)\nrun.h5: step 2: 0 tokens are sampled, not all 32\n"},
    {"an evaluation of another step", "evaluation.h5", [](const Editor& f) { f.set("step", 3, std::int64_t{13}); },
     "run.h5: 4 evaluations, but evaluation.h5 has 4, or of other steps\n"},
    {"an expert that the layer does not have", "evaluation.h5",
     [](const Editor& f) { f.set("expert", 160, std::int64_t{3}), f.set("expert", 164, std::int64_t{4}); },
     "run.h5: evaluation of step 9 names expert 3, which its layer does not have\n"},
    {"an expert below -1", "evaluation.h5", [](const Editor& f) { f.set("expert", 0, std::int64_t{-2}); },
     "run.h5: evaluation of step 3 names expert -2, which its layer does not have\n"},
};

TEST_F(Laws, BetweenTheFilesOfASegment) {
  for (const Between& c : between)
    EXPECT_EQ(problems([&](const std::string& segment) { c.change(Editor(segment + c.file)); }, ""), c.words) << c.name;
}

}  // namespace
