// Every block travels by itself, by the transport of its pair of ranks. Each rank begins with its right neighbour, so
// that no rank is everyone's first target; where it is known what comes, receives are posted before the sends. A block
// without rows is not sent: both sides know the counts by the time of its receive.
#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "comm/exchange/algorithms.hpp"

namespace switchyard::comm {
namespace {

class PairwiseFlight : public Flight {
 public:
  PairwiseFlight(Transports& transports, const Passage& passage, const void* from)
      : group_(transports.group()),
        passage_(passage),
        from_(static_cast<const char*>(from)),
        transfers_(transports, passage.row_bytes) {}
  void send();
  void receive(void* to) override;
  bool poll() override { return transfers_.poll() && received_; }
  void finish() override {
    expect(received_, "a flight that is told where its rows go");
    transfers_.wait();
  }

 private:
  const Communicator& group_;
  Passage passage_;
  const char* from_;
  bool received_ = false;  ///< receive() was called
  Transfers transfers_;
};

void PairwiseFlight::send() {
  const int ranks = group_.size(), rank = group_.rank();
  for (int i = 1; i < ranks; ++i) {
    const int target = (rank + i) % ranks;
    const Range& rows = passage_.plan().send[target];
    if (rows.size())
      transfers_.send(from_ + rows.first * passage_.row_bytes, rows.size(), target, mpi_tag(passage_.tag));
  }
}

void PairwiseFlight::receive(void* to) {
  const int ranks = group_.size(), rank = group_.rank();
  const std::int64_t bytes = passage_.row_bytes;
  const RowPlan& plan = passage_.plan();
  char* const out = static_cast<char*>(to);
  received_ = true;
  for (int i = 1; i < ranks; ++i) {
    const int source = (rank + ranks - i) % ranks;
    const Range& rows = plan.receive[source];
    if (rows.size()) transfers_.receive(out + rows.first * bytes, rows.size(), source, mpi_tag(passage_.tag));
  }
  const Range& own = plan.send[rank];
  if (own.size()) std::memcpy(out + plan.receive[rank].first * bytes, from_ + own.first * bytes, own.size() * bytes);
}

class Pairwise : public Exchange {
 public:
  explicit Pairwise(Transports transports) : transports_(std::move(transports)), group_(transports_.group()) {
    expect(memory() == Memory::host, "transports of host memory: rows that stay are copied there");
  }

  Memory memory() const override { return transports_.memory(); }
  Picked picked() const override { return transports_.picked(); }
  Itinerary prepare(const Itinerary& plans) const override { return checked(plans, group_.size(), group_.rank()); }

  std::unique_ptr<Flight> start(const Passage& passage, const void* from, void* to) override {
    auto flight = std::make_unique<PairwiseFlight>(transports_, passage, from);
    flight->receive(to);
    flight->send();
    return flight;
  }
  std::unique_ptr<Flight> send(const Passage& passage, const void* from) override {
    auto flight = std::make_unique<PairwiseFlight>(transports_, passage, from);
    flight->send();
    return flight;
  }

 private:
  Transports transports_;
  const Communicator& group_;
};

}  // namespace

std::unique_ptr<Exchange> make_pairwise(Transports transports) {
  return std::make_unique<Pairwise>(std::move(transports));
}

}  // namespace switchyard::comm
