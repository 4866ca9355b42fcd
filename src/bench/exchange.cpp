#include "bench/exchange.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <random>

#include "bench/json_lines.hpp"
#include "comm/agree.hpp"
#include "comm/collectives.hpp"
#include "moe/journeys.hpp"
#include "moe/layer_pass.hpp"

namespace switchyard::bench {
namespace {

/// One row of the table.
struct Case {
  int ranks_per_node;
  int limit;  ///< 0: none
  ExchangeKind exchange;
  bool sums;
};

Config config_of(const ExchangeOptions& options, const Case& c, int ranks) {
  Config config;
  config.model.vocabulary = 64, config.model.width = options.width, config.model.blocks = 1;
  config.model.context = options.tokens;
  config.moe.experts = options.experts, config.moe.top_k = options.top_k, config.moe.hidden = 1;
  const int parts = c.exchange == ExchangeKind::gather ? ranks : ranks / c.ranks_per_node;
  config.moe.combine_groups = c.sums ? parts : 1;
  config.train.batch = config.train.grains = ranks;
  config.layout.exchange = c.exchange, config.layout.ranks_per_node = c.ranks_per_node;
  return config;
}

/// The first n of the numbers in a random order.
void draw(std::vector<int>& numbers, std::size_t n, std::mt19937_64& random) {
  for (std::size_t i = 0; i < n; ++i) std::swap(numbers[i], numbers[i + random() % (numbers.size() - i)]);
}

/// Different experts for one token, each as likely as any other; with a limit one of each of as many nodes, the others
/// of any of these.
std::vector<int> draw_experts(const ExchangeOptions& options, int nodes, int limit, std::mt19937_64& random) {
  std::vector<int> experts(options.experts), chosen, rest;
  std::iota(experts.begin(), experts.end(), 0);
  if (limit == 0) {
    draw(experts, options.top_k, random);
    return {experts.begin(), experts.begin() + options.top_k};
  }
  std::vector<int> kept(nodes);
  std::iota(kept.begin(), kept.end(), 0);
  draw(kept, limit, random);
  for (int i = 0; i < limit; ++i) {
    const Range of = split_evenly(options.experts, nodes, kept[i]);
    std::vector<int> own(experts.begin() + of.first, experts.begin() + of.last);
    draw(own, 1, random);
    chosen.push_back(own[0]);
    rest.insert(rest.end(), own.begin() + 1, own.end());
  }
  draw(rest, options.top_k - limit, random);
  chosen.insert(chosen.end(), rest.begin(), rest.begin() + (options.top_k - limit));
  return chosen;
}

/// A layer whose routing is made up, and its four journeys; experts do nothing.
class MadeUpLayer {
 public:
  MadeUpLayer(const ExchangeOptions& options, const Case& c, comm::Communicator world)
      : config_(config_of(options, c, world.size())),
        groups_(std::move(world), config_.layout, config_.train.grains),
        exchanges_(config_.layout, groups_),
        parameters_(groups_.layout, {}),
        rows_(nn::make_rows(config_, groups_.layout)),
        scratch_("bench::scratch", config_, groups_.layout, rows_.branch),
        shared_("bench::shared", config_, groups_.layout, rows_.branch),
        experts_("bench::experts", config_, groups_.layout, 0, rows_.branch, *shared_),
        pass_("bench::pass", rows_, config_, groups_.layout, *experts_, *scratch_),
        x_("bench::x", rows_.count, options.width) {
    choose(options, groups_.layout.ranks / c.ranks_per_node, c.limit);
    pass_->tokens.step = 1;
    pass_->x = x_;
  }

