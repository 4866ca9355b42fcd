// Signals that ask for an end in order, after a checkpoint.
#pragma once
#include <csignal>
#include <vector>

namespace switchyard {

/// SIGUSR1, SIGUSR2, SIGTERM, SIGINT, and SIGHUP but where the process was started with SIGHUP ignored (nohup).
const std::vector<int>& stop_signals();
/// The same as a set.
sigset_t stop_signal_set();
/// Lets them wait until somebody listens, since their default action would kill the process; the mask of before. To be
/// called before threads start.
sigset_t hold_stop_signals();
/// "SIGUSR1" and so on.
const char* signal_name(int number);

}  // namespace switchyard
