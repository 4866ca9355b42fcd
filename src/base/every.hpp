// A clock for lines that say how far long work is.
#pragma once
#include <chrono>

namespace switchyard {

/// due() is true at most once in `interval`, for the first time one after the object was made.
class Every {
 public:
  explicit Every(std::chrono::seconds interval) : interval_(interval) {}
  bool due() {
    const auto now = Clock::now();
    if (now - last_ < interval_) return false;
    last_ = now;
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::seconds interval_;
  Clock::time_point last_ = Clock::now();
};

}  // namespace switchyard
