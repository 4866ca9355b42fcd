// MPI's own MPI_Alltoallv, the baseline that the other algorithms are compared with. It blocks: everything happens
// when it is told where rows go.
#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "comm/exchange/algorithms.hpp"
#include "comm/mpi_count.hpp"

namespace switchyard::comm {
namespace {

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

class AlltoallvFlight : public Flight {
 public:
  AlltoallvFlight(const Communicator& group, const Passage& passage, const void* from)
      : group_(group), passage_(passage), from_(from) {}
  void receive(void* to) override {
    const RowType row(passage_.row_bytes);
    const Blocks out(passage_.plan().send), in(passage_.plan().receive);
    count_sent(group_, out.counts, passage_.row_bytes);
    const activity::Waiting waiting(group_.members());
    check_mpi(MPI_Alltoallv(from_, out.counts.data(), out.first.data(), row.handle(), to, in.counts.data(),
                            in.first.data(), row.handle(), group_.handle()));
    landed_ = true;
  }
  bool poll() override { return landed_; }
  void finish() override { expect(landed_, "a flight that is told where its rows go"); }

 private:
  const Communicator& group_;
  Passage passage_;
  const void* from_;
  bool landed_ = false;
};

class Alltoallv : public Exchange {
 public:
  explicit Alltoallv(const Communicator& group) : group_(group) {}

  Memory memory() const override { return Memory::host; }
  bool blocks() const override { return true; }
  Itinerary prepare(const Itinerary& plans) const override { return checked(plans, group_.size(), group_.rank()); }

  std::unique_ptr<Flight> start(const Passage& passage, const void* from, void* to) override {
    auto flight = send(passage, from);
    flight->receive(to);
    return flight;
  }
  std::unique_ptr<Flight> send(const Passage& passage, const void* from) override {
    return std::make_unique<AlltoallvFlight>(group_, passage, from);
  }

 private:
  const Communicator& group_;
};

}  // namespace

std::unique_ptr<Exchange> make_alltoallv(const Communicator& group) { return std::make_unique<Alltoallv>(group); }

}  // namespace switchyard::comm
