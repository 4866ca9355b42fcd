// Memory that the ranks of a node share. A message is copied once, by its receiver, out of the sender's own buffer, if
// that lies in memory which others can read (base/shared_memory.hpp), as rooms that rows travel from do; from other
// buffers it goes by MPI. In both cases the sender says so in a slot of its desk for the receiver, which answers once
// it has taken the message. A receiver may look for its messages in any order, by tags; those of one tag keep theirs.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <limits>
#include <list>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "comm/transport/kinds.hpp"
#include "comm/transport/slots.hpp"

namespace switchyard::comm {
namespace {

class WindowRequests;

struct Incoming {
  WindowRequests* of;
  std::byte* buffer;
  std::int64_t rows, bytes;
  int tag;
};

struct Outgoing {
  WindowRequests* of;
  std::int64_t bytes;
  shared_memory::Place place;
  int tag;
};

/// A message that its sender has announced.
struct Announced {
  std::int64_t number, bytes;
  shared_memory::Place place;
  int tag;
};

/// Another rank of the node, as this one deals with it.
class Peer {
 public:
  Peer(int rank, std::int64_t process, Desk& mine) : rank_(rank), reader_(process), mine_(mine) {}
  /// Whether its block at `block` begins with `key`; its desk for this rank is at byte `first` of that.
  bool find_desk(const shared_memory::Place& block, std::int64_t key, std::int64_t first) {
    const std::byte* const start = reader_.at(block);
    if (!start || std::memcmp(start, &key, sizeof key) != 0) return false;
    theirs_ = reinterpret_cast<const Desk*>(start + first);
    return true;
  }
  void send(const Outgoing& message) {
    waiting_.push_back(message);
    announce();
  }
  void receive(const Incoming& message) { expected_.push_back(message); }
  /// Moves what can be moved.
  void progress() {
    clear_taken();
    announce();
    listen();
    while (take_one()) continue;
  }

 private:
  void clear_taken();
  void announce();
  void listen();
  bool take_one();

  int rank_;
  shared_memory::Reader reader_;
  Desk& mine_;
  const Desk* theirs_ = nullptr;
  std::int64_t announced_ = 0, cleared_ = 0, heard_ = 0;  // messages
  std::array<WindowRequests*, slots> sender_{};           // whose message a slot has; null: none that is under way
  std::deque<Outgoing> waiting_;                          // for a slot
  std::list<Incoming> expected_;
  std::list<Announced> arrived_;  // but not taken
};

class WindowTransport : public Transport {
 public:
  explicit WindowTransport(const Communicator& group)
      : mpi_(make_mpi_transport(group)), peers_(static_cast<std::size_t>(group.size())) {}
  /// Whether this rank can read what all those of `node` have; collective over it.
  bool connect(const Communicator& group, const Communicator& node);
  Memory memory() const override { return Memory::host; }
  std::unique_ptr<Requests> begin(std::int64_t row_bytes) override;

  Peer& peer(int rank) {
    expect(peers_.at(rank).has_value(), "a rank whose memory this one can read");
    return *peers_[rank];
  }
  void progress() {
    for (std::optional<Peer>& peer : peers_)
      if (peer) peer->progress();
  }

 private:
  shared_memory::Wanted wanted_;
  std::unique_ptr<Transport> mpi_;
  std::shared_ptr<void> desks_;             // of this rank: one for each rank of the node
  std::vector<std::optional<Peer>> peers_;  // by rank of the group
};

class WindowRequests : public Requests {
 public:
  WindowRequests(WindowTransport& transport, std::int64_t row_bytes, std::unique_ptr<Requests> mpi)
      : transport_(transport), row_bytes_(row_bytes), mpi_(std::move(mpi)) {}
  WindowRequests(const WindowRequests&) = delete;

  void receive(void* buffer, std::int64_t rows, int from, int tag) override {
    const std::int64_t bytes = bytes_of(rows);
    begin(from);
    transport_.peer(from).receive({this, static_cast<std::byte*>(buffer), rows, bytes, tag});
  }
  void send(const void* buffer, std::int64_t rows, int to, int tag) override {
    const std::int64_t bytes = bytes_of(rows);
    const auto place = shared_memory::find(buffer, bytes);
    if (!place) mpi_->send(buffer, rows, to, tag);
    begin(to);
    transport_.peer(to).send({this, bytes, place.value_or(shared_memory::Place{}), tag});
  }
  bool poll() override {
    if (left_ > 0) transport_.progress();
    return mpi_->poll() && left_ == 0;
  }
  void add_incomplete(std::vector<int>& ranks) const override {
    for (std::size_t r = 0; r < left_with_.size(); ++r)
      if (left_with_[r] > 0) ranks.push_back(static_cast<int>(r));
    mpi_->add_incomplete(ranks);
  }
  void receive_by_mpi(const Incoming& message, int from) {
    mpi_->receive(message.buffer, message.rows, from, message.tag);
  }
  void end(int rank) { --left_, --left_with_[rank]; }

