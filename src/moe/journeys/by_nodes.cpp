// Rows of tokens cross to the node of their experts once, to the rank of the rail there, which hands them on inside the
// node. Home they come as the sums of groups of experts where these are whole on a node (moe.combine_groups), else as
// they are. Only the hop between nodes has other work done beside it.
#include "moe/journeys/kinds.hpp"
#include "moe/layer_pass.hpp"
#include "moe/transfer.hpp"

namespace switchyard::moe {
namespace {

/// d_weights(choice) = the gradient that came home in its choice row, +0 where it was dropped.
void take_weights(const Queue& queue, const rows::Choices& choices, const float* came, const Vector<float>& d_weights) {
  const std::int32_t* row = choices.row;
  Kokkos::parallel_for(
      "switchyard::moe::by_nodes::take_weights", queue.range(choices.capacity),
      KOKKOS_LAMBDA(Index i) { d_weights(i) = row[i] < 0 ? 0.0f : came[row[i]]; });
}

class ByNodes : public Journeys {
 public:
  ByNodes(const LayerContext& context, int block)
      : context_(context),
        near_(context, near_way(context), block),
        rail_(context, rail_way(context), block),
        width_(context.config.model.width) {}

  void plan(const Queue& queue, LayerPass& pass) const override;
  void plan_finish(const Queue& queue, LayerPass& pass) const override;
  void dispatch(const Queue& queue, LayerPass& pass) const override;
  void dispatch_here(const Queue& queue, LayerPass& pass) const override;
  void dispatch_finish(const Queue& queue, LayerPass& pass) const override;
  void combine(const Queue& queue, LayerPass& pass) const override;
  void combine_finish(const Queue& queue, const Tensor& y, LayerPass& pass) const override;
  void combine_backward(const Queue& queue, const Tensor& dy, LayerPass& pass) const override;
  void combine_backward_here(const Queue& queue, LayerPass& pass) const override;
  void combine_backward_finish(const Queue& queue, LayerPass& pass) const override;
  void dispatch_backward(const Queue& queue, LayerPass& pass) const override;
  void dispatch_backward_finish(const Queue& queue, const Tensor& dx, LayerPass& pass) const override;

 private:
  Freight freight(LayerPass& pass, Journey journey) const;
  Tensor rows_of(const Buffer& buffer, Element element, Index count) const {
    return {buffer.device(), element, count, width_};
  }
  Tensor reserved(Buffer& buffer, Element element, Index count) const {
    buffer.reserve(count * width_ * bytes_of(element));
    return rows_of(buffer, element, count);
  }
  void hand_on(const Queue& queue, LayerPass& pass, const Tensor& rows, Journey journey) const;
  void hand_back(const Queue& queue, LayerPass& pass, const Range& tokens, const Tensor& dy) const;
  Tensor take_back(const Queue& queue, LayerPass& pass, const Tensor& rows, Buffer& here, Journey journey) const;
  void send_home(const Queue& queue, LayerPass& pass, const Tensor& here, Journey journey) const;
  void add_home(const Queue& queue, LayerPass& pass, const Tensor& to, Journey journey) const;

