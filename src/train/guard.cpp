#include "train/guard.hpp"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "train/last_words.hpp"
#include "train/stuck_report.hpp"

namespace switchyard::train {
namespace {

[[noreturn]] void refuse(const std::string& action, int error) {
  throw Error(Exit::usage, "nobody can watch over the only rank of a node (" + action + ": " + std::strerror(error) +
                               "); allow more processes and files, or set layout.timeout to 0");
}

/// Neither MPI's variables, which would make it a rank, nor anything else.
int spawn(const std::string& program, std::array<int, 2> files, int& process) {
  std::string memory = std::to_string(files[0]), letter = std::to_string(files[1]);
  std::string name = "switchyard", command = "guard";
  std::array<char*, 5> arguments{name.data(), command.data(), memory.data(), letter.data(), nullptr};
  std::array<char*, 1> environment{nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int file : files) posix_spawn_file_actions_adddup2(&actions, file, file);  // not closed by exec
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none), sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none), posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(&process, program.c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes), posix_spawn_file_actions_destroy(&actions);
  return error;
}

/// Signals for the job are none of its business; one that ends it quietly is.
void take_signals() {
  for (const int number : {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXCPU}) ::signal(number, SIG_IGN);
}

/// Where the rank left its connections open to this process, others would not see it end.
void close_others(int memory, int letter) {
  for (int file = ::getdtablesize() < 4096 ? ::getdtablesize() : 4096; file-- > 0;)
    if (file != STDERR_FILENO && file != memory && file != letter) ::close(file);
}

void wait_for_end(int process) {
  const int ending = open_process(process);
  if (ending >= 0 && ::getppid() == process) {
    pollfd wanted{ending, POLLIN, 0};
    while (::poll(&wanted, 1, -1) < 0) continue;
  }
  while (::getppid() == process) ::usleep(20000);  // systems without such descriptors
}

}  // namespace

Letter::Letter() : file_(::memfd_create("switchyard-letter", MFD_CLOEXEC)) {
  if (file_ < 0) refuse("memfd_create", errno);
}

Letter::~Letter() { ::close(file_); }

void Letter::write(const Content& content) const {
  std::string text = std::to_string(content.rank) + "\n" + std::to_string(content.process) + "\n" + content.log + "\n";
  for (const std::string& host : content.hosts) text += host + "\n";
  if (::pwrite(file_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::ftruncate(file_, static_cast<off_t>(text.size())) != 0)
    refuse("write", errno);
}

Letter::Content Letter::read(int file) {
  struct stat found {};
  std::string text(::fstat(file, &found) == 0 ? static_cast<std::size_t>(found.st_size) : 0, '\0');
  check(!text.empty() && ::pread(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()), Exit::usage,
        "descriptor " + std::to_string(file) + " holds no letter; `guard` is started by ranks, not by hand");
  std::istringstream lines(text);
  Content content;
  lines >> content.rank >> content.process;
  std::string line;
  std::getline(lines, line), std::getline(lines, content.log);
  while (std::getline(lines, line)) content.hosts.push_back(line);
  check(!lines.bad() && content.process > 0 && content.rank >= 0 &&
            static_cast<std::size_t>(content.rank) < content.hosts.size(),
        Exit::usage, "the letter names no rank; `guard` is started by ranks, not by hand");
  return content;
}

Guard::Guard(const Mates& mates, const std::vector<std::string>& hosts, const std::string& program)
    : content_{mates.rank(mates.own()), ::getpid(), "", hosts} {
  letter_.write(content_);
  if (const int error = spawn(program, {mates.memory_file(), letter_.file()}, process_)) refuse("spawn", error);
}

Guard::~Guard() {
  ::kill(process_, SIGKILL);
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Guard::log_to(const std::string& file) {
  content_.log = file;
  letter_.write(content_);
}

Exit stand_guard(int memory, int letter) {
  take_signals();
  const int process = Letter::read(letter).process;
  close_others(memory, letter);
  struct stat found {};
  check(::fstat(memory, &found) == 0 && found.st_size >= static_cast<off_t>(Mates::bytes_of(1)), Exit::usage,
        "the memory of the node is not there; `guard` is started by ranks, not by hand");
  void* const data = ::mmap(nullptr, Mates::bytes_of(1), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  check(data != MAP_FAILED, Exit::usage, "the memory of the node cannot be mapped");
  wait_for_end(process);
  auto& shared = *static_cast<Mates::Shared*>(data);
  const activity::Record& record = shared.records()[0];
  if (record.left.load() != 0 || shared.speaker.load() != 0) return Exit::ok;
  const Letter::Content content = Letter::read(letter);
  const Seen seen{content.rank, process, ProcessState::dead, false, record.read()};
  const std::string text = report(look_into({seen}, content.hosts), "a rank has died");
  write_all(STDERR_FILENO, text);
  if (!content.log.empty()) append_to_log(content.log, text);
  return Exit::stuck;
}

}  // namespace switchyard::train