 private:
  void begin(int rank) {
    if (left_with_.size() <= static_cast<std::size_t>(rank)) left_with_.resize(rank + 1);
    ++left_, ++left_with_[rank];
  }
  std::int64_t bytes_of(std::int64_t rows) const {
    check(rows >= 0 && rows <= std::numeric_limits<std::int64_t>::max() / row_bytes_, Exit::usage,
          std::to_string(rows) + " rows of " + std::to_string(row_bytes_) +
              " bytes in one message (bytes are counted in 63 bits); use more ranks or a smaller batch");
    return rows * row_bytes_;
  }
  WindowTransport& transport_;
  std::int64_t row_bytes_;
  std::unique_ptr<Requests> mpi_;
  std::int64_t left_ = 0;                // messages that were not taken
  std::vector<std::int64_t> left_with_;  // of these, by rank
};

/// In whatever order they were taken; a slot is free once all before it are.
void Peer::clear_taken() {
  for (std::int64_t n = cleared_; n < announced_; ++n) {
    WindowRequests*& of = sender_[n % slots];
    if (of && theirs_->taken[n % slots].load(std::memory_order_acquire) == n + 1) {
      of->end(rank_);
      of = nullptr;
    }
    if (!of && n == cleared_) ++cleared_;
  }
}

void Peer::announce() {
  while (!waiting_.empty() && announced_ < cleared_ + slots) {
    const Outgoing& message = waiting_.front();
    Slot& slot = mine_.sent[announced_ % slots];
    sender_[announced_ % slots] = message.of;
    slot.bytes = message.bytes, slot.place = message.place, slot.tag = message.tag;
    slot.number.store(++announced_, std::memory_order_release);
    waiting_.pop_front();
  }
}

void Peer::listen() {
  for (;; ++heard_) {
    const Slot& slot = theirs_->sent[heard_ % slots];
    if (slot.number.load(std::memory_order_acquire) != heard_ + 1) return;
    arrived_.push_back({heard_ + 1, slot.bytes, slot.place, slot.tag});
  }
}

/// Of the messages that are expected the first to arrive. Whose memory cannot be found has died: the watchdog says so.
bool Peer::take_one() {
  for (auto message = arrived_.begin(); message != arrived_.end(); ++message) {
    const auto expected = std::find_if(expected_.begin(), expected_.end(),
                                       [&](const Incoming& other) { return other.tag == message->tag; });
    if (expected == expected_.end()) continue;
    expect(expected->bytes == message->bytes, "as many bytes sent as received");
    if (message->place.file < 0) {
      expected->of->receive_by_mpi(*expected, rank_);
    } else {
      const std::byte* from = reader_.at(message->place);
      if (!from) return false;
      std::memcpy(expected->buffer, from, static_cast<std::size_t>(message->bytes));
    }
    mine_.taken[(message->number - 1) % slots].store(message->number, std::memory_order_release);
    expected->of->end(rank_);
    expected_.erase(expected), arrived_.erase(message);
    return true;
  }
  return false;
}

std::unique_ptr<Requests> WindowTransport::begin(std::int64_t row_bytes) {
  expect(row_bytes > 0, "rows of at least one byte");
  return std::make_unique<WindowRequests>(*this, row_bytes, mpi_->begin(row_bytes));
}

/// What a rank tells the others of its node: who it is, and where its desks are, after a key.
struct Card {
  std::int64_t rank, process, key, file, block, bytes;
};
constexpr std::int64_t card_words = sizeof(Card) / sizeof(std::int64_t), key_bytes = alignof(Desk);

std::vector<Card> exchange_cards(const Communicator& node, const Card& mine) {
  const auto* words = reinterpret_cast<const std::int64_t*>(&mine);
  const std::vector<std::int64_t> all = all_gather(node, std::vector<std::int64_t>(words, words + card_words));
  std::vector<Card> cards(static_cast<std::size_t>(node.size()));
  std::memcpy(cards.data(), all.data(), cards.size() * sizeof(Card));
  return cards;
}

shared_memory::Place place_of(const Card& card, std::int64_t first) {
  return {static_cast<std::int32_t>(card.file), card.block, card.bytes, first};
}

/// A process of another container may have the same number and other files: the key tells.
bool WindowTransport::connect(const Communicator& group, const Communicator& node) {
  Card mine{group.rank(), ::getpid(), std::int64_t{std::random_device()()} << 31 | std::random_device()() >> 1,
            -1,           0,          key_bytes + node.size() * static_cast<std::int64_t>(sizeof(Desk))};
  desks_ = shared_memory::make(mine.bytes);
  auto* const start = static_cast<std::byte*>(desks_.get());
  if (start) {
    std::memcpy(start, &mine.key, sizeof mine.key);
    for (int r = 0; r < node.size(); ++r) new (start + key_bytes + r * sizeof(Desk)) Desk{};
    const shared_memory::Place place = *shared_memory::find(start, mine.bytes);
    mine.file = place.file, mine.block = place.block;
  }
  const std::vector<Card> cards = exchange_cards(node, mine);
  if (std::any_of(cards.begin(), cards.end(), [](const Card& card) { return card.file < 0; })) return false;
  for (int r = 0; r < node.size(); ++r) {
    if (r == node.rank()) continue;
    const Card& card = cards[r];
    Desk& desk = *reinterpret_cast<Desk*>(start + key_bytes + r * sizeof(Desk));
    const bool found =
        peers_[card.rank]
            .emplace(static_cast<int>(card.rank), card.process, desk)
            .find_desk(place_of(card, 0), card.key, key_bytes + node.rank() * static_cast<std::int64_t>(sizeof(Desk)));
    if (!found) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<Transport> make_window_transport(const Communicator& group, const Nodes& nodes) {
  const Communicator node = group.split(nodes.of.at(group.rank()), group.rank());
  auto made = std::make_unique<WindowTransport>(group);
  std::int64_t failed = !made->connect(group, node);
  all_reduce_max(group, &failed, 1);  // also the last moment at which a peer's desks are looked for
  if (failed) return nullptr;
  return made;
}

}  // namespace switchyard::comm
