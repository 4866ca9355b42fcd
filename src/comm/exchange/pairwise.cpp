// Every block travels by itself: all receives first, then the sends, each rank beginning with its right neighbour so
// that no rank is everyone's first target. A block without rows is not sent: both sides know the counts.
#include <cstring>

#include "comm/exchange/algorithms.hpp"
#include "comm/pending.hpp"

namespace switchyard::comm {
namespace {

class PairwiseFlight : public Flight {
 public:
  explicit PairwiseFlight(const Communicator& group) : pending_(group) {}
  void post(const Communicator& group, const Passage& passage, const char* from, char* to);
  bool poll() override { return pending_.poll(); }
  void finish() override { pending_.wait(); }

 private:
  Pending pending_;
};

void PairwiseFlight::post(const Communicator& group, const Passage& passage, const char* from, char* to) {
  const int ranks = group.size(), rank = group.rank(), tag = mpi_tag(passage.tag);
  const std::int64_t bytes = passage.row_bytes;
  const RowPlan& plan = passage.plan();
  const RowType row(bytes);
  for (int i = 1; i < ranks; ++i) {
    const int source = (rank + ranks - i) % ranks;
    const std::int64_t first = plan.receive[source], rows = plan.receive[source + 1] - first;
    if (rows) pending_.receive(to + first * bytes, rows, row.handle(), source, tag);
  }
  for (int i = 1; i < ranks; ++i) {
    const int target = (rank + i) % ranks;
    const std::int64_t first = plan.send[target], rows = plan.send[target + 1] - first;
    if (rows) pending_.send(from + first * bytes, rows, row.handle(), target, tag);
  }
  const std::int64_t own = plan.send[rank + 1] - plan.send[rank];
  if (own) std::memcpy(to + plan.receive[rank] * bytes, from + plan.send[rank] * bytes, own * bytes);
}

class Pairwise : public Exchange {
 public:
  explicit Pairwise(const Communicator& group) : group_(group) {}

  Itinerary prepare(const RowPlan& plan) const override { return straight(plan, group_.size(), group_.rank()); }

  std::unique_ptr<Flight> start(const Passage& passage, const void* from, void* to) override {
    auto flight = std::make_unique<PairwiseFlight>(group_);
    flight->post(group_, passage, static_cast<const char*>(from), static_cast<char*>(to));
    return flight;
  }

 private:
  const Communicator& group_;
};

}  // namespace

std::unique_ptr<Exchange> make_pairwise(const Communicator& group) { return std::make_unique<Pairwise>(group); }

}  // namespace switchyard::comm
