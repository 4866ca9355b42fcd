// Ranks stopped, killed or failing at a chosen task: what the one message says of each kind of journey and of sums of
// gradients, and that the run resumes to the bytes of one that nothing interrupted.
#include <Kokkos_Macros.hpp>
#include <algorithm>

#include "config/yaml.hpp"
#include "schedule/generators.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

using schedule::Direction;
using schedule::Stage;

/// A task of the third step.
struct Place {
  Stage stage;
  Direction direction = Direction::step;
  int block = -1;
  int later = 0;  ///< tasks
};

class Interrupted : public Program {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(KOKKOS_ENABLE_CUDA)
    GTEST_SKIP() << "a sanitizer must be loaded first, and windows are memory of the host";
#endif
    Program::SetUp();
    grace_ = true;  // as users have it: without it mpirun kills the ranks that would tell
    make_tiny();
  }

  /// The number of the task in its step, and of those of all steps before.
  static std::pair<int, int> number_of(const Config& config, const Place& place) {
    const std::vector<schedule::Task> tasks = schedule::make_tasks(config);
    const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const schedule::Task& t) {
      return t.stage == place.stage && t.direction == place.direction && (place.block < 0 || t.block == place.block);
    });
    EXPECT_NE(found, tasks.end());
    const int number = static_cast<int>(found - tasks.begin()) + place.later;
    return {number, 2 * static_cast<int>(tasks.size()) + number};
  }

  Config config_of(const std::vector<std::string>& options) const {
    return load((folder_ / "tiny.yaml").string(), options).config;
  }

  /// Trains `ranks` ranks in r, of which `victim` is interrupted.
  Output train(const std::vector<std::string>& options, int ranks, int victim, const Place& place,
               const std::string& how) {
    std::string words = "train tiny.yaml --run r train.schedule=constant train.steps=4 layout.delay=1";
    for (const std::string& option : options) words += " " + option;
    const int task = number_of(config_of(options), place).second;
    write("interrupted", "#!/bin/sh\nexport LD_PRELOAD='" + (binary_.parent_path() / "tests/libinterrupt.so").string() +
                             "' SWITCHYARD_INTERRUPT='" + std::to_string(victim) + " " + std::to_string(task) + " " +
                             how + "'\nexec \"$@\"\n");
    fs::permissions(folder_ / "interrupted", fs::perms::owner_all);
    wrapper_ = "./interrupted";
    const Output o = run(words, ranks);
    wrapper_.clear();
    return o;
  }

  /// What stands in r is whole, and goes on to the digest of `whole`.
  void expect_resumes(int ranks, const std::string& whole) {
    EXPECT_EQ(run("verify r").code, 0) << read(folder_ / "err");
    const Output o = run("resume r layout.timeout=0 layout.delay=0", ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(run("verify r --digest").out, whole);
    fs::remove_all(folder_ / "r");
  }

  std::string whole_digest(const std::string& options) const {
    EXPECT_EQ(run("train tiny.yaml --run whole train.schedule=constant train.steps=4 " + options, 1).code, 0);
    return run("verify whole --digest").out;
  }
};

/// What is said of a rank, after its process.
std::string said_of(const Output& o, int rank) {
  const std::size_t at = o.err.find("  rank " + std::to_string(rank) + " (process ");
  if (at == std::string::npos) return "nothing is said of rank " + std::to_string(rank);
  const std::size_t after = o.err.find(") ", at) + 2;
  return o.err.substr(after, o.err.find('\n', after) - after);
}

void expect_line(const Output& o, int rank, const std::string& words) { EXPECT_EQ(said_of(o, rank), words) << o.err; }

void expect_stuck(const Output& o) {
  EXPECT_EQ(o.code, 9) << o.err;
  EXPECT_EQ(count(o.err, " has made progress for 1.5 s (layout.timeout); the job ends"), 1) << o.err;
}

