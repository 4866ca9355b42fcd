#include "hdf5/probe.hpp"

#include <fcntl.h>
#include <hdf5.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/check.hpp"
#include "base/files.hpp"
#include "hdf5/hdf5.hpp"

namespace switchyard::hdf5 {
namespace {

constexpr const char* variable = "SWITCHYARD_PROBES_HDF5";  // set for the process that answers
constexpr int server_socket = 3;
constexpr int seconds = 2;
constexpr rlim_t max_memory = rlim_t{2} << 30;
constexpr std::size_t longest = 1 << 14;  // of a path or an answer

// --- the process that reads ---

herr_t take_name(hid_t, const char* name, const H5A_info_t*, void* into) {
  static_cast<std::vector<std::string>*>(into)->push_back(name);
  return 0;
}

void read_attribute(hid_t object, const std::string& name, const std::string& where) {
  const std::string what = "read attribute " + name + " of " + where;
  const Id attribute{check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), what), H5Aclose};
  const Id type{check_hdf5(H5Aget_type(attribute.get()), what), H5Tclose};
  const Id space{check_hdf5(H5Aget_space(attribute.get()), what), H5Sclose};
  const hssize_t points = check_hdf5(H5Sget_simple_extent_npoints(space.get()), what);
  const std::size_t size = H5Tget_size(type.get());
  check(points >= 0 && (size == 0 || static_cast<rlim_t>(points) < max_memory / size), Exit::corrupt,
        where + " is damaged (its attribute " + name + " is larger than any memory)");
  std::vector<char> values(static_cast<std::size_t>(points) * size + 1);
  check_hdf5(H5Aread(attribute.get(), type.get(), values.data()), what);
  H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, values.data());
}

/// A killed job may leave an index whose last, unacknowledged entries cannot be read: that is no error here.
void read_index(hid_t dataset) {
  const Id space{H5Dget_space(dataset), H5Sclose}, list{H5Dget_create_plist(dataset), H5Pclose};
  hsize_t chunks = 0;
  if (space.valid() && list.valid() && H5Pget_layout(list.get()) == H5D_CHUNKED)
    H5Dget_num_chunks(dataset, space.get(), &chunks);
}

void read_all(const std::string& path) {
  const File file = File::open_unprobed(path);
  std::vector<std::string> objects;
  const auto visit = [](hid_t, const char* name, const H5O_info_t*, void* into) -> herr_t {
    static_cast<std::vector<std::string>*>(into)->push_back(name);
    return 0;
  };
  check_hdf5(H5Ovisit2(file.id(), H5_INDEX_NAME, H5_ITER_INC, visit, &objects, H5O_INFO_BASIC), "list " + path);
  for (const std::string& name : objects) {
    const std::string where = name == "." ? path : path + ":" + name;
    const Id object{check_hdf5(H5Oopen(file.id(), name.c_str(), H5P_DEFAULT), "open " + where), H5Oclose};
    std::vector<std::string> attributes;
    hsize_t next = 0;
    check_hdf5(H5Aiterate2(object.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &next, take_name, &attributes),
               "list the attributes of " + where);
    for (const std::string& attribute : attributes) read_attribute(object.get(), attribute, where);
    if (H5Iget_type(object.get()) == H5I_DATASET) read_index(object.get());
  }
}

