// Contract C1 in one program a world size: every router, balancer, attention and awkward shape of the table below is
// trained for three steps on every expert-parallel degree, and must give the digests of memory that one rank wrote;
// every second case then as a whole run in files, on the largest degree, whose `verify --digest` must be that of one
// rank. Exchanges take turns, another one at each degree, world size and number of threads; so do the halves of the
// cases. One rank writes the file that SWITCHYARD_DIGESTS names (a line a case), more compare with it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "base/files.hpp"
#include "comm/agree.hpp"
#include "comm/collectives.hpp"
#include "config/values.hpp"
#include "data/build.hpp"
#include "record/digest.hpp"
#include "record/verify.hpp"
#include "support/folder.hpp"
#include "support/kinds.hpp"
#include "support/world.hpp"
#include "train/bits.hpp"
#include "train/trainer.hpp"
#include "whole/ways.hpp"

namespace switchyard {
namespace {

Config base(int experts, int top_k) {
  Config c;
  c.model.vocabulary = 61, c.model.width = 24, c.model.blocks = 2, c.model.heads = 4, c.model.kv_heads = 2;
  c.model.context = 12, c.model.hidden = 40;
  c.moe.experts = experts, c.moe.top_k = top_k, c.moe.hidden = 20;
  c.train.batch = 16, c.train.grains = 8, c.train.steps = 3, c.train.warmup = 1, c.train.learning_rate = 1e-2;
  return c;
}

/// A balancing loss and a bias rule where the router can have them.
Config balanced(RouterKind router, int experts, int top_k) {
  Config c = base(experts, top_k);
  c.moe.router = router;
  Config more = c;
  more.moe.aux_loss = 0.01, more.moe.aux_scope = AuxScope::grain;
  if (test::allowed(more)) c = more;
  more = c;
  more.moe.bias_rule = BiasRule::centred_sign, more.moe.bias_rate = 0.05;
  return test::allowed(more) ? more : c;
}

void add_routers(std::map<std::string, Config>& cases) {
  for (const int experts : {1, 2, 3, 8, 257}) {
    const int k = experts > 2 ? 2 : 1;
    const std::string e = ".E" + std::to_string(experts);
    Config c = base(experts, k);
    c.moe.normalise = Normalise::before, c.moe.aux_loss = 0.01, c.moe.z_loss = 1e-3;
    cases["softmax_before.aux_batch" + e] = c;
    for (const RouterKind router : test::all_of<RouterKind>())
      cases[test::name_of(router) + e] = balanced(router, experts, k);
    for (auto& [name, made] : cases)
      if (made.moe.experts == 3 || made.moe.experts == 8) made.moe.hidden_chunks = 4;
    c = balanced(RouterKind::sigmoid, experts, std::min(experts, 4));
    c.moe.combine_groups = 8;
    cases["sums_by_group" + e] = c;
  }
}

void add_attentions(std::map<std::string, Config>& cases) {
  for (const AttentionKind attention : test::all_of<AttentionKind>()) {
    Config c = base(3, 1);
    c.model.attention = attention;
    cases["attention_" + test::name_of(attention)] = c;
  }
}

void add_shapes(std::map<std::string, Config>& cases) {
  Config c = base(8, 2);
  c.moe.router = RouterKind::sigmoid, c.moe.groups = 4, c.moe.groups_kept = 2, c.moe.bias_rule = BiasRule::proportional;
  c.model.activation = Activation::swiglu, c.moe.shared_experts = 1, c.model.tied = false;
  cases["grouped.swiglu.shared.untied"] = c;
  c = base(9, 4), c.moe.groups = 3, c.moe.groups_kept = 2, c.moe.group_score = GroupScore::share_sum;
  cases["grouped.share_sum"] = c;
  c.moe.group_score = GroupScore::max, c.moe.router = RouterKind::sigmoid, c.moe.bias_rule = BiasRule::sign;
  cases["grouped.max.sign"] = c;
  c = base(8, 2), c.moe.capacity_factor = 0.75, c.moe.bias_rule = BiasRule::sign, c.moe.aux_loss = 0.01;
  c.moe.aux_scope = AuxScope::sequence;
  cases["capacity_weight.sign.aux_sequence"] = c;
  c.moe.drop_order = DropOrder::position, c.moe.importance_loss = 0.1, c.model.z_loss = 1e-3;
  cases["capacity_position.importance.head_z"] = c;
  c = base(3, 2), c.moe.hidden_chunks = 4, c.model.activation = Activation::swiglu, c.moe.combine_groups = 8;
  cases["four_chunks"] = c;
  c = base(6, 2), c.moe.hidden_chunks = 2, c.moe.capacity_factor = 1.0;
  cases["two_chunks"] = c;
  c = base(5, 1), c.train.grains = 2;
  cases["two_grains"] = c;
  c = base(5, 1), c.train.batch = 14, c.train.grains = 7;
  cases["seven_grains"] = c;
  c = base(6, 3), c.moe.every = 2, c.moe.importance_loss = 0.1,
  c.moe.importance_form = ImportanceForm::squared_deviation;
  cases["every_second.importance_deviation"] = c;
}

std::map<std::string, Config> make_cases() {
  std::map<std::string, Config> cases;
  add_routers(cases);
  add_attentions(cases);
  add_shapes(cases);
  return cases;
}

/// Of all that trained_bits tells.
std::string digest(const Config& config) {
  std::string text;
  for (const std::string& line : train::trained_bits(config, comm::Communicator::duplicate(MPI_COMM_WORLD)))
    text += line + "\n";
  return files::sha256_of_text(text).substr(0, 16);
}

/// The digests that one rank wrote, or the file to write them into.
class Digests {
 public:
  explicit Digests(const std::string& ending) {
    const char* name = std::getenv("SWITCHYARD_DIGESTS");
    const std::string file = (name ? name : "layout-digests.txt") + ending;
    if (ranks == 1 && !std::getenv("SWITCHYARD_COMPARE")) {
      out_.open(file);
      return;
    }
    std::ifstream in(file);
    for (std::string key, value; in >> key >> value;) expected_[key] = value;
    EXPECT_EQ(expected_.size(), make_cases().size()) << "run on one rank first, to write " << file;
  }
  /// Writes, or compares, what a case gave in a layout.
  void take(const std::string& name, const Config& config, const std::string& found) {
    if (out_.is_open())
      out_ << name << ' ' << found << '\n';
    else
      EXPECT_EQ(found, expected_[name]) << name << " with EP " << config.layout.expert_parallel << " on " << ranks
                                        << " ranks, exchange " << test::name_of(config.layout.exchange) << " by "
                                        << test::name_of(config.layout.transport) << " of "
                                        << config.layout.ranks_per_node << " ranks a node, schedule "
                                        << test::name_of(config.layout.schedule) << ", lanes " << config.layout.lanes
                                        << " in waves of " << config.layout.lanes / config.layout.waves
                                        << ", recompute " << test::name_of(config.layout.recompute) << " in "
                                        << format_value(config.layout.recompute_blocks) << ", zero "
                                        << config.layout.zero << ", teams of " << config.layout.expert_tensor_parallel
                                        << ", placement " << config.layout.placement << ", local first "
                                        << config.layout.local_first;
  }

