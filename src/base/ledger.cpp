#include "base/ledger.hpp"

#include <utility>

namespace switchyard::ledger {
namespace {

constexpr auto purposes = static_cast<std::size_t>(Purpose::count);

std::vector<Sent> table;  // (purposes, ranks)
std::size_t ranks_of_world = 0;
bool is_open = false;
Purpose now_for = Purpose::other;

}  // namespace

const std::vector<std::string>& purpose_names() {
  static_assert(purposes == 11, "a name for every purpose");
  static const std::vector<std::string> names{"plan",          "dispatch", "combine",    "combine_back",
                                              "dispatch_back", "weights",  "statistics", "reduce",
                                              "norm",          "gather",   "other"};
  return names;
}

void open(int ranks) {
  ranks_of_world = static_cast<std::size_t>(ranks);
  table.assign(purposes * ranks_of_world, {});
  is_open = true;
}

void close() { is_open = false; }

For::For(Purpose purpose) : before_(std::exchange(now_for, purpose)) {}
For::~For() { now_for = before_; }

void sent(int rank, std::int64_t bytes) {
  if (!is_open) return;
  Sent& entry = table[static_cast<std::size_t>(now_for) * ranks_of_world + static_cast<std::size_t>(rank)];
  entry.bytes += bytes, ++entry.messages;
}

std::span<const Sent> entries() { return table; }

}  // namespace switchyard::ledger
