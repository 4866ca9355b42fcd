// MPI's own MPI_Alltoallv, the baseline that the other algorithms are compared with. It blocks: everything happens in
// start.
#include "comm/exchange/algorithms.hpp"
#include "comm/pending.hpp"

namespace switchyard::comm {
namespace {

class Alltoallv : public Exchange {
 public:
  explicit Alltoallv(const Communicator& group) : group_(group) {}

  void start(const RowPlan& plan, int width, const float* send, float* receive, ExchangeTag) override {
    check_plan(plan, group_.size(), group_.rank());
    const RowType row(width);
    const Blocks out(plan.send), in(plan.receive);
    check_mpi(MPI_Alltoallv(send, out.counts.data(), out.first.data(), row.handle(), receive, in.counts.data(),
                            in.first.data(), row.handle(), group_.handle()));
  }

  void finish() override {}

 private:
  struct Blocks {
    std::vector<int> counts, first;
    explicit Blocks(const std::vector<std::int64_t>& rows) {
      mpi_count(rows.back(), "rows of an alltoallv exchange");
      for (std::size_t p = 0; p + 1 < rows.size(); ++p) {
        counts.push_back(static_cast<int>(rows[p + 1] - rows[p]));
        first.push_back(static_cast<int>(rows[p]));
      }
    }
  };
  const Communicator& group_;
};

}  // namespace

std::unique_ptr<Exchange> make_alltoallv(const Communicator& group) { return std::make_unique<Alltoallv>(group); }

}  // namespace switchyard::comm