  LayerContext context_;
  Transfer near_;
  Link rail_;
  int width_;
};

/// By token rows, but home by choice rows where sums do not go home; gradients of outputs as floats.
Freight ByNodes::freight(LayerPass& pass, Journey journey) const {
  const bool out = journey == Journey::dispatch || journey == Journey::combine_backward;
  const bool tokens = out || pass.scratch.rail->sums;
  const Element element = journey == Journey::combine_backward ? Element::f32 : pass.scratch.transfer.element;
  return {tokens ? pass.crossing->tokens() : pass.crossing->choices(),
          out ? comm::Bound::out : comm::Bound::home,
          journey,
          width_ * bytes_of(element),
          pass.tokens.step,
          pass.lane,
          &*pass.crossing};
}

void ByNodes::plan(const Queue& queue, LayerPass& pass) const {
  Crossing& crossing = *pass.crossing;
  crossing.begin(queue, pass.routing.choice(), pass.pieces, rail_way(context_), pass.scratch.rail->work,
                 pass.tokens.step);
  rail_.count(Phase::plan, [&](std::size_t r) { return crossing.bytes_to(r); });
}

/// Inside the node nothing is hidden, numbers of rows as little as these.
void ByNodes::plan_finish(const Queue& queue, LayerPass& pass) const {
  Crossing& crossing = *pass.crossing;
  crossing.finish(queue);
  pass.plan.begin(queue, crossing.cut(), crossing.handed_on(), pass.pieces, near_way(context_), pass.tokens.step);
  pass.plan.finish(queue);
  near_.count_plan(pass.plan);
}

/// To the experts of this node, where they are `rows`: what near_.outgoing has.
void ByNodes::hand_on(const Queue& queue, LayerPass& pass, const Tensor& rows, Journey journey) const {
  near_.leave_for_experts(queue, pass.trip(), journey);
  near_.arrive_at_experts(queue, pass.trip(), rows, journey);
  pass.scratch.count_near();
}

/// The rows of the experts of this node, in the order of the plan's send rows: in `here`, or where they are.
Tensor ByNodes::take_back(const Queue& queue, LayerPass& pass, const Tensor& rows, Buffer& here,
                          Journey journey) const {
  near_.leave_for_home(queue, pass.trip(), rows, here, journey);
  near_.arrive_home(queue, pass.trip(), here, journey);
  return near_.at_home(pass.trip(), rows, here);
}

void ByNodes::dispatch(const Queue& queue, LayerPass& pass) const {
  RailPass& rail = *pass.scratch.rail;
  const Crossing& crossing = *pass.crossing;
  rows::gather(queue, crossing.token_of_row(), pass.x, reserved(rail.send, pass.x.element, crossing.token_rows()));
  rail_.start(queue, rail.under_way, freight(pass, Journey::dispatch), rail.send, rail.receive);
}

/// Of this rank's own tokens, from what it sends itself on the rail.
void ByNodes::dispatch_here(const Queue& queue, LayerPass& pass) const {
  const Crossing& crossing = *pass.crossing;
  const Range own = crossing.own_token_rows(), here = pass.plan.here().rows;
  const Tensor sent = rows_of(pass.scratch.rail->send, pass.x.element, crossing.token_rows());
  rows::gather(queue, pass.plan.token_of_row() + pass.plan.staying().first, sent.part(own.first, own.size()),
               pass.part(here).rows, crossing.own_tokens_here().first);
}

void ByNodes::dispatch_finish(const Queue& queue, LayerPass& pass) const {
  RailPass& rail = *pass.scratch.rail;
  const Tensor rows = pass.part().rows, outgoing = near_.outgoing(pass.trip(), rows);
  const Index there = pass.plan.alone() ? pass.plan.here().rows.size() : 0;  // already
  rail_.finish(queue, rail.under_way, freight(pass, Journey::dispatch), rail.receive);
  rows::gather(queue, pass.plan.token_of_row() + there,
               rows_of(rail.receive, rows.element, pass.crossing->tokens_here()),
               outgoing.part(there, outgoing.rows - there));
  hand_on(queue, pass, rows, Journey::dispatch);
}

/// Rows that were taken back, or their sums: those of outputs by weight.
void ByNodes::send_home(const Queue& queue, LayerPass& pass, const Tensor& here, Journey journey) const {
  RailPass& rail = *pass.scratch.rail;
  const Crossing& crossing = *pass.crossing;
  const rows::Choices choices = pass.plan.rows_of_tokens();
  const float* weight = journey == Journey::combine ? crossing.handed_on().weight.data() : nullptr;
  if (rail.sums)
    rows::sums(queue, choices, weight, here, reserved(rail.send, here.element, crossing.tokens_here()));
  else
    rows::gather(queue, choices.row, here, reserved(rail.send, here.element, crossing.choices_here()));
  const bool kept = journey == Journey::combine && !rail.sums;  // the gradients of weights are made of them
  rail_.start(queue, rail.under_way, freight(pass, journey), rail.send, kept ? pass.combine.home : rail.home);
  pass.scratch.count_near();
}

void ByNodes::add_home(const Queue& queue, LayerPass& pass, const Tensor& to, Journey journey) const {
  RailPass& rail = *pass.scratch.rail;
  const Crossing& crossing = *pass.crossing;
  const Element branch = pass.scratch.transfer.element;
  const bool outputs = journey == Journey::combine;
  const Buffer& home = outputs && !rail.sums ? pass.combine.home : rail.home;
  rail_.finish(queue, rail.under_way, freight(pass, journey), home);
  if (rail.sums)
    return rows::add_sums(queue, crossing.rows_of_nodes(), nullptr, rows_of(home, branch, crossing.token_rows()), to);
  rows::add_sums(queue, crossing.rows_of_choices(), outputs ? pass.routing.choice().weight.data() : nullptr,
                 rows_of(home, branch, crossing.choice_rows()), to);
}

void ByNodes::combine(const Queue& queue, LayerPass& pass) const {
  Buffer& here = pass.scratch.rail->sums ? pass.combine.home : pass.scratch.transfer.home;
  send_home(queue, pass, take_back(queue, pass, pass.part().outputs, here, Journey::combine), Journey::combine);
}

void ByNodes::combine_finish(const Queue& queue, const Tensor& y, LayerPass& pass) const {
  add_home(queue, pass, y, Journey::combine);
}

void ByNodes::combine_backward(const Queue& queue, const Tensor& dy, LayerPass& pass) const {
  RailPass& rail = *pass.scratch.rail;
  const Crossing& crossing = *pass.crossing;
  if (!rail.sums)
    rows::weight_gradients(queue, crossing.rows_of_choices(), dy,
                           rows_of(pass.combine.home, pass.scratch.transfer.element, crossing.choice_rows()),
                           pass.scratch.d_weights.data());
  rows::gather(queue, crossing.token_of_row(), dy, reserved(rail.send, Element::f32, crossing.token_rows()));
  rail_.start(queue, rail.under_way, freight(pass, Journey::combine_backward), rail.send, rail.receive);
}

/// Of some of the tokens here, given their dy: the gradients of their rows, to be handed on, and, where their sums went
/// home, of the weights, for which the outputs may lie where the former go.
void ByNodes::hand_back(const Queue& queue, LayerPass& pass, const Range& tokens, const Tensor& dy) const {
  RailPass& rail = *pass.scratch.rail;
  const Crossing& crossing = *pass.crossing;
  const rows::Choices choices = rows::choices_of(pass.plan.rows_of_tokens(), tokens.first, tokens.last);
  const Tensor outputs = pass.part().outputs;
  if (rail.sums) {
    rail.d_weights_here.reserve(crossing.choices_here() * static_cast<Index>(sizeof(float)));
    rows::weight_gradients(queue, choices, dy, near_.at_home(pass.trip(), outputs, pass.combine.home),
                           reinterpret_cast<float*>(rail.d_weights_here.device()));
  }
  rows::row_gradients(queue, choices, crossing.handed_on().weight.data(), dy, near_.outgoing(pass.trip(), outputs));
}

void ByNodes::combine_backward_here(const Queue& queue, LayerPass& pass) const {
  const Crossing& crossing = *pass.crossing;
  const Range own = crossing.own_token_rows();
  const Tensor sent = rows_of(pass.scratch.rail->send, Element::f32, crossing.token_rows());
  hand_back(queue, pass, crossing.own_tokens_here(), sent.part(own.first, own.size()));
  near_.stay(queue, pass.trip(), pass.part().outputs);
}

void ByNodes::combine_backward_finish(const Queue& queue, LayerPass& pass) const {
  RailPass& rail = *pass.scratch.rail;
  const Crossing& crossing = *pass.crossing;
  rail_.finish(queue, rail.under_way, freight(pass, Journey::combine_backward), rail.receive);
  const Tensor dy = rows_of(rail.receive, Element::f32, crossing.tokens_here());
  const Range own = context_.config.layout.local_first ? crossing.own_tokens_here() : Range{};  // done
  for (const Range& tokens : {Range{0, own.first}, Range{own.last, dy.rows}})
    hand_back(queue, pass, tokens, dy.part(tokens.first, tokens.size()));
  if (rail.sums)
    rail_.start(queue, rail.d_weights, rail.weights(crossing, pass.tokens.step, pass.lane), rail.d_weights_here,
                rail.d_weights_home);
  hand_on(queue, pass, pass.part().outputs, Journey::combine_backward);
}

void ByNodes::dispatch_backward(const Queue& queue, LayerPass& pass) const {
  RailPass& rail = *pass.scratch.rail;
  if (rail.sums) {
    const Crossing& crossing = *pass.crossing;
    rail_.finish(queue, rail.d_weights, rail.weights(crossing, pass.tokens.step, pass.lane), rail.d_weights_home);
    take_weights(queue, crossing.rows_of_choices(), reinterpret_cast<const float*>(rail.d_weights_home.device()),
                 pass.scratch.d_weights);
  }
  const Journey journey = Journey::dispatch_backward;
  send_home(queue, pass, take_back(queue, pass, pass.d_rows(), pass.scratch.transfer.home, journey), journey);
}

void ByNodes::dispatch_backward_finish(const Queue& queue, const Tensor& dx, LayerPass& pass) const {
  add_home(queue, pass, dx, Journey::dispatch_backward);
}

}  // namespace

std::unique_ptr<Journeys> make_by_nodes(const LayerContext& context, int block) {
  return std::make_unique<ByNodes>(context, block);
}

}  // namespace switchyard::moe
