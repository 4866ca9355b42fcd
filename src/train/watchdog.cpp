#include "train/watchdog.hpp"

#include <mpi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/clock.hpp"
#include "comm/collectives.hpp"
#include "train/last_words.hpp"
#include "train/signals.hpp"

namespace switchyard::train {
namespace {

// A launcher that ends a job kills the ranks one after the other: who has survived another one's end for so long is not
// meant, and whose launcher has announced the end for longer than mpirun leaves between that and a kill is.
constexpr double survived = 0.05, announced = 0.5;  // s
// mpirun ends the ranks of the node that asked for it, which takes two seconds, then tells the others, then kills them
// two seconds later: a node that knows nothing of the cause has nothing to add meanwhile.
constexpr double other_nodes_first = 5.0, killing = 5.0;  // s
constexpr double silence = 1.0;                           // s that another rank may take to write what it has begun to
constexpr unsigned last_resort = 20;                      // s after which MPI_Abort has not ended this process

std::string host_name() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return host.data();
}

/// "3 s", "0.25 s".
std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g s", seconds);
  return text.data();
}

/// A thread that no signal interrupts: they are for the one that works.
template <class Work>
std::thread start_quietly(Work work) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(work);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

Watchdog::Watchdog(const comm::Communicator& world, double timeout) : timeout_(timeout) {
  if (timeout_ == 0.0) return;
  hosts_ = comm::all_gather(world, host_name());
  mates_.emplace(world);
  known_dead_.assign(mates_->size(), false);
  std::vector<std::int64_t> firsts = comm::all_gather(world, std::vector<std::int64_t>{mates_->rank(0)});
  std::sort(firsts.begin(), firsts.end());
  firsts.erase(std::unique(firsts.begin(), firsts.end()), firsts.end());
  nodes_ = static_cast<int>(firsts.size());
  node_number_ = static_cast<int>(std::lower_bound(firsts.begin(), firsts.end(), mates_->rank(0)) - firsts.begin());
  if (nodes_ > 1 && mates_->size() == 1) guard_.emplace(*mates_, hosts_);
  ending_ = ::eventfd(0, EFD_CLOEXEC);
  check(ending_ >= 0, Exit::usage, "no descriptor is left for the watchdog; raise ulimit -n");
  thread_ = start_quietly([this] { watch(); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  activity::leave();
  const std::uint64_t one = 1;
  while (::write(ending_, &one, sizeof one) < 0 && errno == EINTR) continue;
  thread_.join();
  guard_.reset();
  ::close(ending_);
}

void Watchdog::log_to(const std::string& file) {
  const std::lock_guard<std::mutex> lock(log_lock_);
  log_ = file;
  if (guard_) guard_->log_to(file);
}

std::string Watchdog::note() const {
  if (!mates_) return "";
  if (guard_ && !guard_->stands())
    return "layout.timeout: no process could be started beside rank " + std::to_string(mates_->rank(0)) +
           ", the only one of host " + hosts_[mates_->rank(0)] + ": nobody sees it die but its launcher";
  int hidden = 0;
  for (int mate = 0; mate < mates_->size(); ++mate) hidden += !mates_->sees(mate);
  if (hidden == 0) return "";
  return "layout.timeout: of " + std::to_string(mates_->size()) + " ranks on host " + hosts_[mates_->rank(0)] + ", " +
         std::to_string(hidden) +
         " are in other namespaces of processes: whether they are dead or stopped cannot be seen, only that they make "
         "no progress";
}

bool Watchdog::rests(double seconds) {
  std::vector<pollfd> wanted{{ending_, POLLIN, 0}};
  for (int mate = 0; mate < mates_->size(); ++mate)
    if (!known_dead_[mate] && mates_->ending(mate) >= 0) wanted.push_back({mates_->ending(mate), POLLIN, 0});
  ::poll(wanted.data(), wanted.size(), std::max(1, static_cast<int>(seconds * 1000)));
  return (wanted[0].revents & POLLIN) != 0;
}

/// Each is lost once; one that left the run before, or with the whole job, is not.
bool Watchdog::has_lost_a_mate() {
  bool lost = false;
  for (int mate = 0; mate < mates_->size(); ++mate) {
    if (known_dead_[mate] || mate == mates_->own() || mates_->state(mate) != ProcessState::dead) continue;
    known_dead_[mate] = lost = true;
  }
  if (!lost) return false;
  const double end = StopSignals::announced();
  if (end > 0.0 && now() - end > announced) return false;
  std::this_thread::sleep_for(std::chrono::duration<double>(survived));
  return !mates_->somebody_ends();
}

void Watchdog::watch() {
  const double tick = std::clamp(timeout_ / 20, 0.01, 0.25);
  // A node of which no rank is the cause leaves the word to the one that knows more, if that comes to it.
  const double patience = nodes_ > 1 ? other_nodes_first + std::min(0.1 * node_number_, 2.0) : 0.0;
  std::uint64_t progress = mates_->progress();
  double idle = 0.0, last = now();  // steady: does not count while the machine sleeps
  while (!rests(tick)) {
    if (has_lost_a_mate()) end_job("a rank has died");
    const double time = now();
    idle +=
        std::min(time - last, std::max(2 * tick, timeout_ / 4));  // a stop of this process counts as a quarter at most
    last = time;
    if (const std::uint64_t found = mates_->progress(); found != progress) progress = found, idle = 0.0;
    if (idle > timeout_ / 2) mates_->record(mates_->own()).questions.fetch_add(1);
    const double told = StopSignals::announced();
    const bool is_over = nodes_ > 1 && told > 0.0 && time - told < killing;
    if (idle > timeout_ && ((idle > timeout_ + patience && !is_over) || !look().causes.empty()))
      end_job("no rank of host " + hosts_[mates_->rank(mates_->own())] + " has made progress for " +
              seconds_text(timeout_) + " (layout.timeout)");
  }
}

Standstill Watchdog::look() const {
  std::vector<Seen> seen;
  for (int mate = 0; mate < mates_->size(); ++mate) {
    const activity::Record& record = mates_->record(mate);
    seen.push_back(
        {mates_->rank(mate), mates_->process(mate), mates_->state(mate), record.left.load() != 0, record.read()});
  }
  return look_into(seen, hosts_);
}

void Watchdog::end_job(const std::string& headline) {
  ::alarm(last_resort);  // the system's own end, should MPI not bring it
  if (mates_->may_speak()) {
    speak(headline);
  } else {
    std::this_thread::sleep_for(std::chrono::duration<double>(silence));
    if (!mates_->spoken()) speak(headline);  // the one who was to has been stopped or killed meanwhile
  }
  activity::leave();
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(Exit::stuck));
  std::_Exit(static_cast<int>(Exit::stuck));
}

/// Standard error first: the file system may be what everybody waits for.
void Watchdog::speak(const std::string& headline) {
  const std::string text = report(look(), headline);
  write_all(STDERR_FILENO, text);
  mates_->has_spoken();
  std::string file;
  {
    const std::lock_guard<std::mutex> lock(log_lock_);
    file = log_;
  }
  if (file.empty()) return;
  std::atomic<bool> done = false;
  std::thread writer = start_quietly([&done, file, text] {
    append_to_log(file, text);
    done = true;
  });
  writer.detach();
  for (double until = now() + silence; !done && now() < until;)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace switchyard::train
