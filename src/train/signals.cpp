#include "train/signals.hpp"

#include <csignal>

#include "base/signals.hpp"

namespace switchyard::train {
namespace {

volatile std::sig_atomic_t last_signal = 0;  // the one thing a handler may write

void remember(int number) { last_signal = number; }

}  // namespace

StopSignals::StopSignals() {
  last_signal = 0;
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  for (const int signal : stop_signals()) sigaction(signal, &action, nullptr);
  const sigset_t all = stop_signal_set();
  pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
}

int StopSignals::received() { return last_signal; }

}  // namespace switchyard::train
