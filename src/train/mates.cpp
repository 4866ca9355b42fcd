#include "train/mates.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <sstream>

#include "base/clock.hpp"
#include "comm/agree.hpp"

namespace switchyard::train {
namespace {

[[noreturn]] void refuse(int error, const std::string& action) {
  throw Error(error == ENOSPC || error == EMFILE ? Exit::storage : Exit::usage,
              "the ranks of a node cannot share memory (" + action + ": " + std::strerror(error) +
                  "); make room in /dev/shm, or set layout.timeout to 0: then nobody watches over them");
}

/// An open file of shared memory.
class SharedFile {
 public:
  SharedFile(const std::string& name, int flags) : file_(::shm_open(name.c_str(), flags | O_CLOEXEC, 0600)) {
    if (file_ < 0) refuse(errno, "open " + name);
  }
  SharedFile(const SharedFile&) = delete;
  ~SharedFile() { ::close(file_); }
  /// Really there from then on: pages of a full file system would end the process at their first use.
  void allocate(std::size_t bytes) const {
    if (const int error = ::posix_fallocate(file_, 0, static_cast<off_t>(bytes))) refuse(error, "allocate");
  }
  void* map(std::size_t bytes) const {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (data == MAP_FAILED) refuse(errno, "map");
    return data;
  }
  /// A descriptor of the same file, the caller's.
  int again() const {
    const int file = ::fcntl(file_, F_DUPFD_CLOEXEC, 0);
    if (file < 0) refuse(errno, "duplicate");
    return file;
  }

 private:
  int file_;
};

}  // namespace

int open_process(int process) { return static_cast<int>(::syscall(SYS_pidfd_open, process, 0)); }

ProcessStat parse_stat(const std::string& text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(text.substr(name_end + 1));
  const std::vector<std::string> words{std::istream_iterator<std::string>(rest), {}};
  if (words.size() < 20) return {};
  const char letter = words[0][0];
  const ProcessState state = letter == 'T'                                     ? ProcessState::stopped
                             : letter == 't'                                   ? ProcessState::traced
                             : letter == 'D'                                   ? ProcessState::disk
                             : letter == 'Z' || letter == 'X' || letter == 'x' ? ProcessState::dead
                                                                               : ProcessState::running;
  return {state, std::strtoull(words[19].c_str(), nullptr, 10)};
}

// Not by a stream, which throws where the process ends between opening and reading.
ProcessStat stat_of(int process) {
  const int file = ::open(("/proc/" + std::to_string(process) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  std::array<char, 1024> text{};
  const ssize_t n = ::read(file, text.data(), text.size());
  ::close(file);
  return n > 0 ? parse_stat({text.data(), static_cast<std::size_t>(n)}) : ProcessStat{};
}

NodeMemory::NodeMemory(const comm::Communicator& world, const comm::Communicator& node, std::size_t bytes)
    : bytes_(bytes) {
  std::string name = "/switchyard-" + std::to_string(::getpid()) + "-" + std::to_string(now());
  const bool first = node.rank() == 0;
  comm::agree(world, [&] {
    if (!first) return;
    const SharedFile file(name, O_RDWR | O_CREAT | O_EXCL);
    try {
      file.allocate(bytes);
      data_ = file.map(bytes), file_ = file.again();
    } catch (const Error&) {
      ::shm_unlink(name.c_str());
      throw;
    }
  });
  name = comm::broadcast(node, name, 0);
  try {
    comm::agree(world, [&] {
      if (first) return;
      const SharedFile file(name, O_RDWR);
      data_ = file.map(bytes), file_ = file.again();
    });
  } catch (const Error&) {
    if (first) ::shm_unlink(name.c_str());
    throw;
  }
  if (first) ::shm_unlink(name.c_str());
}

NodeMemory::~NodeMemory() {
  ::munmap(data_, bytes_);
  ::close(file_);
}

Mates::Mates(const comm::Communicator& world)
    : node_(world.split_shared()),
      own_(node_.rank()),
      memory_(world, node_, bytes_of(node_.size())),
      shared_(static_cast<Shared*>(memory_.data())) {
  for (int mate = 0; mate < node_.size(); ++mate) ranks_.push_back(node_.world_rank(mate));
  watch_processes(node_);
  activity::write_to(&record(own_));
}

void Mates::watch_processes(const comm::Communicator& node) {
  const std::int64_t process = ::getpid(), started = static_cast<std::int64_t>(stat_of(::getpid()).started);
  const std::vector<std::int64_t> all = comm::all_gather(node, std::vector<std::int64_t>{process, started});
  for (int mate = 0; mate < node.size(); ++mate) {
    const int other = static_cast<int>(all[2 * mate]);
    processes_.push_back(other), started_.push_back(static_cast<std::uint64_t>(all[2 * mate + 1]));
    // The number alone may be another process's, in a namespace of its own.
    seen_.push_back(mate == own_ || stat_of(other).started == started_[mate]);
    endings_.push_back(mate != own_ && seen_[mate] ? open_process(other) : -1);
  }
}

Mates::~Mates() {
  activity::leave();
  activity::write_to(nullptr);
  for (const int ending : endings_)
    if (ending >= 0) ::close(ending);
}

ProcessState Mates::state(int mate) const {
  if (!seen_[mate]) return ProcessState::running;
  const ProcessStat found = stat_of(processes_[mate]);
  return found.started == started_[mate] ? found.state : ProcessState::dead;
}

std::uint64_t Mates::progress() const {
  std::uint64_t sum = 0;
  for (int mate = 0; mate < size(); ++mate) sum += record(mate).progress.load(std::memory_order_relaxed);
  return sum;
}

bool Mates::may_speak() const {
  std::uint32_t nobody = 0;
  return shared_->speaker.compare_exchange_strong(nobody, static_cast<std::uint32_t>(own_) + 1);
}

bool Mates::somebody_ends() const {
  if (shared_->speaker.load() != 0) return true;
  for (int mate = 0; mate < size(); ++mate)
    if (record(mate).left.load(std::memory_order_acquire) != 0) return true;
  return false;
}

}  // namespace switchyard::train
