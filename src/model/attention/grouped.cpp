// Grouped-query attention with rotary positions: projections, causal attention, output projection.
#include "model/attention/attention.hpp"
#include "model/attention/causal.hpp"
#include "model/attention/rope.hpp"

namespace switchyard::model {
namespace {

AttentionShape grouped_shape(const Config& config, Index sequences) {
  return {sequences, config.model.context, config.model.heads, config.kv_heads(), config.head_dim()};
}

/// Whether queries, keys and values are projected as one, since their weights lie one after another. Then the gradient
/// of what is projected is one chain over all three; a host keeps the three chains of its published bits.
bool projected_together(const Config& config) {
  const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
  return !on_host && width * width % unit_block == 0 && kv_width * width % unit_block == 0;
}

/// Queries, keys and values (N, their widths): columns of one matrix, or three.
struct Projected {
  Projected() = default;
  Projected(Arena& arena, Account account, const nn::Rows& rows, const Config& config) {
    const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
    const auto take = [&](Index of) { return arena.tensor(rows.branch, rows.count, of, account); };
    if (!projected_together(config)) {
      q = take(width), k = take(kv_width), v = take(kv_width);
      return;
    }
    all = take(width + 2 * kv_width);
    q = all.part(0, rows.count, 0, width), k = all.part(0, rows.count, width, kv_width);
    v = all.part(0, rows.count, width + kv_width, kv_width);
  }
  Tensor all, q, k, v;
};

struct GroupedPass : AttentionPass {
  GroupedPass(Arena& arena, const nn::Rows& lane_rows, const Config& config)
      : shape(grouped_shape(config, lane_rows.sequences)), rows(lane_rows) {
    projected = Projected(arena, Account::activations, rows, config);
    state.q = projected.q, state.k = projected.k, state.v = projected.v;
    state.out = arena.tensor(rows.branch, rows.count, config.model.width);
    state.log_sum = arena.matrix<float>(shape.heads, rows.count);
  }
  AttentionShape shape;
  Projected projected;
  AttentionState state;
  const nn::Rows& rows;  ///< the lane's
  Tensor x;              ///< (N, d) the caller's
};

struct GroupedScratch : AttentionScratch {
  GroupedScratch(Arena& arena, const Config& config) : rope(arena, config) {}

  std::unique_ptr<AttentionPass> make_pass(Arena& arena, const nn::Rows& lane_rows,
                                           const Config& config) const override {
    return std::make_unique<GroupedPass>(arena, lane_rows, config);
  }
  void take_working(Arena& arena, const nn::Rows& lane_rows, const Config& config, int threads) override {
    gradient.out = arena.tensor(lane_rows.branch, lane_rows.count, config.model.width, Account::scratch);
    projected = Projected(arena, Account::scratch, lane_rows, config);
    gradient.q = projected.q, gradient.k = projected.k, gradient.v = projected.v;
    working = arena.vector<float>(
        attention_memory(grouped_shape(config, lane_rows.sequences), lane_rows.branch, threads), Account::scratch);
  }

  Rope rope;
  Projected projected;  ///< gradients
  AttentionGradient gradient;
  Vector<float> working;  ///< attention_memory
  mutable Lent lent;      ///< `projected`
};

/// The projections to queries, keys and values.
class Projections {
 public:
  explicit Projections(const AttentionContext& context) {
    const std::vector<const char*> names{"q", "k", "v"};
    if (projected_together(context.config))
      parts_ = {linear_of(context, names)};
    else
      for (const char* name : names) parts_.push_back(linear_of(context, {name}));
  }
  void forward(const Queue& queue, const Tensor& x, const Projected& to) const {
    for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].forward(queue, x, part(to, i));
  }
  void weight_gradients(const Queue& queue, const nn::Rows& rows, const Projected& d, const Tensor& x) const {
    for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].weight_gradient(queue, rows, part(d, i), x);
  }
  void input_gradient(const Queue& queue, const Projected& d, const Tensor& dx) const {
    for (std::size_t i = 0; i < parts_.size(); ++i)
      parts_[i].input_gradient(queue, part(d, i), dx, i == 0 ? products::Write::replace : products::Write::add);
  }

 private:
  static Tensor part(const Projected& of, std::size_t i) {
    return of.all ? of.all : i == 0 ? of.q : i == 1 ? of.k : of.v;
  }
  std::vector<nn::Linear> parts_;
};

class GroupedAttention : public Attention {
 public:
  explicit GroupedAttention(const AttentionContext& context) : qkv_(context), o_(linear_of(context, {"o"})) {}

  void forward(const Queue& queue, const AttentionScratch& scratch, const Tensor& x, const Tensor& y,
               AttentionPass& pass) const override {
    const auto& shared = static_cast<const GroupedScratch&>(scratch);
    auto& own = static_cast<GroupedPass&>(pass);
    own.x = x;
    qkv_.forward(queue, x, own.projected);
    attention_forward(queue, own.shape, shared.rope.rotation(), own.state, shared.working);
    o_.forward(queue, own.state.out, y, products::Write::add);
  }

  void backward(const Queue& queue, const AttentionScratch& scratch, const nn::StreamGradient& dy, const Tensor& dx,
                const AttentionPass& pass) const override {
    const auto& shared = static_cast<const GroupedScratch&>(scratch);
    const auto& own = static_cast<const GroupedPass&>(pass);
    queue.beside({&dy.lent},
                 [&](const Queue& other) { o_.weight_gradient(other, own.rows, dy.rounded, own.state.out); });
    o_.input_gradient(queue, dy.rounded, shared.gradient.out);
    queue.reclaim(shared.lent);
    attention_backward(queue, own.shape, shared.rope.rotation(), own.state, shared.gradient, shared.working);
    queue.beside({&shared.lent},
                 [&](const Queue& other) { qkv_.weight_gradients(other, own.rows, shared.projected, own.x); });
    qkv_.input_gradient(queue, shared.projected, dx);
  }

 private:
  Projections qkv_;
  nn::Linear o_;
};

}  // namespace

AttentionMakers grouped_attention() { return makers<GroupedAttention, GroupedScratch>(); }

}  // namespace switchyard::model
