#include "train/stuck_report.hpp"

#include <algorithm>
#include <set>

#include "base/check.hpp"
#include "schedule/task.hpp"

namespace switchyard::train {
namespace {

using activity::Now;
using activity::Part;
using activity::Wait;

bool halted(const Seen& s) {
  return s.state == ProcessState::dead || s.state == ProcessState::stopped || s.state == ProcessState::traced;
}

/// Whether both are in one collective, or in exchanges of one group at one place, so that neither waits for the other
/// as far as can be told.
bool together(const Now& a, const Now& b) {
  return a.wait == b.wait && a.group == b.group && !a.is_ahead_of(b) && !b.is_ahead_of(a);
}

std::vector<int> waits_of(const Seen& one, const std::vector<Seen>& all) {
  const Now& now = one.now;
  std::vector<int> found;
  if (now.wait == Wait::none || one.left || one.state == ProcessState::dead) return found;
  const auto known = std::min<std::size_t>(now.peers, now.peer.size());
  if (now.wait == Wait::messages && known > 0) return {now.peer.begin(), now.peer.begin() + known};
  for (const Seen& other : all) {
    if (other.rank == one.rank || !now.group.has(other.rank)) continue;
    if (halted(other) || other.left || (!other.now.is_ahead_of(now) && !together(now, other.now)))
      found.push_back(other.rank);
  }
  if (found.empty() && now.group.count == 1) found.push_back(now.group.first);  // of another node
  return found;
}

std::vector<int> causes_of(const Standstill& s) {
  std::vector<int> found;
  const auto add = [&](auto is_one) {
    for (std::size_t i = 0; i < s.seen.size(); ++i)
      if (!s.seen[i].left && is_one(s.seen[i])) found.push_back(static_cast<int>(i));
  };
  add(halted);
  if (found.empty()) add([](const Seen& one) { return one.now.wait == Wait::none; });
  return found;
}

/// "dispatch backward" of what moves rows; empty for other stages.
std::string journey_of(const schedule::Task& task) {
  using schedule::Stage;
  const bool dispatch = task.stage == Stage::dispatch || task.stage == Stage::dispatch_finish;
  if (!dispatch && task.stage != Stage::combine && task.stage != Stage::combine_finish) return "";
  return std::string(dispatch ? "dispatch" : "combine") +
         (task.direction == schedule::Direction::backward ? " backward" : "");
}

/// ", inside the node" of what a journey waits for; empty where its task says all.
std::string hop_of(const Now& now) {
  using activity::Hop;
  switch (now.wait == Wait::none ? Hop::none : now.hop) {
    case Hop::rail:
      return ", between nodes";
    case Hop::near:
      return ", inside the node";
    case Hop::weights:
      return ", gradients of combine weights";
    case Hop::numbers:
      return ", numbers of its rows";
    default:
      return "";
  }
}

/// " (sums of gradients, bucket from block 2)": what a task that moves no rows waits for.
std::string others_of(const Now& now) {
  if (now.wait == Wait::none) return "";
  if (now.hop == activity::Hop::weights) return " (gradients of combine weights)";
  if (now.hop != activity::Hop::sums) return "";
  return " (sums of gradients, bucket " +
         (now.bucket < 0 ? "from the embedding" : "from block " + std::to_string(now.bucket)) + ")";
}

std::string task_of(const Now& now) {
  if (now.task < 0) return "before its first task";
  schedule::Task task{.stage = static_cast<schedule::Stage>(now.stage), .after = {}};
  task.direction = static_cast<schedule::Direction>(now.direction), task.block = now.block, task.lane = now.lane;
  const std::string journey = now.hop == activity::Hop::numbers ? "dispatch" : journey_of(task);
  return "task " + schedule::text_of(now.task, task) +
         (journey.empty() ? others_of(now) : " (journey " + journey + hop_of(now) + ")");
}

std::string what_it_does(const Seen& s) {
  if (s.left) return "has left the run";
  switch (s.state) {
    case ProcessState::dead:
      return "has died";
    case ProcessState::stopped:
      return "is stopped";
    case ProcessState::traced:
      return "is stopped by a debugger";
    case ProcessState::disk:
      return "waits for a disk or a file system";
    case ProcessState::running:
      return s.now.wait == Wait::none ? "is at work" : "waits";
  }
  throw Error(Exit::internal, "a state of a process without words");
}

/// "ranks 1, 2 and 5 (host b)"; the host of ranks elsewhere.
std::string names_of(const std::vector<int>& ranks, const std::string& here, const std::vector<std::string>& hosts) {
  constexpr std::size_t most = 8;
  std::string text = ranks.size() == 1 ? "rank" : "ranks";
  for (std::size_t i = 0; i < std::min(ranks.size(), most); ++i) {
    const std::string& host = hosts.at(ranks[i]);
    text.append(i == 0 ? " " : ", ").append(std::to_string(ranks[i]));
    if (host != here) text.append(" (host ").append(host).append(")");
  }
  return ranks.size() > most ? text + " and " + std::to_string(ranks.size() - most) + " more" : text;
}

std::string group_name(const activity::Ranks& group) {
  if (group.count == 1) return "rank " + std::to_string(group.first);
  const int last = group.first + group.stride * (group.count - 1);
  return "ranks " + std::to_string(group.first) + " to " + std::to_string(last) +
         (group.stride > 1 ? " in steps of " + std::to_string(group.stride) : "");
}

std::string whom(const Seen& s, const std::vector<int>& waits_for, const std::vector<std::string>& hosts) {
  if (s.now.wait == Wait::none || s.left) return "";
  const bool messages = s.now.wait == Wait::messages;
  std::string text = s.state == ProcessState::running ? " for " : ", waiting for ";
  if (messages) text += "messages of ";
  if (!waits_for.empty()) return text.append(names_of(waits_for, hosts.at(s.rank), hosts));
  return text.append(messages ? "" : "others of ").append(group_name(s.now.group));
}

std::string line_of(const Standstill& s, std::size_t i) {
  const Seen& one = s.seen[i];
  const bool running = one.state == ProcessState::running;
  const std::string where = one.left ? "" : (running ? ", in " : " in ") + place_of(one.now);
  const std::string waits = whom(one, s.waits_for[i], s.hosts);
  return "  rank " + std::to_string(one.rank) + " (process " + std::to_string(one.process) + ") " + what_it_does(one) +
         (running ? waits + where : where + waits);
}

/// Causes, then who waits for one of them, then the others.
std::vector<std::size_t> order_of(const Standstill& s) {
  std::set<int> blamed;
  for (const int cause : s.causes) blamed.insert(s.seen[cause].rank);
  const auto group = [&](std::size_t i) {
    if (blamed.contains(s.seen[i].rank)) return 0;
    const auto& waits = s.waits_for[i];
    return std::any_of(waits.begin(), waits.end(), [&](int rank) { return blamed.contains(rank); }) ? 1 : 2;
  };
  std::vector<std::size_t> order(s.seen.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return group(a) < group(b); });
  return order;
}

}  // namespace

