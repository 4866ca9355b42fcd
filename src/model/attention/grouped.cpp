// Grouped-query attention with rotary positions: projections, causal attention, output projection.
#include "model/attention/attention.hpp"
#include "model/attention/causal.hpp"
#include "model/attention/rope.hpp"

namespace switchyard::model {
namespace {

AttentionShape grouped_shape(const Config& config, Index sequences) {
  return {sequences, config.model.context, config.model.heads, config.kv_heads(), config.head_dim()};
}

struct GroupedPass : AttentionPass {
  GroupedPass(Arena& arena, const nn::Rows& lane_rows, const Config& config)
      : shape(grouped_shape(config, lane_rows.sequences)), rows(lane_rows) {
    const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
    state.q = arena.tensor(rows.branch, rows.count, width);
    state.k = arena.tensor(rows.branch, rows.count, kv_width);
    state.v = arena.tensor(rows.branch, rows.count, kv_width);
    state.out = arena.tensor(rows.branch, rows.count, width);
    state.log_sum = arena.matrix<float>(shape.heads, rows.count);
  }
  AttentionShape shape;
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
    const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
    const auto rows = [&](Index of) { return arena.tensor(lane_rows.branch, lane_rows.count, of, Account::scratch); };
    gradient.out = rows(width), gradient.q = rows(width);
    gradient.k = rows(kv_width), gradient.v = rows(kv_width);
    working = arena.vector<float>(
        attention_memory(grouped_shape(config, lane_rows.sequences), lane_rows.branch, threads), Account::scratch);
  }

  Rope rope;
  AttentionGradient gradient;
  Vector<float> working;  ///< attention_memory
};

class GroupedAttention : public Attention {
 public:
  explicit GroupedAttention(const AttentionContext& context)
      : q_(linear_of(context, "q")),
        k_(linear_of(context, "k")),
        v_(linear_of(context, "v")),
        o_(linear_of(context, "o")) {}

  void forward(const Queue& queue, const AttentionScratch& scratch, const Tensor& x, const Tensor& y,
               AttentionPass& pass) const override {
    const auto& shared = static_cast<const GroupedScratch&>(scratch);
    auto& own = static_cast<GroupedPass&>(pass);
    own.x = x;
    q_.forward(queue, x, own.state.q);
    k_.forward(queue, x, own.state.k);
    v_.forward(queue, x, own.state.v);
    attention_forward(queue, own.shape, shared.rope.rotation(), own.state, shared.working);
    o_.forward(queue, own.state.out, y, products::Write::add);
  }

  void backward(const Queue& queue, const AttentionScratch& scratch, const Tensor& dy, const Tensor& dx,
                const AttentionPass& pass) const override {
    const auto& shared = static_cast<const GroupedScratch&>(scratch);
    const auto& own = static_cast<const GroupedPass&>(pass);
    const AttentionGradient& gradient = shared.gradient;
    o_.weight_gradient(queue, own.rows, dy, own.state.out);
    o_.input_gradient(queue, dy, gradient.out);
    attention_backward(queue, own.shape, shared.rope.rotation(), own.state, gradient, shared.working);
    q_.weight_gradient(queue, own.rows, gradient.q, own.x);
    k_.weight_gradient(queue, own.rows, gradient.k, own.x);
    v_.weight_gradient(queue, own.rows, gradient.v, own.x);
    q_.input_gradient(queue, gradient.q, dx);
    k_.input_gradient(queue, gradient.k, dx, products::Write::add);
    v_.input_gradient(queue, gradient.v, dx, products::Write::add);
  }

 private:
  nn::Linear q_, k_, v_, o_;
};

}  // namespace

AttentionMakers grouped_attention() { return makers<GroupedAttention, GroupedScratch>(); }

}  // namespace switchyard::model