/// The exit code as a letter and the message; nothing but "A" where all is well.
std::string answer(const std::string& path) {
  const auto coded = [](Exit code, const char* text) { return char('A' + static_cast<int>(code)) + std::string(text); };
  try {
    read_all(path);
    return coded(Exit::ok, "");
  } catch (const Error& error) {
    return coded(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return coded(Exit::corrupt, (path + " is damaged (it claims more than the memory holds)").c_str());
  }
}

/// What the asking process holds open is not held open here: a lock, the pipes of a launcher.
void close_all_else() {
  std::vector<int> others;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", none))
    if (const int fd = std::atoi(entry.path().filename().c_str()); fd > server_socket) others.push_back(fd);
  for (const int fd : others) ::close(fd);
}

void limit_memory() {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
#ifndef __SANITIZE_ADDRESS__  // which reserves more than any limit
  const rlimit memory{max_memory, max_memory};
  setrlimit(RLIMIT_AS, &memory);
#endif
}

/// Answers until the asking process is gone, or has not asked for a while. Signals that end a job are its affair.
[[noreturn]] void serve() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) std::signal(signal, SIG_IGN);
  close_all_else();
  limit_memory();
  const timeval idle{2, 0};
  setsockopt(server_socket, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
  std::vector<char> path(longest);
  for (;;) {
    const ssize_t size = recv(server_socket, path.data(), path.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) _exit(0);
    const itimerval limit{{0, 0}, {seconds, 0}}, none{};
    setitimer(ITIMER_PROF, &limit, nullptr);  // SIGPROF ends the process
    const std::string text = answer({path.data(), static_cast<std::size_t>(size)}).substr(0, longest);
    setitimer(ITIMER_PROF, &none, nullptr);
    if (send(server_socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) _exit(0);
  }
}

const bool answers = [] {
  if (std::getenv(variable)) serve();
  return false;
}();

// --- the process that asks ---

class Server {
 public:
  ~Server() { end(); }
  static constexpr int unknown = -1;
  /// The answer; false where the process ended instead, with how in `status`.
  bool ask(const std::string& path, std::string& text, int& status);

 private:
  void start();
  int end();
  pid_t process_ = -1, owner_ = -1;
  int socket_ = -1;
};

void Server::start() {
  if (socket_ >= 0 && owner_ == getpid()) return;  // after a fork it is the other process's
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    files::throw_system_error(errno, "make a socket", "");
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  for (const int stream : {0, 1, 2}) posix_spawn_file_actions_addopen(&files, stream, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&files, ends[1], server_socket);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> environment;
  std::string mark = std::string(variable) + "=1";
  for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);
  environment.insert(environment.end(), {mark.data(), nullptr});
  std::string program = "/proc/self/exe";
  const std::array<char*, 2> arguments{program.data(), nullptr};
  const int error = posix_spawn(&process_, program.c_str(), &files, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  ::close(ends[1]);
  socket_ = ends[0], owner_ = getpid();
  if (error != 0) files::throw_system_error(error, "start", program);
}

/// How the process ended; `unknown` where another part of the program took note of it.
int Server::end() {
  if (socket_ < 0) return unknown;
  ::close(std::exchange(socket_, -1));
  int status = unknown;
  if (owner_ == getpid())
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

bool Server::ask(const std::string& path, std::string& text, int& status) {
  start();
  std::array<char, longest> buffer{};
  ssize_t size = send(socket_, path.data(), path.size(), MSG_NOSIGNAL);
  if (size >= 0) do {
      size = recv(socket_, buffer.data(), buffer.size(), 0);
    } while (size < 0 && errno == EINTR);
  if (size <= 0) {
    status = end();
    return false;
  }
  text.assign(buffer.data(), static_cast<std::size_t>(size));
  return true;
}

}  // namespace

void probe(const std::string& path) {
  static Server server;
  const std::string whole = std::filesystem::absolute(path).string();
  check(whole.size() < longest, Exit::usage, path + " is too long a path");
  std::string text;
  int status = Server::unknown;
  bool answered = server.ask(whole, text, status);
  if (!answered && (status == Server::unknown || WIFEXITED(status)))
    answered = server.ask(whole, text, status);  // it had nothing to do and left
  if (answered) {
    check(text == "A", static_cast<Exit>(text[0] - 'A'), text.substr(1));
    return;
  }
  const int signal = status != Server::unknown && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  check(signal != SIGKILL, Exit::memory,
        "the process that reads " + path + " first was killed (the memory is full, or someone did it); try again");
  throw Error(Exit::corrupt,
              path + " is damaged (HDF5 itself fails on it" + (signal == SIGPROF ? ", without end" : "") + ")");
}

}  // namespace switchyard::hdf5
