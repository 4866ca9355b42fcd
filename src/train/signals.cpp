#include "train/signals.hpp"

#include <atomic>
#include <csignal>

#include "base/clock.hpp"
#include "base/signals.hpp"

namespace switchyard::train {
namespace {

volatile std::sig_atomic_t last_signal = 0;

std::atomic<double> first_end = 0.0;
static_assert(std::atomic<double>::is_always_lock_free, "a handler writes it");

void remember(int number) {
  last_signal = number;
  if (number == SIGUSR1 || number == SIGUSR2 || first_end != 0.0) return;
  first_end = now();  // clock_gettime, which handlers may call
}

}  // namespace

StopSignals::StopSignals() {
  last_signal = 0, first_end = 0.0;
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  for (const int signal : stop_signals()) sigaction(signal, &action, nullptr);
  const sigset_t all = stop_signal_set();
  pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
}

int StopSignals::received() { return last_signal; }

double StopSignals::announced() { return first_end; }

}  // namespace switchyard::train
