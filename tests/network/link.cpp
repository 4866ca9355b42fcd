/// What MPI makes of the link between two ranks, and how small messages fare beside large ones (docs/virtual-nodes.md):
///   mpirun -n 2 network.link [BYTES [REPEATS]]        (8388608 and 9)
/// Prints lines `name value`, medians over the repeats: rates in Mbit/s of payload, times in ms, shares from 0 to 1.
/// Exit code 2 for bad usage.
#include <mpi.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

int rank = 0;
int other = 0;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const char* name, double value) {
  if (rank == 0) std::printf("%-28s %.3f\n", name, value);
}

/// Both buffers of a large message on its way in both directions.
class Exchange {
 public:
  explicit Exchange(std::size_t bytes) : sent_(bytes, 1), received_(bytes) {}

  void start() {
    std::fill(received_.begin(), received_.end(), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Irecv(received_.data(), count(), MPI_BYTE, other, 1, MPI_COMM_WORLD, &requests_[0]);
    MPI_Isend(sent_.data(), count(), MPI_BYTE, other, 1, MPI_COMM_WORLD, &requests_[1]);
  }

  bool poll() {
    int done = 0;
    MPI_Testall(2, requests_, &done, MPI_STATUSES_IGNORE);
    return done != 0;
  }

  void finish() { MPI_Waitall(2, requests_, MPI_STATUSES_IGNORE); }

  /// Seconds for the message from rank 0 to rank 1, and one byte back.
  double one_way() {
    char byte = 0;
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    if (rank == 0) {
      MPI_Send(sent_.data(), count(), MPI_BYTE, other, 2, MPI_COMM_WORLD);
      MPI_Recv(&byte, 1, MPI_BYTE, other, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
      MPI_Recv(received_.data(), count(), MPI_BYTE, other, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      MPI_Send(&byte, 1, MPI_BYTE, other, 2, MPI_COMM_WORLD);
    }
    return MPI_Wtime() - begin;
  }

  double both_ways() {
    start();
    const double begin = MPI_Wtime();
    finish();
    return MPI_Wtime() - begin;
  }

  /// The share of what this rank receives that is in place; no call of MPI, so nothing moves meanwhile.
  double arrived() const {
    return static_cast<double>(std::count(received_.begin(), received_.end(), 1)) /
           static_cast<double>(received_.size());
  }

 private:
  int count() const { return static_cast<int>(sent_.size()); }

  std::vector<char> sent_, received_;
  MPI_Request requests_[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
};

/// Seconds for 8 bytes to the other rank and back.
double ping() {
  long there = 1, back = 0;
  const double begin = MPI_Wtime();
  if (rank == 0) MPI_Send(&there, 8, MPI_BYTE, other, 3, MPI_COMM_WORLD);
  MPI_Recv(&back, 8, MPI_BYTE, other, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  if (rank != 0) MPI_Send(&there, 8, MPI_BYTE, other, 3, MPI_COMM_WORLD);
  return MPI_Wtime() - begin;
}

/// A ping in the middle of a large exchange: after 0.3 of the `seconds` that this one takes.
double ping_beside(Exchange& exchange, double seconds) {
  exchange.start();
  const double until = MPI_Wtime() + 0.3 * seconds;
  while (MPI_Wtime() < until) exchange.poll();
  const double took = ping();
  exchange.finish();
  return took;
}

/// Seconds of a core that this process has had.
double processor_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Arithmetic for `seconds` of a core; `between` is called between blocks of 50 us. Returns the seconds of a core that
/// both took.
class Work {
 public:
  explicit Work(double seconds) : blocks_(static_cast<long>(seconds / block)) {
    std::vector<double> takes;
    steps_ = 10000;
    for (int i = 0; i < 51; ++i) {
      const double begin = MPI_Wtime();
      compute();
      takes.push_back(MPI_Wtime() - begin);
    }
    steps_ = static_cast<long>(10000 * block / *std::min_element(takes.begin(), takes.end()));
  }

  template <class Between>
  double operator()(const Between& between) {
    const double begin = processor_time();
    for (long i = 0; i < blocks_; ++i) {
      compute();
      between();
    }
    return processor_time() - begin;
  }

 private:
  static constexpr double block = 50e-6;  // s

  void compute() {
    for (long i = 0; i < steps_; ++i) value_ = value_ * 0.999999 + 1e-6;
  }

  long blocks_, steps_ = 0;
  volatile double value_ = 1;
};

/// What is hidden of an exchange behind work that takes 1.5 times as long: the share of the bytes in place when the
/// work ends, and 1 - exposed / communication. Exposed is the wait that is left, and the processor's time for which
/// polling prolongs the work; time that other processes take from this one is neither.
void overlap(Exchange& exchange, double communication, int repeats, bool polling) {
  Work work(1.5 * communication);
  std::vector<double> arrived, hidden;
  for (int i = 0; i < repeats; ++i) {
    const double alone = work([] {});
    exchange.start();
    const double busy = work([&] {
      if (polling) exchange.poll();
    });
    arrived.push_back(exchange.arrived());
    const double begin = MPI_Wtime();
    exchange.finish();
    hidden.push_back(1 - (MPI_Wtime() - begin + busy - alone) / communication);
  }
  print(polling ? "arrived_polling" : "arrived_without", median(arrived));
  print(polling ? "hidden_polling" : "hidden_without", median(hidden));
}

template <class Measure>
double median_of(int repeats, const Measure& measure) {
  measure();  // connects, and fills what MPI keeps
  std::vector<double> values;
  for (int i = 0; i < repeats; ++i) values.push_back(measure());
  return median(values);
}

void measure(std::size_t bytes, int repeats) {
  Exchange exchange(bytes);
  const double megabits = 8e-6 * static_cast<double>(bytes);
  print("rate_one_way", megabits / median_of(repeats, [&] { return exchange.one_way(); }));
  double communication = median_of(repeats, [&] { return exchange.both_ways(); });
  MPI_Bcast(&communication, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  print("rate_both_ways", megabits / communication);
  print("ping_idle", 1e3 * median_of(101, [] { return ping(); }));
  print("ping_beside", 1e3 * median_of(repeats, [&] { return ping_beside(exchange, communication); }));
  for (const bool polling : {false, true}) overlap(exchange, communication, repeats, polling);
}

void print_hosts() {
  char hosts[2][64] = {};
  gethostname(hosts[rank], sizeof(hosts[rank]) - 1);
  MPI_Sendrecv(hosts[rank], 64, MPI_CHAR, other, 4, hosts[other], 64, MPI_CHAR, other, 4, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
  if (rank == 0) std::printf("hosts %s %s\n", hosts[0], hosts[1]);
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const long bytes = argc > 1 ? std::atol(argv[1]) : 8 << 20;
  const int repeats = argc > 2 ? std::atoi(argv[2]) : 9;
  if (ranks != 2 || bytes < 1 || bytes > 1L << 30 || repeats < 1) {
    if (rank == 0) std::fprintf(stderr, "usage: mpirun -n 2 network.link [BYTES [REPEATS]], 1 to 2^30 bytes\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  other = 1 - rank;
  print_hosts();
  measure(static_cast<std::size_t>(bytes), repeats);
  MPI_Finalize();
}
