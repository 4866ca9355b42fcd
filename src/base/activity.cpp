#include "base/activity.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>
#include <type_traits>
#include <utility>

namespace switchyard::activity {
namespace {

static_assert(std::is_trivially_copyable_v<Now>);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "other processes read it");

Record of_process{};
Record* record = &of_process;
Now now;
std::uint32_t answered = 0;

void tell() { record->publish(now); }

void advance() {
  record->progress.store(record->progress.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

Ranks around(std::span<const int> ranks) {
  const auto [min, max] = std::minmax_element(ranks.begin(), ranks.end());
  int stride = 0;
  for (const int rank : ranks) stride = std::gcd(stride, rank - *min);
  stride = std::max(stride, 1);
  return {*min, stride, (*max - *min) / stride + 1};
}

bool Now::is_ahead_of(const Now& other) const {
  return std::tuple(round, step, part, task) > std::tuple(other.round, other.step, other.part, other.task);
}

// A reader of the slot that is overwritten sees a word of it only with the version that made the other slot the one to
// read (the fences), and reads again.
void Record::publish(const Now& next) {
  std::array<std::uint64_t, words> text{};
  std::memcpy(text.data(), &next, sizeof next);
  const std::uint64_t version = version_.load(std::memory_order_relaxed) + 1;
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < words; ++i) slots_[version % 2][i].store(text[i], std::memory_order_relaxed);
  version_.store(version, std::memory_order_release);
}

Now Record::read() const {
  std::array<std::uint64_t, words> text{};
  for (std::uint64_t version = version_.load(std::memory_order_acquire);;) {
    for (std::size_t i = 0; i < words; ++i) text[i] = slots_[version % 2][i].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    const std::uint64_t after = version_.load(std::memory_order_relaxed);
    if (after == version) break;
    version = after;
  }
  Now found;
  std::memcpy(static_cast<void*>(&found), text.data(), sizeof found);
  return found;
}

void write_to(Record* to) {
  record = to ? to : &of_process;
  answered = record->questions.load(std::memory_order_relaxed);
  tell();
  advance();
}

void begin_round(int lanes) {
  ++now.round, now.lanes = lanes;
  begin(Part::start, 0);
}

void begin(Part part, std::int64_t step) {
  const Now before = std::exchange(now, Now());
  now.round = before.round, now.lanes = before.lanes;
  now.step = step, now.part = part;
  tell();
  advance();
}

void begin(Part part) { begin(part, now.step); }

void begin_task(int number, int stage, int direction, int block, int lane) {
  now.part = Part::tasks, now.task = number, now.wait = Wait::none, now.hop = Hop::none;
  now.stage = stage, now.direction = direction, now.block = block, now.lane = lane;
  tell();
  advance();
}

void progress() { advance(); }

void leave() { record->left.store(1, std::memory_order_release); }

OnHop::OnHop(Hop hop, int bucket) : hop_(now.hop), bucket_(now.bucket) { now.hop = hop, now.bucket = bucket; }

OnHop::~OnHop() { now.hop = hop_, now.bucket = bucket_; }

Waiting::Waiting(const Ranks& group, Wait wait) {
  now.wait = wait, now.group = group, now.peers = 0;
  tell();
  advance();
}

Waiting::~Waiting() {
  now.wait = Wait::none;
  tell();
  advance();
}

bool Waiting::asked() const { return record->questions.load(std::memory_order_relaxed) != answered; }

void Waiting::answer(std::span<const int> peers) {
  answered = record->questions.load(std::memory_order_relaxed);
  now.peers = static_cast<std::int32_t>(peers.size());
  std::copy_n(peers.begin(), std::min(peers.size(), now.peer.size()), now.peer.begin());
  tell();
}

}  // namespace switchyard::activity
