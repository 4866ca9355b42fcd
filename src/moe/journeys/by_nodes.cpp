// Rows of tokens go once to each part of the expert-parallel group with their experts, over one leg or two
// (Layout::legs), and from there to the experts. Home they come as the sums of groups of experts where these are whole
// in a part (moe.combine_groups), else as they are. Only the first leg has other work done beside it.
#include "moe/journeys/kinds.hpp"
#include "moe/layer_pass.hpp"
#include "moe/relay.hpp"
#include "moe/transfer.hpp"

namespace switchyard::moe {
namespace {

/// Where token rows that this rank sends itself lie among the tokens that are handed on.
Range handed_on_of(const Crossing& crossing, const Range& own_rows) {
  const std::int64_t there = crossing.own_tokens_here().first - crossing.own_token_rows().first;
  return {own_rows.first + there, own_rows.last + there};
}

class ByNodes : public Journeys {
 public:
  ByNodes(const LayerContext& context, int block)
      : context_(context),
        near_(context, near_way(context), block),
        stop_of_weights_(stop_of_weights(context.config, context.groups.layout)) {
    for (const Leg& leg : context.groups.layout.legs()) relays_.emplace_back(context, leg, block);
  }

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
  void weights_finish(const Queue& queue, LayerPass& pass) const override;
  void dispatch_backward_finish(const Queue& queue, const Tensor& dx, LayerPass& pass) const override;

 private:
  /// Tokens that this rank has brought itself to a stop, and their rows.
  struct Own {
    Range tokens;
    Tensor rows;
  };
  int legs() const { return static_cast<int>(relays_.size()); }
  LegTrip trip(LayerPass& pass, int leg) const {
    return {pass.crossings[leg], pass.scratch.legs[leg], pass.scratch.transfer.element, pass.tokens.step, pass.lane};
  }
  Buffer& home_of(LayerPass& pass, int stop, Journey journey) const;
  Tensor bring(const Queue& queue, LayerPass& pass, Tensor rows, Journey journey) const;
  Own own(const Queue& queue, LayerPass& pass, Journey journey) const;
  Range own_tokens(const LayerPass& pass) const;
  void send_home(const Queue& queue, LayerPass& pass, const Tensor& rows, Journey journey) const;
  void add_home(const Queue& queue, LayerPass& pass, const Tensor& to, Journey journey) const;
  void make_weights(const Queue& queue, LayerPass& pass, int stop, const Range& tokens, const Tensor& dy) const;
  void make_gradients(const Queue& queue, LayerPass& pass, const Range& tokens, const Tensor& dy) const;
  void start_weights_home(const Queue& queue, LayerPass& pass) const;

