// MPI's own MPI_Alltoallv, the baseline that the other algorithms are compared with. It blocks: everything happens in
// start.
#include "comm/collectives.hpp"
#include "comm/exchange/algorithms.hpp"
#include "comm/mpi_count.hpp"

namespace switchyard::comm {
namespace {

/// Has arrived when it is made.
class Landed : public Flight {
 public:
  bool poll() override { return true; }
  void finish() override {}
};

class Alltoallv : public Exchange {
 public:
  explicit Alltoallv(const Communicator& group) : group_(group) {}

  Memory memory() const override { return Memory::host; }
  Itinerary prepare(const Itinerary& plans) const override { return checked(plans, group_.size(), group_.rank()); }

  std::unique_ptr<Flight> start(const Passage& passage, const void* from, void* to) override {
    const RowType row(passage.row_bytes);
    const Blocks out(passage.plan().send), in(passage.plan().receive);
    count_sent(group_, out.counts, passage.row_bytes);
    const activity::Waiting waiting(group_.members());
    check_mpi(MPI_Alltoallv(from, out.counts.data(), out.first.data(), row.handle(), to, in.counts.data(),
                            in.first.data(), row.handle(), group_.handle()));
    return std::make_unique<Landed>();
  }

 private:
  struct Blocks {
    std::vector<int> counts, first;
    explicit Blocks(const RowRanges& ranks) {
      mpi_count(count_rows(ranks), "rows of an alltoallv exchange");
      for (const Range& rows : ranks) {
        counts.push_back(static_cast<int>(rows.size()));
        first.push_back(static_cast<int>(rows.first));
      }
    }
  };
  const Communicator& group_;
};

}  // namespace

std::unique_ptr<Exchange> make_alltoallv(const Communicator& group) { return std::make_unique<Alltoallv>(group); }

}  // namespace switchyard::comm
