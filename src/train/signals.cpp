#include "train/signals.hpp"

#include <array>
#include <csignal>
#include <span>

namespace switchyard::train {
namespace {

volatile std::sig_atomic_t last_signal = 0;  // the one thing a handler may write
constexpr std::array<int, 4> watched{SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
constexpr std::span<const int> warnings{watched.data(), 2};  // the first two
std::array<struct sigaction, watched.size()> earlier;

void remember(int number) { last_signal = number; }

sigset_t set_of(std::span<const int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}

}  // namespace

void hold_warnings() {
  const sigset_t held = set_of(warnings);
  pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

StopSignals::StopSignals() {
  last_signal = 0;
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < watched.size(); ++i) sigaction(watched[i], &action, &earlier[i]);
  const sigset_t all = set_of(watched);
  pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < watched.size(); ++i) sigaction(watched[i], &earlier[i], nullptr);
}

int StopSignals::received() { return last_signal; }

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
    default:
      return "signal";
  }
}

}  // namespace switchyard::train
