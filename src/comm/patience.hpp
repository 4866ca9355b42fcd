// How long a rank that waits for another looks again before it lets others have its core.
#pragma once
#include <thread>

namespace switchyard::comm {

/// A few microseconds of looking while nothing moves, then one yield a round: on a core that is shared, what is waited
/// for comes only once the other rank has had it.
class Patience {
 public:
  void moved() { idle_ = 0; }
  void idle() {
    if (++idle_ > rounds) std::this_thread::yield();
  }

 private:
  static constexpr int rounds = 200;
  int idle_ = 0;
};

}  // namespace switchyard::comm
