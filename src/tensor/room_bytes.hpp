// How much memory the rooms of a process hold, without their twins: what an arena does not, since they may grow.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

namespace switchyard {

/// Counts the bytes of one room while it lives; by the thread that works, as rooms are made by it alone.
class RoomBytes {
 public:
  RoomBytes() = default;
  explicit RoomBytes(std::int64_t bytes) : bytes_(bytes) { now_ += bytes_, most_ = std::max(most_, now_); }
  RoomBytes(RoomBytes&& from) noexcept : bytes_(std::exchange(from.bytes_, 0)) {}
  RoomBytes& operator=(RoomBytes&& from) noexcept {
    now_ -= std::exchange(bytes_, std::exchange(from.bytes_, 0));
    return *this;
  }
  ~RoomBytes() { now_ -= bytes_; }

  static std::int64_t now() { return now_; }
  static std::int64_t most() { return most_; }  ///< that rooms held at once (the high-water mark in the log)
  static void forget_most() { most_ = now_; }   ///< what there was before was not the run's

 private:
  std::int64_t bytes_ = 0;
  static inline std::int64_t now_ = 0, most_ = 0;
};

}  // namespace switchyard