Standstill look_into(const std::vector<Seen>& seen, const std::vector<std::string>& hosts) {
  Standstill found{seen, hosts, {}, {}};
  for (const Seen& one : seen) found.waits_for.push_back(waits_of(one, seen));
  found.causes = causes_of(found);
  return found;
}

std::string place_of(const Now& now) {
  const std::string lanes = now.lanes > 0 ? "the measurement of layout.lanes " + std::to_string(now.lanes) + ", " : "";
  const std::string step = lanes + "step " + std::to_string(now.step);
  switch (now.part) {
    case Part::start:
      return lanes + (lanes.empty() ? "the start of the run" : "its start");
    case Part::tasks:
      return step + ", " + task_of(now);
    case Part::record:
      return "the recording of " + step;
    case Part::evaluation:
      return "the evaluation after " + step;
    case Part::checkpoint:
      return "the checkpoint after " + step;
    case Part::agreement:
      return "the agreement on stopping after " + step;
    case Part::segment:
      return "the start of the segment after " + step;
    case Part::end:
      return "the end of the run, after " + step;
    case Part::count:
      break;
  }
  throw Error(Exit::internal, "a part of a run without words");
}

std::string report(const Standstill& s, const std::string& headline, std::size_t most) {
  std::string text = "switchyard: " + headline + "; the job ends, resume goes on from the last checkpoint";
  const std::vector<std::size_t> order = order_of(s);
  for (std::size_t i = 0; i < std::min(order.size(), most); ++i) text.append("\n").append(line_of(s, order[i]));
  if (order.size() > most)
    text.append("\n  and ").append(std::to_string(order.size() - most)).append(" more ranks of this host");
  return text + "\n";
}

}  // namespace switchyard::train
