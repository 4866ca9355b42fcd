// Numbers of rows, on their way to those who get the rows. Nobody need wait for them: rows leave as soon as their own
// rank knows how many it sends, and the numbers go ahead of them.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>

#include "comm/exchange.hpp"

namespace switchyard::moe {

/// What a plan tells the ranks of a way, as numbers of comm::ExchangeTag::journey beside those of moe::Journey.
enum class Told { counts = 5, choices = 6 };

/// Numbers of one kind, of every rank of a way for every other; both sides know how many by the time of receive().
class NumbersFlight {
 public:
  /// Of `bytes` each; by rank they lie one after another in `from`, which must live until they have come.
  void send(comm::Exchange& exchange, const comm::RowRanges& by_rank, std::int64_t bytes, const void* from,
            const comm::ExchangeTag& tag);
  void receive(const comm::RowRanges& by_rank, void* to);
  /// Whether receive() waits for the other ranks.
  bool blocks() const { return exchange_->blocks(); }
  /// Lets them make progress; whether they have come, or none were sent.
  bool poll();
  /// Returns when they have come.
  void wait();
  /// Bytes that were sent to a rank of the way.
  std::int64_t bytes_to(std::size_t rank) const { return itinerary_.out.send[rank].size() * bytes_; }

 private:
  comm::Exchange* exchange_ = nullptr;
  comm::Itinerary itinerary_;
  std::int64_t bytes_ = 0;
  std::unique_ptr<comm::Flight> flight_;
};

struct Waited {
  double from = 0.0, until = 0.0;  ///< s of this machine's clock
  double seconds = 0.0;            ///< of these; 0: not at all
};

/// How many rows come, which may not be known yet when rows leave.
class Numbers {
 public:
  Numbers() = default;
  Numbers(const Numbers&) = delete;
  virtual ~Numbers() = default;
  /// Lets them make progress; whether they have come, and are in the itinerary of their rows. Memory may grow only
  /// where no kernel runs, and kernels poll.
  virtual bool poll(bool may_grow) = 0;
  /// What this rank did nothing but wait for them, since it was asked last.
  Waited take_waited() { return std::exchange(waited_, {}); }

 protected:
  void wait_for(NumbersFlight& numbers);
  /// NumbersFlight::receive, which may be a wait.
  void receive(NumbersFlight& numbers, const comm::RowRanges& by_rank, void* to);

 private:
  void add(double begin);
  Waited waited_;
};

}  // namespace switchyard::moe
