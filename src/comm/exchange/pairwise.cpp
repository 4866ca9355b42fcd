// Every block travels by itself, by the transport of its pair of ranks: all receives first, then the sends, each rank
// beginning with its right neighbour so that no rank is everyone's first target. A block without rows is not sent: both
// sides know the counts.
#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "comm/exchange/algorithms.hpp"

namespace switchyard::comm {
namespace {

class PairwiseFlight : public Flight {
 public:
  PairwiseFlight(Transports& transports, std::int64_t row_bytes) : transfers_(transports, row_bytes) {}
  void post(const Communicator& group, const Passage& passage, const char* from, char* to);
  bool poll() override { return transfers_.poll(); }
  void finish() override { transfers_.wait(); }

 private:
  Transfers transfers_;
};

void PairwiseFlight::post(const Communicator& group, const Passage& passage, const char* from, char* to) {
  const int ranks = group.size(), rank = group.rank(), tag = mpi_tag(passage.tag);
  const std::int64_t bytes = passage.row_bytes;
  const RowPlan& plan = passage.plan();
  for (int i = 1; i < ranks; ++i) {
    const int source = (rank + ranks - i) % ranks;
    const Range& rows = plan.receive[source];
    if (rows.size()) transfers_.receive(to + rows.first * bytes, rows.size(), source, tag);
  }
  for (int i = 1; i < ranks; ++i) {
    const int target = (rank + i) % ranks;
    const Range& rows = plan.send[target];
    if (rows.size()) transfers_.send(from + rows.first * bytes, rows.size(), target, tag);
  }
  const Range& own = plan.send[rank];
  if (own.size()) std::memcpy(to + plan.receive[rank].first * bytes, from + own.first * bytes, own.size() * bytes);
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
    auto flight = std::make_unique<PairwiseFlight>(transports_, passage.row_bytes);
    flight->post(group_, passage, static_cast<const char*>(from), static_cast<char*>(to));
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
