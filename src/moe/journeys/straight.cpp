// Every row goes to the rank of its expert itself, and home again.
#include "moe/combine.hpp"
#include "moe/dispatch.hpp"
#include "moe/journeys/kinds.hpp"
#include "moe/layer_pass.hpp"

namespace switchyard::moe {
namespace {

class Straight : public Journeys {
 public:
  Straight(const LayerContext& context, int block)
      : context_(context), transfer_(context, near_way(context), block), dispatch_(transfer_), combine_(transfer_) {}

  void plan(const Queue& queue, LayerPass& pass) const override {
    const Choice& choice = pass.routing.choice();
    pass.plan.begin(queue, pass.plan.cut(choice, pass.pieces), choice, pass.pieces, near_way(context_),
                    pass.tokens.step);
    transfer_.count_plan(pass.plan);
  }
  void plan_finish(const Queue& queue, LayerPass& pass) const override { pass.plan.finish(queue); }
  void dispatch(const Queue& queue, LayerPass& pass) const override {
    dispatch_.start(queue, pass.trip(), pass.x, pass.plan.alone() ? pass.part().rows : Tensor{});
  }
  void dispatch_here(const Queue& queue, LayerPass& pass) const override {
    transfer_.stay(queue, pass.trip(), pass.part().rows);
  }
  void dispatch_finish(const Queue& queue, LayerPass& pass) const override {
    dispatch_.finish(queue, pass.trip(), pass.part().rows);
  }
  void combine(const Queue& queue, LayerPass& pass) const override {
    combine_.start(queue, pass.trip(), pass.part().outputs, pass.combine);
  }
  void combine_finish(const Queue& queue, const Tensor& y, LayerPass& pass) const override {
    combine_.finish(queue, pass.trip(), pass.routing.choice().weight, {pass.part().outputs, y}, pass.combine);
  }
  void combine_backward(const Queue& queue, const Tensor& dy, LayerPass& pass) const override {
    combine_.start_backward(queue, pass.trip(), dy, {pass.routing.choice().weight, pass.scratch.d_weights},
                            pass.part().outputs, pass.combine);
  }
  void combine_backward_here(const Queue& queue, LayerPass& pass) const override {
    transfer_.stay(queue, pass.trip(), pass.part().outputs);
  }
  void combine_backward_finish(const Queue& queue, LayerPass& pass) const override {
    combine_.finish_backward(queue, pass.trip(), pass.part().outputs);
  }
  void dispatch_backward(const Queue& queue, LayerPass& pass) const override {
    dispatch_.start_backward(queue, pass.trip(), pass.d_rows());
  }
  void weights_finish(const Queue&, LayerPass&) const override {}  // since combine_backward
  void dispatch_backward_finish(const Queue& queue, const Tensor& dx, LayerPass& pass) const override {
    dispatch_.finish_backward(queue, pass.trip(), pass.d_rows(), dx);
  }

 private:
  LayerContext context_;
  Transfer transfer_;
  Dispatch dispatch_;
  Combine combine_;
};

}  // namespace

std::unique_ptr<Journeys> make_straight(const LayerContext& context, int block) {
  return std::make_unique<Straight>(context, block);
}

}  // namespace switchyard::moe
