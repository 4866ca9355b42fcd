// A run cut into segments at random, as resumes from any checkpoint and kills before the first chunk cut it: which rows
// hold, what is missing and what the digest says, against a plain list of steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <sstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "edit.hpp"
#include "record/digest.hpp"
#include "record/segments.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
using fixtures::joined;

/// Rows of steps (after, last] by so many ranks.
struct Cut {
  int after, last, ranks;
};

std::string text_of(const std::vector<Cut>& cuts) {
  std::ostringstream text;
  for (const Cut& c : cuts) text << '(' << c.after << ", " << c.last << "] by " << c.ranks << "; ";
  return text.str();
}

void write(const Folder& run, const std::vector<Cut>& cuts) {
  RunFolder folder(run.path());
  for (const Cut& c : cuts) fixtures::write_segment(folder, fixtures::small_config(), c.after + 1, c.last, c.ranks);
}

/// A segment that begins within a chunk, of three steps here, ends with it, and another one goes on.
void add(std::vector<Cut>& cuts, const Cut& cut) {
  const int chunk = (cut.after + 2) / 3 * 3;
  if (chunk == cut.after || cut.last <= chunk) return cuts.push_back(cut);
  cuts.push_back({cut.after, chunk, cut.ranks}), cuts.push_back({chunk, cut.last, cut.ranks});
}

/// A segment begins after no more than what those before it have; without `whole` it may also leave a hole.
std::vector<Cut> random_cuts(std::mt19937& random, int steps, bool whole) {
  const auto upto = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n + 1)); };
  std::vector<Cut> cuts{{0, upto(steps), 1 + upto(2)}};
  while (cuts.size() < 3) {
    const int after = upto(whole ? cuts.back().last : steps);
    add(cuts, {after, after + upto(steps - after), 1 + upto(2)});
  }
  if (whole) add(cuts, {upto(cuts.back().last), steps, 1 + upto(2)});
  return cuts;
}

/// The segment that each step is read from, from the definition: the last one that has it, unless a later segment
/// begins before it, up to a step.
std::map<std::int64_t, int> holders(const std::vector<Cut>& cuts, std::int64_t limit = every_step) {
  std::map<std::int64_t, int> holder;
  for (int i = 0; i < static_cast<int>(cuts.size()); ++i)
    for (int step = cuts[i].after + 1; step <= cuts[i].last; ++step) {
      bool superseded = step > limit;
      for (std::size_t j = i + 1; j < cuts.size(); ++j) superseded |= cuts[j].after < step;
      if (!superseded) holder[step] = i;
    }
  return holder;
}

/// Every row of the spans: the number of its segment, and its key.
std::vector<std::pair<int, std::int64_t>> rows_in(const std::vector<Span>& spans, const std::string& key) {
  std::vector<std::pair<int, std::int64_t>> rows;
  for (const Span& span : spans) {
    const std::string folder = std::filesystem::path(span.file->path()).parent_path().filename();
    for (const std::int64_t value : span.file->read<std::int64_t>(key, span.first, span.count))
      rows.emplace_back(std::stoi(folder), value);
  }
  return rows;
}

void check_rows(const std::vector<Cut>& cuts, const std::vector<Segment>& segments) {
  std::vector<const RecordReader*> runs, evaluations;
  for (const Segment& s : segments) runs.push_back(s.run.get()), evaluations.push_back(s.evaluation.get());
  std::vector<std::pair<int, std::int64_t>> steps, evaluated, sampled;
  for (const auto& [step, segment] : holders(cuts)) {
    steps.emplace_back(segment, step);
    if (step % 3 == 0) evaluated.emplace_back(segment, step);
    for (int token = 0; step % 2 == 0 && token < 32; ++token) sampled.emplace_back(segment, step);
  }
  EXPECT_EQ(rows_in(latest_rows(runs, "step"), "step"), steps) << text_of(cuts);
  EXPECT_EQ(rows_in(latest_rows(runs, "evaluation_step"), "evaluation_step"), evaluated) << text_of(cuts);
  EXPECT_EQ(rows_in(latest_rows(evaluations, "step"), "step"), evaluated) << text_of(cuts);
  const auto tokens = latest_tokens(segments);
  EXPECT_EQ(rows_in(tokens, "step"), sampled) << text_of(cuts);
  std::vector<std::int64_t> sequences, wanted;
  for (const auto& [segment, sequence] : rows_in(tokens, "sequence")) sequences.push_back(sequence);
  for (std::size_t i = 0; i < sampled.size(); ++i) wanted.push_back(static_cast<std::int64_t>(i % 32 / 8));
  EXPECT_EQ(sequences, wanted) << text_of(cuts);
}