  /// Bytes that this rank sends to other nodes on the way to the experts and home, forwards, then backwards, then of
  /// what belongs to rows: plans, to whatever ranks, and gradients of combine weights; last of rows to ranks of its
  /// node on the way to the experts, forwards.
  std::array<std::int64_t, 6> run() {
    const std::unique_ptr<moe::Journeys> journeys =
        moe::make_journeys({config_, groups_, exchanges_, parameters_, timers_}, 0);
    const Queue queue;
    std::array<std::int64_t, 6> bytes{};
    journeys->plan(queue, *pass_), journeys->plan_finish(queue, *pass_);
    bytes[4] = timers_.bytes[static_cast<std::size_t>(Phase::plan)];
    timers_.clear();
    experts_->take(queue, 0, pass_->plan);
    const auto count = [&](int journey) {
      for (const Phase phase : {Phase::dispatch, Phase::combine})
        bytes[journey] += timers_.bytes_across[static_cast<std::size_t>(phase)];
      const auto out = static_cast<std::size_t>(Phase::dispatch);
      if (journey == 0) bytes[5] = timers_.bytes[out] - timers_.bytes_across[out];
      bytes[4] += timers_.bytes_across[static_cast<std::size_t>(Phase::router)];
      timers_.clear();
    };
    journeys->dispatch(queue, *pass_), journeys->dispatch_finish(queue, *pass_), count(0);
    clear(pass_->part().outputs);
    journeys->combine(queue, *pass_), journeys->combine_finish(queue, x_, *pass_), count(1);
    journeys->combine_backward(queue, x_, *pass_), journeys->combine_backward_finish(queue, *pass_), count(2);
    clear(pass_->d_rows());
    journeys->dispatch_backward(queue, *pass_), journeys->weights_finish(queue, *pass_);
    journeys->dispatch_backward_finish(queue, x_, *pass_), count(3);
    return bytes;
  }
  const comm::Communicator& world() const { return groups_.world; }

 private:
  static void clear(const Tensor& rows) {
    Kokkos::deep_copy(Vector<std::byte>(rows.data, rows.rows * rows.width * bytes_of(rows.element)), std::byte{0});
  }
  void choose(const ExchangeOptions& options, int nodes, int limit) {
    const moe::Choice& choice = pass_->routing.choice();
    const auto expert = Kokkos::create_mirror_view(choice.expert);
    std::mt19937_64 random(1000003 * limit + groups_.layout.rank);
    for (Index t = 0; t < choice.tokens(); ++t) {
      const std::vector<int> chosen = draw_experts(options, nodes, limit, random);
      for (int j = 0; j < options.top_k; ++j) expert(t * options.top_k + j) = chosen[j];
    }
    Kokkos::deep_copy(choice.expert, expert);
    Kokkos::deep_copy(choice.kept, std::uint8_t{1});
    Kokkos::deep_copy(choice.weight, 1.0f / float(options.top_k));
  }

