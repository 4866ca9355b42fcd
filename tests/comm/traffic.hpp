// Messages between all ranks whose every byte is known.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#include "base/shared_memory.hpp"
#include "comm/transfers.hpp"

namespace switchyard::comm {

/// Byte i of message `message` from one rank to another: another place, rank or message gives another sequence.
inline unsigned char byte_of(int from, int to, int message, std::int64_t i) {
  return static_cast<unsigned char>((i * 31 + (i >> 8) * 7 + from * 101 + to * 57 + message * 13) % 251);
}

/// Bytes that other ranks can read where they lie, as rooms of rows are.
class Readable {
 public:
  explicit Readable(std::int64_t bytes) : memory_(shared_memory::make(bytes + 1)) {
    if (!memory_) throw std::bad_alloc();
  }
  unsigned char* data() const { return static_cast<unsigned char*>(memory_.get()); }

 private:
  std::shared_ptr<void> memory_;
};

/// What a rank has under way with all others: a message of `rows` rows to and from each, of odd numbers out of memory
/// that they can read.
class Traffic {
 public:
  Traffic(Transports& by, std::int64_t row_bytes, std::int64_t rows, int message, int tag)
      : group_(by.group()), bytes_(row_bytes * rows), message_(message) {
    for (int p = 0; p < group_.size(); ++p) {
      in_.emplace_back(bytes_ + 1, 255);
      out_.emplace_back(message % 2 ? 0 : bytes_), readable_.emplace_back(bytes_);
      for (std::int64_t i = 0; i < bytes_; ++i) out_of(p)[i] = byte_of(group_.rank(), p, message, i);
    }
    transfers_ = std::make_unique<Transfers>(by, row_bytes);
    for_peers([&](int p) { transfers_->receive(in_[p].data(), rows, p, tag); });
    for_peers([&](int p) { transfers_->send(out_of(p), rows, p, tag); });
  }
  Transfers& transfers() { return *transfers_; }
  void drop() { transfers_.reset(); }
  /// All rows of the peers and no other byte have arrived.
  void expect_arrived() const {
    for_peers([&](int p) {
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < bytes_; ++i) wrong += in_[p][i] != byte_of(p, group_.rank(), message_, i);
      EXPECT_EQ(wrong, 0) << "bytes of message " << message_ << " from rank " << p;
      EXPECT_EQ(in_[p][bytes_], 255) << "wrote past the end";
    });
  }

 private:
  void for_peers(const std::function<void(int)>& of) const {
    for (int i = 1; i < group_.size(); ++i) of((group_.rank() + i) % group_.size());
  }
  unsigned char* out_of(int p) { return message_ % 2 ? readable_[p].data() : out_[p].data(); }
  const Communicator& group_;
  std::int64_t bytes_;
  int message_;
  std::vector<std::vector<unsigned char>> in_, out_;
  std::vector<Readable> readable_;
  std::unique_ptr<Transfers> transfers_;
};

inline constexpr std::int64_t large = 3 << 20;  // bytes: beyond what any transport buffers

}  // namespace switchyard::comm
