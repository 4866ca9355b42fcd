// The process: reads the command line, starts MPI where several ranks work or wait, returns one exit code on every
// rank.
#include <malloc.h>

#include <cstdio>

#include "app/commands.hpp"
#include "app/session.hpp"
#include "base/output.hpp"
#include "base/signals.hpp"

namespace switchyard {
namespace {

/// Prints a usage error, help or version.
Exit print(const Parsed& parsed) {
  std::fprintf(parsed.code == Exit::ok ? stdout : stderr, "%s\n", parsed.text.c_str());
  return parsed.code;
}

Exit run(int argc, char** argv) {
  const Parsed parsed = parse_command_line(argc, argv);
  const bool prints = !parsed.command.run || !parsed.text.empty();
  const auto work = [&] { return prints ? print(parsed) : parsed.command.run(); };
  const bool all = !prints && parsed.command.ranks == Ranks::all;
  if (!prints && parsed.command.stops_in_order) hold_stop_signals();
  if (!all && !launched_in_parallel()) return work();
  const Session session(argc, argv);
  return all ? run_on_all_ranks(session, work) : run_on_root(session, work);
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  // Large blocks go back to the system when they are freed. Left to itself, glibc takes up to 32 MiB from one heap
  // after the first that was freed, and what lies between grown rooms stays resident: 5 MiB of 160, which no plan
  // predicts.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  switchyard::output::prepare();
  return static_cast<int>(switchyard::run_alone([&] { return switchyard::run(argc, argv); }));
}
