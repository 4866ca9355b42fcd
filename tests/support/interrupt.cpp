// Loaded into a rank beside its program (LD_PRELOAD): as the rank begins a given task it is stopped or killed, or
// fails. layout.delay has every task of a training step begin with a sleep of its own; these are counted here.
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

namespace {

/// SWITCHYARD_INTERRUPT="RANK TASK HOW": tasks are counted from 0 through all steps; HOW is stop, kill or fail.
struct Order {
  int rank = -1;
  long task = -1;
  char how[8] = "";
};

Order order_of_environment() {
  Order order;
  const char *text = std::getenv("SWITCHYARD_INTERRUPT"), *rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (!text || !rank || std::sscanf(text, "%d %ld %7s", &order.rank, &order.task, order.how) != 3) return {};
  return order.rank == std::atoi(rank) ? order : Order{};
}

void interrupt(const char* how) {
  if (std::strcmp(how, "stop") == 0) std::raise(SIGSTOP);
  if (std::strcmp(how, "kill") == 0) std::raise(SIGKILL);
  if (std::strcmp(how, "fail") == 0) throw std::bad_alloc();
}

}  // namespace

extern "C" int nanosleep(const timespec* wanted, timespec* left) {
  static const Order order = order_of_environment();
  static long begun = 0;  // by the thread that works
  const bool of_task = wanted->tv_sec == 0 && wanted->tv_nsec < 1000 && syscall(SYS_gettid) == getpid();
  if (of_task && begun++ == order.task) interrupt(order.how);
  return static_cast<int>(syscall(SYS_nanosleep, wanted, left));
}
