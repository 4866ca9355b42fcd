#include "tensor/arena.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace switchyard {

void Arena::place(const char* label) {
  expect(!places_, "an arena that still measures");
  memory_ = make_view<Vector<std::byte>>(label, peak_.used);
  places_ = true;
  now_ = {};
}

void Arena::add(std::int64_t bytes, Account account) {
  const auto a = static_cast<std::size_t>(all_as_.value_or(account));
  now_.of[a] += bytes;
  peak_.of[a] = std::max(peak_.of[a], now_.of[a]);
}

Arena::Mark Arena::past_both(const Mark& a, const Mark& b) {
  Mark end{std::max(a.used, b.used), {}};
  std::transform(a.of.begin(), a.of.end(), b.of.begin(), end.of.begin(),
                 [](std::int64_t x, std::int64_t y) { return std::max(x, y); });
  return end;
}

std::byte* Arena::take_bytes(std::int64_t bytes, Account account) {
  const std::int64_t first = std::exchange(now_.used, now_.used + (bytes + alignment - 1) / alignment * alignment);
  add(now_.used - first, account);
  if (places_) {
    expect(now_.used <= static_cast<std::int64_t>(memory_.size()), "the pieces that were measured");
    return memory_.data() + first;
  }
  peak_.used = std::max(peak_.used, now_.used);
  return nullptr;
}

}  // namespace switchyard
