// Signals that ask a run to stop at the end of a step: SIGUSR1, SIGUSR2, SIGTERM and SIGINT.
#pragma once

namespace switchyard::train {

/// Lets SIGUSR1 and SIGUSR2, with which batch systems warn, wait for the handlers: before they stand, the default
/// action would kill the process. To be called before threads start.
void hold_warnings();

/// Installs the handlers for its lifetime; the earlier ones come back afterwards. One object a process.
class StopSignals {
 public:
  StopSignals();  ///< signals that were blocked, by hold_warnings or by who started this process, arrive from now on
  StopSignals(const StopSignals&) = delete;
  ~StopSignals();
  /// The last signal received by this process; 0 for none. Batch systems may signal only some ranks: agree on it.
  static int received();
};

/// "SIGUSR1" and so on.
const char* signal_name(int number);

}  // namespace switchyard::train
