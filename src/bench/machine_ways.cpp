// Messages between ranks of one node and between nodes: all ranks at once, each with one other, both directions.
#include <algorithm>
#include <functional>
#include <optional>

#include "base/activity.hpp"
#include "base/clock.hpp"
#include "base/median.hpp"
#include "base/polling.hpp"
#include "bench/machine.hpp"
#include "comm/collectives.hpp"
#include "comm/nodes.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::bench {
namespace {

constexpr int messages_at_once = 4;                   // that a bandwidth is measured over, one after another
constexpr double poll_interval = Pace::before_looks;  // s; plan takes it for that of a measured pace
constexpr Index small_product = 64;

/// The rank that this one exchanges messages with; nothing where it has none.
using Partner = std::optional<int>;

/// Ranks of one node are paired as neighbours; of two nodes those with the same number on theirs.
Partner partner_of(const comm::Nodes& nodes, int rank, bool far) {
  std::vector<std::vector<int>> members(nodes.count());
  int number = 0;
  for (int r = 0; r < static_cast<int>(nodes.of.size()); ++r) {
    if (r == rank) number = static_cast<int>(members[nodes.of[r]].size());
    members[nodes.of[r]].push_back(r);
  }
  const int node = nodes.of[rank];
  const std::size_t there = far ? node ^ 1 : node, at = far ? number : number ^ 1;
  if (there >= members.size() || at >= members[there].size()) return {};
  return members[there][at];
}

/// Two buffers, and messages of both partners at the same time.
class Pair {
 public:
  Pair(const comm::Communicator& world, Partner partner, std::int64_t bytes)
      : world_(world), partner_(partner), out_(bytes), in_(bytes) {}

  /// Seconds from when all ranks begin until `work` is done here; 0 without a partner.
  double timed(const std::function<void()>& work) const {
    double start = 0.0;
    comm::all_reduce_max(world_, &start, 1);  // a barrier
    if (!partner_) return 0.0;
    start = now();
    work();
    return now() - start;
  }
  void post(std::int64_t bytes, int tag, MPI_Request* two) {
    comm::check_mpi(MPI_Irecv(in_.data(), int(bytes), MPI_BYTE, *partner_, tag, world_.handle(), &two[0]));
    comm::check_mpi(MPI_Isend(out_.data(), int(bytes), MPI_BYTE, *partner_, tag, world_.handle(), &two[1]));
  }
  void exchange(std::int64_t bytes) {
    MPI_Request two[2];
    post(bytes, 0, two);
    const activity::Waiting waiting(world_.member(*partner_));
    comm::check_mpi(MPI_Waitall(2, two, MPI_STATUSES_IGNORE));
  }
  static bool over(MPI_Request* two) {
    int done = 0;
    comm::check_mpi(MPI_Testall(2, two, &done, MPI_STATUSES_IGNORE));
    return done != 0;
  }
  std::int64_t bytes() const { return static_cast<std::int64_t>(out_.size()); }