// Two nodes of two ranks: rails are ranks 0 and 2, and 1 and 3.
TEST_F(Interrupted, TheMessageTellsKindsOfJourneysAndSumsApart) {
  const std::string groups = "moe.combine_groups=2", whole = whole_digest(groups);
  const std::vector<std::string> nodes{"layout.exchange=node", "layout.ranks_per_node=2", "layout.timeout=1.5", groups};
  const auto step_3 = [](int number, const std::string& task) {
    return "step 3, task " + std::to_string(number) + " " + task;
  };
  {
    std::vector<std::string> options = nodes;
    options.push_back("layout.transport=window");
    const Place at{Stage::combine, Direction::backward, 0};
    const int n = number_of(config_of(options), at).first;
    const std::string there = step_3(n + 1, "combine_finish backward block 0 lane 0 (journey combine backward, ");
    const Output o = train(options, 4, 0, at, "stop");
    expect_stuck(o);
    expect_line(o, 0, "is stopped in " + step_3(n, "combine backward block 0 lane 0 (journey combine backward)"));
    expect_line(o, 2, "waits for messages of rank 0, in " + there + "between nodes)");
    expect_line(o, 1, "waits for messages of rank 0, in " + there + "inside the node)");
    expect_line(o, 3, "waits for messages of rank 2, in " + there + "inside the node)");
    expect_resumes(2, whole);
  }
  {
    const Place at{Stage::plan, Direction::forward, 0};
    const int n = number_of(config_of(nodes), at).first;
    const std::string there = step_3(n + 2, "dispatch_finish forward block 0 lane 0 (journey dispatch, ");
    const Output o = train(nodes, 4, 0, at, "stop");
    expect_stuck(o);
    for (const auto& [rank, of] : {std::pair(1, "0"), std::pair(2, "0"), std::pair(3, "2")})
      expect_line(o, rank, std::string("waits for messages of rank ") + of + ", in " + there + "numbers of its rows)");
    fs::remove_all(folder_ / "r");
  }
  {
    std::vector<std::string> options = nodes;
    options.push_back("layout.transport=mpi");
    const Place at{Stage::combine_finish, Direction::backward, 1}, then{Stage::router, Direction::backward, 1};
    const int n = number_of(config_of(options), at).first, m = number_of(config_of(options), then).first;
    const std::string here = step_3(n, "combine_finish backward block 1 lane 0 (journey combine backward"),
                      later = step_3(m + 1, "dispatch_finish backward block 1 lane 0 (journey dispatch backward, ");
    const Output o = train(options, 4, 0, at, "stop");
    expect_stuck(o);
    expect_line(o, 0, "is stopped in " + here + ")");
    expect_line(o, 1, "waits for messages of rank 0, in " + here + ", inside the node)");
    // Open MPI holds what rank 2 sent for unsent until rank 0 has looked at it, which it may not before it is stopped.
    const std::string unsent = "waits for messages of rank 0, in " + here + ", between nodes)";
    const bool sent = said_of(o, 2) != unsent;
    if (sent)
      expect_line(o, 2,
                  "waits for messages of rank 0, in " +
                      step_3(m, "router backward block 1 lane 0 (gradients of combine weights)"));
    expect_line(o, 3,
                sent ? "waits for messages of rank 1, in " + later + "between nodes)"
                     : "waits for messages of rank 2, in " + here + ", inside the node)");
    expect_resumes(1, whole);
  }
  {
    const std::vector<std::string> options{"layout.timeout=1.5", groups};
    const int n = number_of(config_of(options), {Stage::reduce}).first;
    const Output o = train(options, 2, 1, {Stage::reduce}, "stop");
    expect_stuck(o);
    expect_line(o, 1, "is stopped in " + step_3(n, "reduce lane 0"));
    expect_line(o, 0,
                "waits for messages of rank 1, in " +
                    step_3(n + 1, "reduce_finish lane 0 (sums of gradients, bucket from the embedding)"));
    expect_resumes(3, whole);
  }
}

// The head's gradients are a bucket of their own; the next task belongs to the backward pass.
TEST_F(Interrupted, ARankThatEndsBesideASumOfGradientsEndsAll) {
  const std::string wide = "model.tied=false model.vocabulary=65536 model.width=64 train.evaluate_every=0";
  const std::vector<std::string> options{"layout.timeout=100", "model.tied=false", "model.vocabulary=65536",
                                         "model.width=64", "train.evaluate_every=0"};
  const Place beside{Stage::reduce, Direction::step, 2, 1};
  ASSERT_EQ(schedule::make_tasks(config_of(options)).at(number_of(config_of(options), beside).first).direction,
            Direction::backward);
  const std::string whole = whole_digest(wide);
  Output o = train(options, 3, 1, beside, "kill");
  EXPECT_TRUE(o.code == 137 || o.code == 9) << o.code << o.err;
  EXPECT_EQ(count(o.err, "switchyard: a rank has died; the job ends"), 1) << o.err;
  EXPECT_EQ(count(o.err, " has died in step 3, task "), 1) << o.err;
  EXPECT_EQ(run("verify r").code, 0) << read(folder_ / "err");
  fs::remove_all(folder_ / "r");
  o = train(options, 3, 1, beside, "fail");
  EXPECT_EQ(o.code, 8) << o.err;
  EXPECT_EQ(count(o.err, "switchyard: rank 1 of 3: no memory is left (std::bad_alloc); "), 1) << o.err;
  EXPECT_EQ(count(o.err, "; a sum of gradients was under way\n"), 1) << o.err;
  EXPECT_EQ(count(o.err, "the job ends"), 0) << o.err;
  expect_resumes(2, whole);
}

}  // namespace
}  // namespace switchyard
