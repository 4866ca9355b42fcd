#include "train/guard.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <tuple>

#include "train/last_words.hpp"
#include "train/stuck_report.hpp"

extern char** environ;

namespace switchyard::train {
namespace {

constexpr const char* by_hand = "; `guard` is started by ranks, not by hand";
constexpr unsigned survived = 50000;  // µs; a launcher that ends the job ends this process in that time too

/// As the rank's, but for what would make it a rank.
std::vector<char*> environment_of_guard() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable; ++variable) {
    const std::string text = *variable;
    bool of_launcher = false;
    for (const char* start : {"PMIX_", "PMI_", "OMPI_", "SLURM_"}) of_launcher |= text.starts_with(start);
    if (!of_launcher) kept.push_back(*variable);
  }
  kept.push_back(nullptr);
  return kept;
}

/// Whether a process could be made; the program in it may still fail to start.
bool spawn(const std::string& program, const GuardFiles& files, int& process) {
  std::array<std::string, 5> words{"switchyard", "guard", std::to_string(files.memory), std::to_string(files.letter),
                                   std::to_string(files.ready)};
  std::vector<char*> arguments, environment = environment_of_guard();
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int file : {files.memory, files.letter, files.ready})
    posix_spawn_file_actions_adddup2(&actions, file, file);  // not closed by exec
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none), sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none), posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(&process, program.c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes), posix_spawn_file_actions_destroy(&actions);
  return error == 0;
}

/// Signals for the job are none of its business; one that ends it quietly is.
void take_signals() {
  for (const int number : {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXCPU}) ::signal(number, SIG_IGN);
}

/// Where the rank left its connections open to this process, others would not see it end.
void close_others(const GuardFiles& files) {
  std::vector<int> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    open.push_back(std::atoi(entry.path().filename().c_str()));
  for (const int file : open)
    if (file != STDERR_FILENO && file != files.memory && file != files.letter && file != files.ready) ::close(file);
}

void wait_for_end(int process, int ready) {
  const int ending = open_process(process);
  const char byte = 1;
  if (::write(ready, &byte, 1) == 1) ::close(ready);
  if (ending >= 0 && ::getppid() == process) {
    pollfd wanted{ending, POLLIN, 0};
    while (::poll(&wanted, 1, -1) < 0 && errno == EINTR) continue;
  }
  while (::getppid() == process) ::usleep(20000);  // systems without such descriptors
}

Mates::Shared& map(int memory) {
  struct stat found {};
  check(::fstat(memory, &found) == 0 && found.st_size >= static_cast<off_t>(Mates::bytes_of(1)), Exit::usage,
        std::string("the memory of the node is not there") + by_hand);
  void* const data = ::mmap(nullptr, Mates::bytes_of(1), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  check(data != MAP_FAILED, Exit::usage, std::string("the memory of the node cannot be mapped") + by_hand);
  return *static_cast<Mates::Shared*>(data);
}

}  // namespace

Letter::Letter() : file_(::memfd_create("switchyard-letter", MFD_CLOEXEC)) {}

Letter::~Letter() {
  if (file_ >= 0) ::close(file_);
}

void Letter::write(const Content& content) const {
  std::string text = std::to_string(content.rank) + "\n" + std::to_string(content.process) + "\n" +
                     std::to_string(content.hosts.size()) + "\n";
  for (const std::string& host : content.hosts) text += host + "\n";
  text += content.log;  // whatever is in its name
  if (::pwrite(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()))
    std::ignore = ::ftruncate(file_, static_cast<off_t>(text.size()));
}

Letter::Content Letter::read(int file) {
  struct stat found {};
  std::string text(::fstat(file, &found) == 0 ? static_cast<std::size_t>(found.st_size) : 0, '\0');
  check(!text.empty() && ::pread(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()), Exit::usage,
        "descriptor " + std::to_string(file) + " holds no letter" + by_hand);
  std::istringstream lines(text);
  Content content;
  std::size_t hosts = 0;
  lines >> content.rank >> content.process >> hosts;
  std::string host;
  std::getline(lines, host);
  while (content.hosts.size() < hosts && std::getline(lines, host)) content.hosts.push_back(host);
  std::getline(lines, content.log, '\0');
  check(content.process > 0 && content.rank >= 0 && static_cast<std::size_t>(content.rank) < content.hosts.size(),
        Exit::usage, std::string("the letter names no rank") + by_hand);
  return content;
}

Guard::Guard(const Mates& mates, const std::vector<std::string>& hosts, const std::string& program)
    : content_{mates.rank(mates.own()), ::getpid(), hosts, ""} {
  if (letter_.file() < 0) return;
  letter_.write(content_);
  start(mates.memory_file(), program);
}

void Guard::start(int memory, const std::string& program) {
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) return;
  const bool made = spawn(program, {memory, letter_.file(), ready[1]}, process_);
  ::close(ready[1]);
  char byte = 0;
  ssize_t n = 0;
  while (made && (n = ::read(ready[0], &byte, 1)) < 0 && errno == EINTR) continue;
  stands_ = n == 1;  // else it has ended without
  ::close(ready[0]);
  if (!made) process_ = -1;
}

/// It may have ended by itself.
Guard::~Guard() {
  if (process_ < 0 || ::waitpid(process_, nullptr, WNOHANG) != 0) return;
  ::kill(process_, SIGKILL);
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void Guard::log_to(const std::string& file) {
  content_.log = file;
  if (stands_) letter_.write(content_);
}

Exit stand_guard(const GuardFiles& files) {
  take_signals();
  const int process = Letter::read(files.letter).process;
  Mates::Shared& shared = map(files.memory);
  close_others(files);
  wait_for_end(process, files.ready);
  ::usleep(survived);
  const activity::Record& record = shared.records()[0];
  if (record.left.load() != 0 || shared.spoken.load() != 0) return Exit::ok;
  const Letter::Content content = Letter::read(files.letter);
  const Seen seen{content.rank, process, ProcessState::dead, false, record.read()};
  const std::string text = report(look_into({seen}, content.hosts), "a rank has died");
  write_all(STDERR_FILENO, text);
  if (!content.log.empty()) append_to_log(content.log, text);
  return Exit::stuck;
}

}  // namespace switchyard::train