  Config config_;
  comm::Groups groups_;
  comm::Exchanges exchanges_;
  Timers timers_;
  ParameterSet parameters_;
  nn::Rows rows_;
  Placed<moe::LayerScratch> scratch_;
  Placed<moe::ExpertScratch> shared_;
  Placed<moe::ExpertRows> experts_;
  Placed<moe::LayerPass> pass_;
  Matrix<float> x_;
};

/// (rows out, rows home) of a token by the closed forms.
std::array<double, 2> expected(const ExchangeOptions& options, const Case& c, int nodes) {
  const double straight = straight_rows(nodes, options.top_k);
  if (c.exchange == ExchangeKind::pairwise) return {straight, straight};
  const double once = c.limit > 0 ? limited_rows(nodes, c.limit) : node_rows(nodes, options.experts, options.top_k);
  return {once, c.sums ? once : straight};
}

/// Rows of a token that go to a rank of the node on which they are, out; with a limit nothing simple for rows that are
/// gathered.
std::optional<double> expected_inside(const ExchangeOptions& options, const Case& c, int ranks) {
  const int nodes = ranks / c.ranks_per_node;
  const double handed_on = straight_rows(c.ranks_per_node, options.top_k);
  if (c.exchange == ExchangeKind::pairwise) return handed_on / nodes;
  if (c.exchange == ExchangeKind::node) return handed_on;
  if (c.limit > 0 || options.experts % ranks != 0) return {};
  return (ranks - nodes) * share_with_one_among(options.experts / ranks, options.experts, options.top_k);
}

std::string way_of(const Case& c) {
  if (c.exchange == ExchangeKind::pairwise) return "straight";
  return std::string(c.exchange == ExchangeKind::node ? "by nodes" : "gathered") + (c.sums ? ", sums home" : "");
}

nlohmann::ordered_json measure(const ExchangeOptions& options, const Case& c) {
  MadeUpLayer layer(options, c, comm::Communicator::duplicate(MPI_COMM_WORLD));
  std::array<std::int64_t, 6> bytes = layer.run();
  comm::all_reduce_sum(layer.world(), bytes.data(), bytes.size());
  const int nodes = layer.world().size() / c.ranks_per_node;
  const double tokens = double(options.tokens) * layer.world().size(), row = options.width * sizeof(float);
  const std::array<double, 2> form = expected(options, c, nodes);
  nlohmann::ordered_json j;
  j["nodes"] = nodes, j["ranks"] = layer.world().size(), j["experts"] = options.experts, j["top_k"] = options.top_k;
  j["tokens"] = tokens, j["limit"] = c.limit;
  j["way"] = way_of(c);
  for (int i = 0; i < 4; ++i) j["rows"].push_back(double(bytes[i]) / row / tokens);
  j["closed_form"] = {form[0], form[1], form[0], form[1]};
  const double all = double(bytes[0] + bytes[1] + bytes[2] + bytes[3]) / row / tokens;
  j["saved_dispatch"] = 1.0 - double(bytes[0]) / row / tokens / straight_rows(nodes, options.top_k);
  j["saved"] = 1.0 - all / (4.0 * straight_rows(nodes, options.top_k));
  j["other_bytes"] = double(bytes[4]) / tokens;
  j["inside"] = double(bytes[5]) / row / tokens;
  const std::optional<double> inside = expected_inside(options, c, layer.world().size());
  j["closed_form_inside"] = inside ? nlohmann::ordered_json(*inside) : nlohmann::ordered_json();
  return j;
}

void print(const nlohmann::ordered_json& j) {
  const std::string limit = j["limit"] == 0 ? "any" : std::to_string(j["limit"].get<int>()) + " nodes";
  std::printf("%5d  %-8s %-20s", j["nodes"].get<int>(), limit.c_str(), j["way"].get<std::string>().c_str());
  for (int i = 0; i < 4; ++i) std::printf(" %8.4f", j["rows"][i].get<double>());
  std::printf("  %8.4f %8.4f  %6.1f%% %6.1f%% %8.1f %8.4f", j["closed_form"][0].get<double>(),
              j["closed_form"][1].get<double>(), 100 * j["saved_dispatch"].get<double>(),
              100 * j["saved"].get<double>(), j["other_bytes"].get<double>(), j["inside"].get<double>());
  const nlohmann::ordered_json& form = j["closed_form_inside"];
  form.is_null() ? std::printf("        -\n") : std::printf(" %8.4f\n", form.get<double>());
}

std::vector<Case> cases_of(const ExchangeOptions& options, int ranks) {
  std::vector<Case> cases;
  for (int nodes = 2; nodes <= ranks; ++nodes) {
    if (ranks % nodes != 0 || options.experts % nodes != 0) continue;
    std::vector<int> limits{0};
    for (const int limit : options.limits)
      if (limit < nodes && limit <= options.top_k && limit * (options.experts / nodes) >= options.top_k)
        limits.push_back(limit);
    for (const int limit : limits) {
      cases.push_back({ranks / nodes, limit, ExchangeKind::pairwise, false});
      cases.push_back({ranks / nodes, limit, ExchangeKind::node, false});
      if (std::has_single_bit(unsigned(nodes)) && nodes <= max_combine_groups)
        cases.push_back({ranks / nodes, limit, ExchangeKind::node, true});
      if (nodes == ranks) continue;  // nothing to gather inside a node
      cases.push_back({ranks / nodes, limit, ExchangeKind::gather, false});
      if (std::has_single_bit(unsigned(ranks)) && ranks <= max_combine_groups)
        cases.push_back({ranks / nodes, limit, ExchangeKind::gather, true});
    }
  }
  return cases;
}

}  // namespace

double straight_rows(int nodes, int top_k) { return double(top_k) * (nodes - 1) / nodes; }

double node_rows(int nodes, int experts, int top_k) {
  return (nodes - 1) * share_with_one_among(experts / nodes, experts, top_k);
}

double limited_rows(int nodes, int limit) { return double(limit) * (nodes - 1) / nodes; }

Exit measure_exchange(const ExchangeOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const std::vector<Case> cases = cases_of(options, world.size());
  check(!cases.empty(), Exit::usage,
        std::to_string(world.size()) + " ranks make no two nodes with as many ranks and as many of the " +
            std::to_string(options.experts) + " experts; start a number with a common divisor with --experts");
  JsonLines lines;
  comm::on_root(world, [&] {
    lines.open(options.json);
    std::printf("rows across nodes of a token, %d experts, top %d, %d tokens a rank, %d ranks\n", options.experts,
                options.top_k, options.tokens, world.size());
    std::printf(
        "nodes  chosen   way                  dispatch  combine combine' dispatch'      out     home  saved' saved  "
        "other B   inside     form\n");
  });
  for (const Case& c : cases) {
    const nlohmann::ordered_json row = measure(options, c);
    comm::on_root(world, [&] {
      print(row);
      lines.add(row);
    });
  }
  return Exit::ok;
}

}  // namespace switchyard::bench