  LayerContext context_;
  Transfer near_;
  std::vector<Relay> relays_;
  int stop_of_weights_;
};

void ByNodes::plan(const Queue& queue, LayerPass& pass) const {
  relays_[0].plan(queue, trip(pass, 0), pass.crossings[0].own_tokens(pass.routing.choice(), pass.pieces));
}

/// Inside the node nothing is hidden, numbers of rows as little as these.
void ByNodes::plan_finish(const Queue& queue, LayerPass& pass) const {
  pass.crossings[0].finish(queue);
  for (int leg = 1; leg < legs(); ++leg) {
    relays_[leg].plan(queue, trip(pass, leg), pass.crossings[leg - 1].tokens_handed_on());
    pass.crossings[leg].finish(queue);
  }
  const Crossing& last = pass.crossings.back();
  pass.plan.begin(queue, last.cut(), last.handed_on(), pass.pieces, near_way(context_), pass.tokens.step);
  pass.plan.finish(queue);
  near_.count_plan(pass.plan);
}

/// Over the other legs, rows that the first one brought.
Tensor ByNodes::bring(const Queue& queue, LayerPass& pass, Tensor rows, Journey journey) const {
  for (int leg = 1; leg < legs(); ++leg) {
    relays_[leg].leave(queue, trip(pass, leg), rows, journey);
    rows = relays_[leg].arrive(queue, trip(pass, leg), journey);
  }
  return rows;
}

Range ByNodes::own_tokens(const LayerPass& pass) const {
  Range tokens = pass.crossings[0].own_tokens_here();
  for (int leg = 1; leg < legs(); ++leg)
    tokens = handed_on_of(pass.crossings[leg], pass.crossings[leg].own_token_rows_of(tokens));
  return tokens;
}

/// At the last stop, before the others have come: from what this rank sends itself.
ByNodes::Own ByNodes::own(const Queue& queue, LayerPass& pass, Journey journey) const {
  const Range sent = pass.crossings[0].own_token_rows();
  Own own{pass.crossings[0].own_tokens_here(), relays_[0].sent(trip(pass, 0), journey).part(sent.first, sent.size())};
  for (int leg = 1; leg < legs(); ++leg) {
    const Crossing& crossing = pass.crossings[leg];
    const Range rows = crossing.own_token_rows_of(own.tokens);
    const Tensor next = relays_[leg].reserved(pass.scratch.legs[leg].send, own.rows.element, rows.size());
    rows::gather(queue, crossing.token_of_row() + rows.first, own.rows, next, own.tokens.first);
    own = {handed_on_of(crossing, rows), next};
  }
  return own;
}

void ByNodes::dispatch(const Queue& queue, LayerPass& pass) const {
  relays_[0].leave(queue, trip(pass, 0), pass.x, Journey::dispatch);
}

void ByNodes::dispatch_here(const Queue& queue, LayerPass& pass) const {
  const Own mine = own(queue, pass, Journey::dispatch);
  rows::gather(queue, pass.plan.token_of_row() + pass.plan.staying().first, mine.rows,
               pass.part(pass.plan.here().rows).rows, mine.tokens.first);
}

void ByNodes::dispatch_finish(const Queue& queue, LayerPass& pass) const {
  const Tensor rows = pass.part().rows, outgoing = near_.outgoing(pass.trip(), rows);
  const Index there = pass.plan.alone() ? pass.plan.here().rows.size() : 0;  // already
  const Tensor tokens =
      bring(queue, pass, relays_[0].arrive(queue, trip(pass, 0), Journey::dispatch), Journey::dispatch);
  rows::gather(queue, pass.plan.token_of_row() + there, tokens, outgoing.part(there, outgoing.rows - there));
  near_.leave_for_experts(queue, pass.trip(), Journey::dispatch);
  near_.arrive_at_experts(queue, pass.trip(), rows, Journey::dispatch);
  pass.scratch.count_near();
}

/// Where rows come home to a stop: outputs are kept where the gradients of weights will be made of them.
Buffer& ByNodes::home_of(LayerPass& pass, int stop, Journey journey) const {
  if (journey == Journey::combine && stop == stop_of_weights_) return pass.combine.home;
  return stop < legs() ? pass.scratch.legs[stop].home : pass.scratch.transfer.home;
}

/// The rows of this rank's experts, or their sums: those of outputs by weight.
void ByNodes::send_home(const Queue& queue, LayerPass& pass, const Tensor& rows, Journey journey) const {
  Buffer& last = home_of(pass, legs(), journey);
  near_.leave_for_home(queue, pass.trip(), rows, last, journey);
  near_.arrive_home(queue, pass.trip(), last, journey);
  Homecoming here{pass.plan.rows_of_tokens(), near_.at_home(pass.trip(), rows, last), false};
  for (int leg = legs() - 1; leg >= 0; --leg) {
    const float* weight = journey == Journey::combine ? pass.crossings[leg].handed_on().weight.data() : nullptr;
    Buffer& home = home_of(pass, leg, journey);
    relays_[leg].leave_for_home(queue, trip(pass, leg), here, weight, journey, home);
    if (leg > 0) here = relays_[leg].arrive_home(queue, trip(pass, leg), journey, home);
  }
  pass.scratch.count_near();
}

void ByNodes::add_home(const Queue& queue, LayerPass& pass, const Tensor& to, Journey journey) const {
  const Homecoming home = relays_[0].arrive_home(queue, trip(pass, 0), journey, home_of(pass, 0, journey));
  const bool weighed = journey == Journey::combine && !home.summed;
  rows::add_sums(queue, home.choices, weighed ? pass.routing.choice().weight.data() : nullptr, home.rows, to);
}

void ByNodes::combine(const Queue& queue, LayerPass& pass) const {
  send_home(queue, pass, pass.part().outputs, Journey::combine);
}

void ByNodes::combine_finish(const Queue& queue, const Tensor& y, LayerPass& pass) const {
  add_home(queue, pass, y, Journey::combine);
}

/// The gradients of the weights of some of the tokens at a stop, given their dy, if they are made there: of outputs,
/// which may lie where the gradients of these go.
void ByNodes::make_weights(const Queue& queue, LayerPass& pass, int stop, const Range& tokens, const Tensor& dy) const {
  if (stop != stop_of_weights_) return;
  const Element branch = pass.scratch.transfer.element;
  const bool last = stop == legs();
  const Tensor outputs = last ? near_.at_home(pass.trip(), pass.part().outputs, pass.combine.home)
                              : relays_[stop].rows_of(pass.combine.home, branch, pass.crossings[stop].choice_rows());
  const rows::Choices choices = last ? pass.plan.rows_of_tokens() : pass.crossings[stop].rows_of_choices();
  float* made = pass.scratch.d_weights.data();
  if (stop > 0) {
    Buffer& here = pass.scratch.legs[stop - 1].d_weights_here;
    here.reserve(pass.crossings[stop - 1].choices_here() * static_cast<Index>(sizeof(float)));
    made = reinterpret_cast<float*>(here.device());
  }
  rows::weight_gradients(queue, rows::choices_of(choices, tokens.first, tokens.last), dy, outputs, made);
}

void ByNodes::combine_backward(const Queue& queue, const Tensor& dy, LayerPass& pass) const {
  make_weights(queue, pass, 0, {0, dy.rows}, dy);
  relays_[0].leave(queue, trip(pass, 0), dy, Journey::combine_backward);
}

/// Of some of the tokens at the last stop, given their dy: the gradients of their rows, to be handed to experts.
void ByNodes::make_gradients(const Queue& queue, LayerPass& pass, const Range& tokens, const Tensor& dy) const {
  make_weights(queue, pass, legs(), tokens, dy);
  const rows::Choices choices = rows::choices_of(pass.plan.rows_of_tokens(), tokens.first, tokens.last);
  rows::row_gradients(queue, choices, pass.crossings.back().handed_on().weight.data(), dy,
                      near_.outgoing(pass.trip(), pass.part().outputs));
}

void ByNodes::combine_backward_here(const Queue& queue, LayerPass& pass) const {
  const Own mine = own(queue, pass, Journey::combine_backward);
  make_gradients(queue, pass, mine.tokens, mine.rows);
  near_.stay(queue, pass.trip(), pass.part().outputs);
}

/// Over the legs that bring sums home; but for the first of them nothing is hidden.
void ByNodes::start_weights_home(const Queue& queue, LayerPass& pass) const {
  for (int leg = stop_of_weights_ - 1; leg >= 0; --leg) {
    relays_[leg].send_weights(queue, trip(pass, leg));
    if (leg == 0) return;
    Buffer& here = pass.scratch.legs[leg - 1].d_weights_here;
    const Index choices = pass.crossings[leg - 1].choices_here();
    here.reserve(choices * static_cast<Index>(sizeof(float)));
    relays_[leg].take_weights(
        queue, trip(pass, leg),
        Vector<float>(reinterpret_cast<float*>(here.device()), static_cast<std::size_t>(choices)));
  }
}

void ByNodes::combine_backward_finish(const Queue& queue, LayerPass& pass) const {
  const Journey journey = Journey::combine_backward;
  Tensor dy = relays_[0].arrive(queue, trip(pass, 0), journey);
  if (legs() > 1) make_weights(queue, pass, 1, {0, dy.rows}, dy);
  dy = bring(queue, pass, dy, journey);
  const Range own = context_.config.layout.local_first ? own_tokens(pass) : Range{};  // done
  for (const Range& tokens : {Range{0, own.first}, Range{own.last, dy.rows}})
    make_gradients(queue, pass, tokens, dy.part(tokens.first, tokens.size()));
  start_weights_home(queue, pass);
  near_.leave_for_experts(queue, pass.trip(), journey);
  near_.arrive_at_experts(queue, pass.trip(), pass.part().outputs, journey);
  pass.scratch.count_near();
}

void ByNodes::dispatch_backward(const Queue& queue, LayerPass& pass) const {
  send_home(queue, pass, pass.d_rows(), Journey::dispatch_backward);
}

void ByNodes::weights_finish(const Queue& queue, LayerPass& pass) const {
  if (stop_of_weights_ == 0) return;
  relays_[0].take_weights(queue, trip(pass, 0), pass.scratch.d_weights);
  pass.scratch.count_weights();
}

void ByNodes::dispatch_backward_finish(const Queue& queue, const Tensor& dx, LayerPass& pass) const {
  add_home(queue, pass, dx, Journey::dispatch_backward);
}

}  // namespace

std::unique_ptr<Journeys> make_by_nodes(const LayerContext& context, int block) {
  return std::make_unique<ByNodes>(context, block);
}

}  // namespace switchyard::moe
