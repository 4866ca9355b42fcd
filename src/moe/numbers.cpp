#include "moe/numbers.hpp"

#include "base/activity.hpp"
#include "base/clock.hpp"
#include "base/ledger.hpp"

namespace switchyard::moe {

void NumbersFlight::send(comm::Exchange& exchange, const comm::RowRanges& by_rank, std::int64_t bytes, const void* from,
                         const comm::ExchangeTag& tag) {
  const ledger::For purpose(ledger::Purpose::plan);
  exchange_ = &exchange, bytes_ = bytes;
  itinerary_.out.send = by_rank;
  flight_ = exchange.send({itinerary_, comm::Bound::out, bytes, tag}, from);
}

void NumbersFlight::receive(const comm::RowRanges& by_rank, void* to) {
  const ledger::For purpose(ledger::Purpose::plan);  // an exchange that waits for this sends them now
  itinerary_.out.receive = by_rank;
  const comm::RowRanges none(by_rank.size());
  itinerary_ = exchange_->prepare({itinerary_.out, {none, none}});
  flight_->receive(to);
}

bool NumbersFlight::poll() {
  if (flight_ && flight_->poll()) flight_.reset();
  return !flight_;
}

void NumbersFlight::wait() {
  if (poll()) return;
  flight_->finish();
  flight_.reset();
}

void Numbers::wait_for(NumbersFlight& numbers) {
  if (numbers.poll()) return;
  const double begin = now();
  const activity::OnHop hop(activity::Hop::numbers);
  numbers.wait();
  add(begin);
}

void Numbers::receive(NumbersFlight& numbers, const comm::RowRanges& by_rank, void* to) {
  const double begin = now();
  const activity::OnHop hop(activity::Hop::numbers);
  numbers.receive(by_rank, to);
  if (numbers.blocks()) add(begin);
}

void Numbers::add(double begin) {
  if (waited_.seconds == 0.0) waited_.from = begin;
  waited_.until = now();
  waited_.seconds += waited_.until - begin;
}

}  // namespace switchyard::moe
