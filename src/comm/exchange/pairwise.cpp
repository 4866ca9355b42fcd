// Every block travels by itself: all receives first, then the sends, each rank beginning with its right neighbour so
// that no rank is everyone's first target. A block without rows is not sent: both sides know the counts.
#include <cstring>
#include <optional>

#include "comm/exchange/algorithms.hpp"
#include "comm/pending.hpp"

namespace switchyard::comm {
namespace {

class Pairwise : public Exchange {
 public:
  explicit Pairwise(const Communicator& group) : group_(group) {}

  void start(const RowPlan& plan, int width, const float* send, float* receive, ExchangeTag tag) override {
    const int ranks = group_.size(), rank = group_.rank();
    check_plan(plan, ranks, rank);
    const RowType row(width);
    pending_.emplace(group_);
    for (int i = 1; i < ranks; ++i) {
      const int from = (rank + ranks - i) % ranks;
      const std::int64_t first = plan.receive[from], rows = plan.receive[from + 1] - first;
      if (rows) pending_->receive(receive + first * width, rows, row.handle(), from, mpi_tag(tag));
    }
    for (int i = 1; i < ranks; ++i) {
      const int to = (rank + i) % ranks;
      const std::int64_t first = plan.send[to], rows = plan.send[to + 1] - first;
      if (rows) pending_->send(send + first * width, rows, row.handle(), to, mpi_tag(tag));
    }
    const std::int64_t own = plan.send[rank + 1] - plan.send[rank];
    if (own)
      std::memcpy(receive + plan.receive[rank] * width, send + plan.send[rank] * width, own * width * sizeof(float));
  }

  void finish() override {
    if (pending_) pending_->wait();
    pending_.reset();
  }

 private:
  const Communicator& group_;
  std::optional<Pending> pending_;
};

}  // namespace

std::unique_ptr<Exchange> make_pairwise(const Communicator& group) { return std::make_unique<Pairwise>(group); }

}  // namespace switchyard::comm
