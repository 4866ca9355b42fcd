// How long a rank that waits for another looks again before it lets others have its core.
#pragma once
#include <thread>

namespace switchyard::comm {

/// Some ten microseconds of looking while nothing moves, longer than a chunk takes to copy; then one yield a round: on
/// a core that is shared, what is waited for comes only once the other rank has had it.
class Patience {
 public:
  /// `looks`: what a round costs, in looks at memory that has not changed (5 to 10 ns).
  explicit Patience(int looks) : rounds_(2000 / looks) {}
  void moved() { idle_ = 0; }
  void idle() {
    if (++idle_ > rounds_) std::this_thread::yield();
  }

 private:
  int rounds_;
  int idle_ = 0;
};

}  // namespace switchyard::comm
