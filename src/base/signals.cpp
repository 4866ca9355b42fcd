#include "base/signals.hpp"

#include <pthread.h>

namespace switchyard {

const std::vector<int>& stop_signals() {
  static const std::vector<int> signals = [] {
    std::vector<int> all{SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
    struct sigaction standing = {};
    sigaction(SIGHUP, nullptr, &standing);
    if (standing.sa_handler != SIG_IGN) all.push_back(SIGHUP);
    return all;
  }();
  return signals;
}

sigset_t stop_signal_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : stop_signals()) sigaddset(&set, signal);
  return set;
}

sigset_t hold_stop_signals() {
  const sigset_t held = stop_signal_set();
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &held, &before);
  return before;
}

const char* signal_name(int number) {
  switch (number) {
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "signal";
  }
}

}  // namespace switchyard