  /// One rank writes: it runs every case.
  bool writes() const { return out_.is_open(); }

  const int ranks = test::world_size();

 private:
  std::map<std::string, std::string> expected_;
  std::ofstream out_;
};

/// Where the turns of this program begin: another place for each world size and number of threads.
std::size_t first_turn() {
  const char* threads = std::getenv("OMP_NUM_THREADS");
  return static_cast<std::size_t>(test::world_size() + (threads ? std::atoi(threads) : 1));
}

TEST(Layouts, EveryCaseGivesTheBitsOfOneRank) {
  const std::vector<ExchangeKind> exchanges = test::all_of<ExchangeKind>();
  Digests digests("");
  std::size_t turn = first_turn();
  Ways ways;
  Cover cover;
  for (auto [name, config] : make_cases()) {
    std::size_t at = turn++;
    for (const int ep : test::degrees()) {
      config.layout.expert_parallel = ep, config.layout.exchange = exchanges[at++ % exchanges.size()];
      if (digests.ranks > 1) ways.next(config);
      if (ep > 1) cover.add(config);
      digests.take(name, config, digest(config));
    }
  }
  if (digests.ranks == 4) {  // more have no grains for lanes, fewer no room for teams on nodes
    EXPECT_EQ(cover.missing(), std::vector<std::string>{}) << "pairs that no case has drawn";
  }
}

/// A corpus of bytes, made by rank 0.
void make_corpus(const std::string& folder) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "line " + std::to_string(i * 7919 % 200) + " of a small text.\n";
  std::ofstream(folder + "/a.txt") << text, std::ofstream(folder + "/b.txt") << text + "The end.\n";
  data::BuildOptions options;
  options.inputs = {folder + "/a.txt", folder + "/b.txt"}, options.out = folder + "/corpus";
  options.validation_share = 0.5;
  data::build_corpus(options);
}

/// Trains with evaluations, samples and a checkpoint; the digest of the run's files on rank 0, else of nothing.
std::string digest_of_run(Config config, const comm::Communicator& world, const std::string& folder) {
  config.data.path = folder + "/corpus", config.model.vocabulary = 0;
  config.train.evaluate_every = 2, config.train.evaluate_tokens = config.step_tokens();
  config.record.flush_every = 2, config.record.sample_every = config.record.timeline_every = 2;
  train::TrainRequest request;
  request.config = config, request.run = folder + "/run";
  EXPECT_EQ(train::run_training(request), Exit::ok);
  std::string total;
  comm::on_root(world, [&] {
    const std::string text = record::digest(request.run);
    total = text.substr(text.rfind("total ") + 6, 16);
    EXPECT_NE(text.find("run/evaluation_block_loss "), std::string::npos);
    EXPECT_NE(text.find("tokens/token "), std::string::npos);
    EXPECT_NE(text.find("checkpoint/state "), std::string::npos);
    EXPECT_EQ(record::verify_path(request.run).problems, std::vector<std::string>{});
    std::filesystem::remove_all(request.run);
  });
  return total;
}

TEST(Layouts, EveryFileOfARunIsThatOfOneRank) {
  const comm::Communicator world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  std::optional<test::Folder> mine;
  std::string folder;
  comm::on_root(world, [&] { make_corpus(folder = mine.emplace().path()); });
  folder = comm::broadcast(world, folder, 0);
  Digests digests(".files");
  std::size_t turn = first_turn();
  Ways ways;
  for (auto [name, config] : make_cases()) {
    config.layout.expert_parallel = digests.ranks;
    config.layout.exchange = test::all_of<ExchangeKind>()[turn / 2 % test::all_of<ExchangeKind>().size()];
    if (digests.ranks > 1) ways.next(config);
    if (turn++ % 2 == 1 && !digests.writes()) continue;
    const std::string found = digest_of_run(config, world, folder);
    if (world.rank() == 0) digests.take(name, config, found);
  }
}

}  // namespace
}  // namespace switchyard
