// Messages from one rank to another through memory that both have, which holds a channel: slots for chunks of rows one
// way, and slots for what the receiver asks for the other way. No MPI.
//
// The receiver asks first: it posts tag and length of each receive, in order. The sender finds the first send of that
// tag (or the send finds the post) and streams it chunk by chunk, so that rows never travel without a place to go:
// nothing is buffered beyond the slots, no message is in another's way, and a rank that takes what comes while it waits
// with its own rows cannot be part of a deadlock.
//
// A slot is handed over by its number: what was written before a release store of it is read after an acquire load that
// sees it. These are lock-free atomics of C++, which work between processes as between threads.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>

namespace switchyard::comm {

/// Measured with rows that had just been written, two ranks each sending the other as much at the same time: chunks of
/// 32 KiB take 8.5 us for 64 KiB, 33 us for 256 KiB and 210 us for 1 MiB a way, of 8 KiB 12, 52 and 220. More than 4
/// slots gain nothing on cores of their own; on shared ones 8 halve the turns that the ranks have to take. A chunk is
/// still in the cache when it is taken.
inline constexpr std::int64_t chunk_bytes = 32 << 10;
inline constexpr std::uint64_t chunk_slots = 8, post_slots = 16;
inline constexpr std::size_t apart = 128;  // bytes: processors fetch lines of 64 in pairs

/// The memory of a channel; all of it is 0 at first. The n-th post or chunk (from 0) lies in slot n % slots, and is
/// there once the number of the slot is n + 1.
struct Channel {
  struct alignas(apart) Post {
    std::atomic<std::uint64_t> number;
    std::int64_t bytes;
    int tag;
  };
  struct alignas(apart) Chunk {
    std::atomic<std::uint64_t> number;
    std::uint64_t post;  ///< which it belongs to
    std::int64_t bytes;  ///< in this chunk
    std::int64_t total;  ///< of the message; other than the post's: the message is refused
    alignas(apart / 2) char data[chunk_bytes];
  };
  alignas(apart) std::atomic<std::uint64_t> posts_read;    ///< by the sender
  alignas(apart) std::atomic<std::uint64_t> chunks_taken;  ///< by the receiver
  std::array<Post, post_slots> posts;                      ///< by the receiver
  std::array<Chunk, chunk_slots> chunks;                   ///< by the sender
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "or it would lock within one process only");

/// A message under way, sent or received. `*left` counts the messages that are not complete.
template <class Byte>
struct Message {
  Byte* data;
  std::int64_t bytes;
  int tag;
  std::int64_t* left;
};

/// The sender's side.
class Outgoing {
 public:
  explicit Outgoing(Channel& channel) : channel_(&channel) {}
  void send(const Message<const char>& message);
  /// Whether something moved: at most one chunk. Throws Error{internal} where a message is not as long as the receiver
  /// expects it; the receiver then throws as well.
  bool progress();

 private:
  struct Ask {
    std::uint64_t post;
    std::int64_t bytes;
    int tag;
  };
  struct Matched {
    Message<const char> message;
    Ask ask;
    std::int64_t done = 0;  // bytes
  };
  bool read_posts();
  bool has_room();
  void write_chunk();

  Channel* channel_;
  std::uint64_t read_ = 0, sent_ = 0, taken_ = 0;  // posts; chunks; of these taken when last looked
  std::deque<Ask> asks_;                           // without a send
  std::deque<Message<const char>> sends_;          // without a post
  std::deque<Matched> matched_;
};

/// The receiver's side.
class Incoming {
 public:
  explicit Incoming(Channel& channel) : channel_(&channel) {}
  void receive(const Message<char>& message);
  /// As Outgoing's.
  bool progress();

 private:
  struct Expected {
    Message<char> message;
    std::int64_t done = 0;  // bytes
    bool complete = false;
  };
  bool write_posts();
  void take(const Channel::Chunk& chunk);

  Channel* channel_;
  std::uint64_t first_ = 0, posted_ = 0, taken_ = 0;  // post of the first below; posts written; chunks
  std::deque<Expected> expected_;
};

}  // namespace switchyard::comm
