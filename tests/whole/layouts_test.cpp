// Contract C1 in one program a world size: every router, balancer and awkward shape of the table below is trained for
// three steps on every expert-parallel degree and both exchanges, and must give the digests that
// one rank wrote.
//   layouts_test FILE    on 1 rank writes FILE (one line a case), on more compares with it
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>

#include "comm/collectives.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

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

void add_routers(std::map<std::string, Config>& cases) {
  for (const int experts : {1, 2, 3, 8, 257}) {
    const int k = experts > 2 ? 2 : 1;
    const std::string e = ".E" + std::to_string(experts);
    Config c = base(experts, k);
    cases["softmax_after" + e] = c;
    c.moe.normalise = Normalise::before, c.moe.aux_loss = 0.01, c.moe.z_loss = 1e-3;
    cases["softmax_before.aux_batch" + e] = c;
    c.moe.router = Router::noisy_topk, c.moe.normalise = Normalise::after, c.moe.aux_scope = AuxScope::grain;
    cases["noisy_topk.aux_grain" + e] = c;
    c = base(experts, k), c.moe.router = Router::sigmoid, c.moe.bias_rule = BiasRule::centred_sign,
    c.moe.bias_rate = 0.05;
    cases["sigmoid.centred_sign" + e] = c;
    c = base(experts, k), c.moe.router = Router::hash;
    cases["hash" + e] = c;
  }
}

void add_shapes(std::map<std::string, Config>& cases) {
  Config c = base(8, 2);
  c.moe.router = Router::sigmoid, c.moe.groups = 4, c.moe.groups_kept = 2, c.moe.bias_rule = BiasRule::proportional;
  c.model.activation = Activation::swiglu, c.moe.shared_experts = 1, c.model.tied = false;
  cases["grouped.swiglu.shared.untied"] = c;
  c = base(9, 4), c.moe.groups = 3, c.moe.groups_kept = 2, c.moe.group_score = GroupScore::share_sum;
  cases["grouped.share_sum"] = c;
  c.moe.group_score = GroupScore::max, c.moe.router = Router::sigmoid, c.moe.bias_rule = BiasRule::sign;
  cases["grouped.max.sign"] = c;
  c = base(8, 2), c.moe.capacity_factor = 0.75, c.moe.bias_rule = BiasRule::sign, c.moe.aux_loss = 0.01;
  c.moe.aux_scope = AuxScope::sequence;
  cases["capacity_weight.sign.aux_sequence"] = c;
  c.moe.drop_order = DropOrder::position, c.moe.importance_loss = 0.1, c.model.z_loss = 1e-3;
  cases["capacity_position.importance.head_z"] = c;
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
  add_shapes(cases);
  return cases;
}

/// FNV-1a over bytes.
void mix(std::uint64_t& hash, const void* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3ull;
}

template <class T>
void mix(std::uint64_t& hash, const std::vector<T>& v) {
  mix(hash, v.data(), v.size() * sizeof(T));
}

/// One hash a unit of every parameter, in canonical order: (value, moments) of this rank's units, gathered over the
/// group.
void mix_parameters(std::uint64_t& hash, const train::Machine& m) {
  for (const Parameter& p : m.parameters.all()) {
    if (!p.adds_to.empty()) continue;
    std::vector<std::int64_t> units;
    for (Index u = 0; u < p.experts.size(); ++u) {
      std::uint64_t h = 0xcbf29ce484222325ull;
      for (const auto& slab : {m.parameters.values(p.placement), m.parameters.first_moments(p.placement),
                               m.parameters.second_moments(p.placement)}) {
        const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), slab);
        mix(h, host.data() + p.offset + u * p.unit, p.unit * sizeof(float));
      }
      units.push_back(static_cast<std::int64_t>(h));
    }
    mix(hash, p.placement == Placement::expert ? comm::all_gather(m.groups.expert, units) : units);
  }
}

std::string digest(const Config& config) {
  train::Machine m(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (int step = 1; step <= config.train.steps; ++step) {
    const auto r = train::train_step(m, train::synthetic_batch(config, m.groups.layout, step), step);
    const double numbers[] = {r.loss.cross_entropy, r.loss.head_z,   r.loss.aux,
                              r.loss.importance,    r.loss.router_z, r.gradient_norm};
    mix(hash, numbers, sizeof numbers);
    for (auto* layer : m.model->moe_layers()) {
      const auto& s = layer->statistics();
      mix(hash, s.assigned), mix(hash, s.kept), mix(hash, s.prob_mass), mix(hash, s.bias), mix(hash, s.margin);
      mix(hash, &s.entropy, sizeof s.entropy);
      const auto bias = layer->bias();
      mix(hash, bias);
    }
  }
  mix_parameters(hash, m);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

std::map<std::string, std::string> read_digests(const std::string& file) {
  std::map<std::string, std::string> digests;
  std::ifstream in(file);
  for (std::string name, value; in >> name >> value;) digests[name] = value;
  return digests;
}

std::string digest_file() {
  const char* file = std::getenv("SWITCHYARD_DIGESTS");
  return file ? file : "layout-digests.txt";
}

TEST(Layouts, EveryCaseGivesTheBitsOfOneRank) {
  int ranks = 1, rank = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const bool reference = ranks == 1 && !std::getenv("SWITCHYARD_COMPARE");
  const auto expected = reference ? std::map<std::string, std::string>{} : read_digests(digest_file());
  const auto cases = make_cases();
  if (!reference) {
    ASSERT_EQ(expected.size(), cases.size()) << "run on one rank first, to write " << digest_file();
  }
  std::ofstream out;
  if (reference) out.open(digest_file());
  for (auto [name, config] : cases)
    for (int ep = 1; ep <= ranks; ++ep)
      for (const auto exchange : {ExchangeKind::pairwise, ExchangeKind::alltoallv}) {
        if (ranks % ep || (ep == 1 && exchange == ExchangeKind::alltoallv)) continue;  // nothing is exchanged in EP 1
        config.layout.expert_parallel = ep, config.layout.exchange = exchange;
        const std::string found = digest(config);
        if (reference)
          out << name << ' ' << found << '\n';
        else
          EXPECT_EQ(found, expected.at(name)) << name << " with EP " << ep << " on " << ranks << " ranks, exchange "
                                              << EnumNames<ExchangeKind>::names[static_cast<int>(exchange)];
      }
}

}  // namespace
}  // namespace switchyard
