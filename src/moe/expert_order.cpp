#include "moe/expert_order.hpp"

namespace switchyard::moe {
namespace {

/// Calls f(place, expert, whether first) for all runs in the order in which they lie.
template <class F>
void for_runs(const Arrivals& a, const F& f) {
  const int places = static_cast<int>(a.first.size());
  for (int p = 0; p < places; ++p)
    for (int e = 0; a.stays(p) && e < a.experts; ++e) f(p, e, true);
  for (int e = 0; e < a.experts; ++e)
    for (int p = 0; p < places; ++p)
      for (const bool first : {true, false})
        if (!first || !a.stays(p)) f(p, e, first);
}

/// Of (place, expert, whether first).
Index number_of(const Arrivals& a, int place, int expert, bool first) {
  return (Index{place} * a.experts + expert) * 2 + (first ? 0 : 1);
}

/// Places the rows of a run; returns its end.
Index place_run(const Arrivals& a, int place, int expert, bool first, Index row, ExpertOrder& order) {
  for (std::int64_t g = a.places[place]; g < a.places[place + 1]; ++g) {
    if (holds(a.first[place], g) != first) continue;
    Range& rows = order.pieces[Index{expert} * a.pieces() + g];
    rows.first = row;
    rows.last = row += a.counts[g * a.experts + expert];
  }
  return row;
}

/// Where the rows of all runs begin among the received ones, in place of their numbers of rows.
void receive_runs(const Arrivals& a, ExpertOrder& order) {
  Index next = 0;
  for (int p = 0; p < static_cast<int>(a.first.size()); ++p) {
    order.received[p].first = next;
    for (const bool first : {true, false})
      for (int e = 0; e < a.experts; ++e) {
        Index& begin = order.begins[number_of(a, p, e, first)];
        const Index count = begin;
        begin = next, next += count;
      }
    order.received[p].last = next;
  }
}

}  // namespace

void order_rows(const Arrivals& a, ExpertOrder& order) {
  order.here.assign(a.experts + 1, 0), order.others.assign(a.experts + 1, 0);
  order.pieces.assign(Index{a.experts} * a.pieces(), {});
  order.received.assign(a.first.size(), {});
  order.runs.clear();
  order.begins.assign(most_runs(a.experts, static_cast<Index>(a.first.size())), 0);
  Index row = 0;
  for_runs(a, [&](int p, int e, bool first) {
    const Index begin = row;
    row = place_run(a, p, e, first, row, order);
    const Index number = number_of(a, p, e, first);  // in place of where it begins, which is not known yet
    order.runs.push_back({begin, number, row - begin});
    order.begins[number] = row - begin;
    const bool here = first && a.stays(p);
    (here ? order.here : order.others)[e + 1] = row - (here ? 0 : order.here.back());
  });
  receive_runs(a, order);
  for (Run& run : order.runs) run.received = order.begins[run.received];
}

}  // namespace switchyard::moe