 private:
  const comm::Communicator& world_;
  Partner partner_;
  std::vector<char> out_, in_;
};

double measure_latency(const Pair& pair, const std::function<void()>& small, int repetitions) {
  std::vector<double> seen;
  for (int i = 0; i < 20 * repetitions; ++i) seen.push_back(pair.timed(small));
  return median_of(seen);
}

double measure_bandwidth(Pair& pair, int repetitions) {
  std::vector<double> seen;
  for (int i = 0; i <= repetitions; ++i)
    seen.push_back(pair.timed([&] {
      for (int m = 0; m < messages_at_once; ++m) pair.exchange(pair.bytes());
    }));
  const double seconds = median_of(std::vector<double>(seen.begin() + 1, seen.end()));
  return seconds > 0.0 ? messages_at_once * double(pair.bytes()) / seconds : 0.0;
}

/// Bytes that a small message waits for which is sent once a large one is on its way.
double measure_buffer(Pair& pair, const plan::Way& way, int repetitions) {
  std::vector<double> seen;
  const double head_start = 0.3 * double(pair.bytes()) / way.bytes_per_s;
  for (int i = 0; i < repetitions; ++i) {
    double waited = 0.0;
    pair.timed([&] {
      MPI_Request large[2];
      pair.post(pair.bytes(), 1, large);
      for (const double start = now(); now() - start < head_start;) Pair::over(large);
      const double sent = now();
      pair.exchange(1);
      waited = now() - sent;
      comm::check_mpi(MPI_Waitall(2, large, MPI_STATUSES_IGNORE));
    });
    seen.push_back(std::clamp((waited - way.latency) * way.bytes_per_s, 0.0, double(pair.bytes())));
  }
  return median_of(seen);
}

/// Seconds that one poll takes from computing: small products while messages travel, beside as many without any.
double measure_poll(Pair& pair, int repetitions) {
  const Matrix<float> x("bench::machine::poll_x", small_product, small_product),
      w("bench::machine::poll_w", small_product, small_product),
      y("bench::machine::poll_y", small_product, small_product);
  const Queue queue;
  const Index first = 0, last = small_product;
  const auto multiply = [&] {
    products::forward(queue, {1, &first, &last}, x, {w}, y);
    queue.fence("switchyard::bench::poll");
  };
  std::vector<double> seen;
  for (int i = 0; i < repetitions; ++i) {
    double taken = 0.0;
    pair.timed([&] {
      constexpr int undisturbed = 2000;
      double start = now();
      for (int n = 0; n < undisturbed; ++n) multiply();
      const double each = (now() - start) / undisturbed;
      MPI_Request two[2];
      int left = messages_at_once, products = 0;
      pair.post(pair.bytes(), 2, two);
      Polling polling(
          [&] {
            if (left > 0 && Pair::over(two) && --left > 0) pair.post(pair.bytes(), 2, two);
            return left > 0;
          },
          poll_interval);
      start = now();
      for (; left > 0; ++products) multiply(), tick();
      taken = std::max(0.0, (now() - start) / (products * each) - 1.0);
    });
    seen.push_back(taken * poll_interval);
  }
  return median_of(seen);
}

/// The same on every rank: of the slowest.
double slowest(const comm::Communicator& world, double seconds) {
  comm::all_reduce_max(world, &seconds, 1);
  return seconds;
}

}  // namespace

void measure_ways(const MachineOptions& options, plan::MachineDescription& m) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const comm::Nodes nodes = comm::find_nodes(world, options.ranks_per_node);
  std::vector<double> sums;
  for (int i = 0; i < 20 * options.repetitions; ++i) {
    double value = 0.0;
    const double start = now();
    comm::all_reduce_max(world, &value, 1);
    sums.push_back(now() - start);
  }
  for (const bool far : {false, true}) {
    const Partner partner = partner_of(nodes, world.rank(), far);
    if (slowest(world, partner ? 1.0 : 0.0) == 0.0) continue;
    Pair pair(world, partner, std::int64_t{options.message_kib} << 10);
    plan::Way way;
    way.collective = slowest(world, median_of(sums));
    way.latency = slowest(world, measure_latency(
                                     pair, [&] { pair.exchange(1); }, options.repetitions));
    const double alone = measure_bandwidth(pair, options.repetitions);
    const double least = 1.0 / slowest(world, alone > 0.0 ? 1.0 / alone : 0.0);
    way.bytes_per_s = least * (far ? m.ranks / m.nodes : 1);
    plan::Way mine = way;
    mine.bytes_per_s = least;
    way.buffer = slowest(world, measure_buffer(pair, mine, options.repetitions));
    way.poll = slowest(world, measure_poll(pair, options.repetitions));
    (far ? m.far : m.near) = way;
  }
}

}  // namespace switchyard::bench