/// Steps up to `after` that nobody holds, as last_rows says it.
std::vector<std::string> missing(const std::vector<Cut>& cuts, std::int64_t after) {
  const auto holder = holders(cuts, after);
  std::vector<std::string> holes;
  for (std::int64_t step = 1, first = 0; step <= after + 1; ++step) {
    const bool hole = step <= after && !holder.contains(step);
    if (hole && first == 0) first = step;
    if (!hole && first > 0)
      holes.push_back("rows of steps " + std::to_string(first) + " to " + std::to_string(step - 1) + " are missing"),
          first = 0;
  }
  return holes;
}

TEST(Cuts, RowsOfAStepAreThoseOfTheSegmentThatHoldsIt) {
  std::mt19937 random(7);
  for (int i = 0; i < 6; ++i) {
    const Folder run;
    const std::vector<Cut> cuts = random_cuts(random, 9, i % 2 == 0);
    write(run, cuts);
    check_rows(cuts, open_segments(run.path()));
    int last = 0;
    for (const Cut& c : cuts) last = std::max(last, c.last > c.after ? c.last : 0);
    for (const std::int64_t after : {0, 2, 5, 9, 11}) {
      const LastRows rows = last_rows(run.path(), after);
      EXPECT_EQ(rows.step, last) << text_of(cuts);
      EXPECT_EQ(rows.missing, missing(cuts, after)) << text_of(cuts) << "after " << after;
      EXPECT_TRUE(rows.unreadable.empty());
      EXPECT_EQ(rows.config.empty(), last == 0);
    }
  }
}

TEST(Cuts, AWholeRunIsSoundAndHasOneDigest) {
  const Folder whole;
  write(whole, {{0, 9, 1}});
  const std::string wanted = digest(whole.path());
  std::mt19937 random(11);
  for (int i = 0; i < 3; ++i) {
    const Folder run;
    const std::vector<Cut> cuts = random_cuts(random, 9, true);
    write(run, cuts);
    EXPECT_EQ(digest(run.path()), wanted) << text_of(cuts);
    EXPECT_EQ(joined(verify_path(run.path()).problems), "") << text_of(cuts);
  }
}

/// Bytes as they lie in memory, which is how the files hold them.
template <class T>
void append(std::string& bytes, const std::vector<T>& values, std::size_t room = 0) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  if (room > values.size()) bytes.append((room - values.size()) * sizeof(T), '\0');
}

// The sums of what the fixture wrote, put together here without any file.
TEST(Digest, IsTheSumOfTheValuesInOrder) {
  const Folder run;
  write(run, {{0, 5, 2}, {3, 9, 1}});
  const Config config = fixtures::small_config();
  std::map<std::string, std::string> bytes;
  for (int step = 1; step <= 9; ++step) {
    const StepRow row = fixtures::row_of(config, step, 1);
    append(bytes["run/step"], std::vector<std::int64_t>{step});
    append(bytes["run/loss"], std::vector<double>{row.loss.total()});
    for (const auto& layer : row.layers)
      append(bytes["run/kept"], layer.kept, 5), append(bytes["run/bias"], layer.bias, 5);
    if (step % 2 == 0) append(bytes["tokens/token"], fixtures::batch_of(config, step, {0, 4}).tokens);
    if (step % 3 == 0) {
      append(bytes["run/evaluation_loss"], std::vector<double>{1.5 / step});
      append(bytes["evaluation/predicted"], std::vector<std::int32_t>(20, step));
    }
  }
  append(bytes["run/experts"], std::vector<std::int32_t>{3, 5});
  append(bytes["evaluation/token"], fixtures::held_out(config).token);
  const std::string text = digest(run.path());
  for (const auto& [name, value] : bytes)
    EXPECT_NE(("\n" + text).find("\n" + name + " " + files::sha256_of_text(value) + "\n"), std::string::npos) << name;
  const std::string lines = text.substr(0, text.find("total "));
  EXPECT_EQ(text, lines + "total " + files::sha256_of_text(lines) + "\n");
  std::istringstream in(lines);
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) names.push_back(line);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

// One element of every variable of each file: it shows exactly where the schema promises the same bits everywhere.
TEST(Digest, SeesEveryInvariantVariableAndNoOther) {
  const Folder run;
  write(run, {{0, 4, 1}});
  for (const char* name : {"run.h5", "evaluation.h5", "tokens.r0000.h5"}) {
    const std::string path = run / "segments/000/" + name, sound = files::read_text(path), before = digest(path);
    for (const Variable& v : variables_of(RecordReader(path).kind())) {
      const bool invariant = v.scope == Scope::invariant;
      EXPECT_EQ(before.find(std::string(v.name) + " ") != std::string::npos, invariant) << v.name;
      if (hdf5::is_text(v.type)) continue;
      const bool real = v.type == hdf5::Type::f32 || v.type == hdf5::Type::f64;
      real ? fixtures::Editor(path).set(v.name, 0, 0.0625) : fixtures::Editor(path).set(v.name, 0, std::int64_t{77});
      EXPECT_EQ(digest(path) != before, invariant) << name << ":" << v.name;
      files::write_text(path, sound);
    }
  }
}

}  // namespace
