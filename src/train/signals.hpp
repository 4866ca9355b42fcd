// Signals that ask a run to stop at the end of a step (stop_signals).
#pragma once

namespace switchyard::train {

/// Installs the handlers, to the end of the process: a run that already stops must not be killed by a second signal.
/// Signals that were held, by hold_stop_signals or by who started this process, arrive from then on. One object a
/// process.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  /// The last signal received by this process; 0 for none. Batch systems may signal only some ranks: agree on it.
  static int received();
  /// When the first SIGTERM, SIGINT or SIGHUP came, with which launchers announce a kill: seconds as of now()
  /// (base/clock.hpp); 0 for never.
  static double announced();
};

}  // namespace switchyard::train
