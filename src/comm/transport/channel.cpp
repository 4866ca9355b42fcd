#include "comm/transport/channel.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.hpp"

namespace switchyard::comm {
namespace {

/// What the first of `all` with that tag is, taken out; false where there is none.
template <class T, class Tag>
bool take_first(std::deque<T>& all, int tag, const Tag& tag_of, T& taken) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const T& one) { return tag_of(one) == tag; });
  if (found == all.end()) return false;
  taken = *found;
  all.erase(found);
  return true;
}

[[noreturn]] void refuse(std::int64_t sent, std::int64_t expected, int tag) {
  throw Error(Exit::internal, "a message of " + std::to_string(sent) + " bytes with tag " + std::to_string(tag) +
                                  " was sent where " + std::to_string(expected) +
                                  " are to be received (the ranks do not have the same plan)");
}

}  // namespace

void Outgoing::send(const Message<const char>& message) {
  read_posts();
  Ask ask{};
  if (take_first(
          asks_, message.tag, [](const Ask& a) { return a.tag; }, ask))
    matched_.push_back({message, ask});
  else
    sends_.push_back(message);
}

/// The posts that have come, each with the first send of its tag where there is one.
bool Outgoing::read_posts() {
  const std::uint64_t before = read_;
  for (;;) {
    const Channel::Post& post = channel_->posts[read_ % post_slots];
    if (post.number.load(std::memory_order_acquire) != read_ + 1) break;
    const Ask ask{read_++, post.bytes, post.tag};
    Message<const char> message{};
    if (take_first(
            sends_, ask.tag, [](const auto& m) { return m.tag; }, message))
      matched_.push_back({message, ask});
    else
      asks_.push_back(ask);
  }
  if (read_ == before) return false;
  channel_->posts_read.store(read_, std::memory_order_release);
  return true;
}

bool Outgoing::has_room() {
  if (sent_ - taken_ < chunk_slots) return true;
  taken_ = channel_->chunks_taken.load(std::memory_order_acquire);
  return sent_ - taken_ < chunk_slots;
}

void Outgoing::write_chunk() {
  Matched& now = matched_.front();
  const bool fits = now.message.bytes == now.ask.bytes;
  Channel::Chunk& chunk = channel_->chunks[sent_ % chunk_slots];
  chunk.post = now.ask.post;
  chunk.bytes = fits ? std::min(chunk_bytes, now.message.bytes - now.done) : 0;
  chunk.total = now.message.bytes;
  if (chunk.bytes) std::memcpy(chunk.data, now.message.data + now.done, chunk.bytes);
  now.done += chunk.bytes;
  chunk.number.store(++sent_, std::memory_order_release);
  if (!fits) refuse(now.message.bytes, now.ask.bytes, now.ask.tag);
  if (now.done < now.message.bytes) return;
  --*now.message.left;
  matched_.pop_front();
}

bool Outgoing::progress() {
  bool moved = !sends_.empty() && read_posts();
  if (!matched_.empty() && has_room()) write_chunk(), moved = true;
  return moved;
}

void Incoming::receive(const Message<char>& message) {
  expected_.push_back({message});
  write_posts();
}

/// As many as there are slots for.
bool Incoming::write_posts() {
  const std::uint64_t all = first_ + expected_.size(), before = posted_;
  if (posted_ == all) return false;
  const std::uint64_t end = std::min(all, channel_->posts_read.load(std::memory_order_acquire) + post_slots);
  for (; posted_ < end; ++posted_) {
    Channel::Post& post = channel_->posts[posted_ % post_slots];
    const Message<char>& message = expected_[posted_ - first_].message;
    post.bytes = message.bytes, post.tag = message.tag;
    post.number.store(posted_ + 1, std::memory_order_release);
  }
  return posted_ != before;
}

void Incoming::take(const Channel::Chunk& chunk) {
  Expected& now = expected_[chunk.post - first_];
  if (chunk.total != now.message.bytes) refuse(chunk.total, now.message.bytes, now.message.tag);
  if (chunk.bytes) std::memcpy(now.message.data + now.done, chunk.data, chunk.bytes);
  now.done += chunk.bytes;
  if (now.done < now.message.bytes) return;
  now.complete = true;
  --*now.message.left;
}

bool Incoming::progress() {
  if (expected_.empty()) return false;
  bool moved = write_posts();
  const Channel::Chunk& chunk = channel_->chunks[taken_ % chunk_slots];
  if (chunk.number.load(std::memory_order_acquire) == taken_ + 1) {
    take(chunk);
    channel_->chunks_taken.store(++taken_, std::memory_order_release);
    moved = true;
  }
  for (; !expected_.empty() && expected_.front().complete; ++first_) expected_.pop_front();
  return moved;
}

}  // namespace switchyard::comm
