// Rows between ranks of one node and between nodes: all ranks at once, each with one other, both directions, by the
// transport that a run would take.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "base/median.hpp"
#include "base/polling.hpp"
#include "bench/machine.hpp"
#include "comm/collectives.hpp"
#include "comm/nodes.hpp"
#include "comm/transfers.hpp"
#include "tensor/products/products.hpp"
#include "tensor/room.hpp"

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

/// Of one message in each direction, and of one byte beside it; where transports that share memory find them.
struct Buffers {
  Buffers(Arena& arena, std::int64_t bytes)
      : out(arena, "bench::machine::out", Account::exchange, bytes + 1),
        in(arena, "bench::machine::in", Account::exchange, bytes + 1) {}
  Staged<std::byte> out, in;
};

/// Messages of both partners at the same time.
class Pair {
 public:
  Pair(comm::Transports& transports, Partner partner, std::int64_t bytes)
      : transports_(transports), partner_(partner), bytes_(bytes), buffers_("bench::machine::pair", bytes) {}

  /// Seconds from when all ranks begin until `work` is done here; 0 without a partner.
  double timed(const std::function<void()>& work) const {
    double start = 0.0;
    comm::all_reduce_max(transports_.group(), &start, 1);  // a barrier
    if (!partner_) return 0.0;
    start = now();
    work();
    return now() - start;
  }
  /// The whole buffers, or, beside them, a byte.
  std::unique_ptr<comm::Transfers> post_large() { return post(0, bytes_, 1); }
  void exchange_large() { post_large()->wait(); }
  void exchange_small() { post(bytes_, 1, 2)->wait(); }
  std::int64_t bytes() const { return bytes_; }
  /// The first transport is always that of MPI.
  bool by_window() const { return partner_ && transports_.index_of(*partner_) != 0; }

 private:
  std::unique_ptr<comm::Transfers> post(std::int64_t first, std::int64_t bytes, int tag) {
    auto transfers = std::make_unique<comm::Transfers>(transports_, 1);
    transfers->receive(buffers_->in.host() + first, bytes, *partner_, tag);
    transfers->send(buffers_->out.host() + first, bytes, *partner_, tag);
    return transfers;
  }
  comm::Transports& transports_;
  Partner partner_;
  std::int64_t bytes_;
  Placed<Buffers> buffers_;
};

double measure_latency(Pair& pair, int repetitions) {
  std::vector<double> seen;
  for (int i = 0; i < 20 * repetitions; ++i) seen.push_back(pair.timed([&] { pair.exchange_small(); }));
  return median_of(seen);
}

double measure_bandwidth(Pair& pair, int repetitions) {
  std::vector<double> seen;
  for (int i = 0; i <= repetitions; ++i)
    seen.push_back(pair.timed([&] {
      for (int m = 0; m < messages_at_once; ++m) pair.exchange_large();
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
      const auto large = pair.post_large();
      for (const double start = now(); now() - start < head_start;) large->poll();
      const double sent = now();
      pair.exchange_small();
      waited = now() - sent;
      large->wait();
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
  const auto multiply = [&] {
    products::forward(queue, products::dense(small_product), x, {w}, y);
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
      int left = messages_at_once, products = 0;
      std::unique_ptr<comm::Transfers> large = pair.post_large();
      Polling polling(
          [&] {
            if (left > 0 && large->poll() && --left > 0) large = pair.post_large();
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

/// A small sum over all ranks, s.
double measure_collective(const comm::Communicator& world, int repetitions) {
  std::vector<double> sums;
  for (int i = 0; i < 20 * repetitions; ++i) {
    double value = 0.0;
    const double start = now();
    comm::all_reduce_max(world, &value, 1);
    sums.push_back(now() - start);
  }
  return slowest(world, median_of(sums));
}

/// Of pairs of ranks, of which `sharing` share a way; nothing where there are none.
std::optional<plan::Way> measure_way(comm::Transports& transports, Partner partner, int sharing,
                                     const MachineOptions& options) {
  const comm::Communicator& world = transports.group();
  if (slowest(world, partner ? 1.0 : 0.0) == 0.0) return {};
  Pair pair(transports, partner, std::int64_t{options.message_kib} << 10);
  plan::Way way;
  way.by_window = slowest(world, pair.by_window() ? 1.0 : 0.0) > 0.0;
  way.latency = slowest(world, measure_latency(pair, options.repetitions));
  const double alone = measure_bandwidth(pair, options.repetitions);
  way.bytes_per_s = 1.0 / slowest(world, alone > 0.0 ? 1.0 / alone : 0.0);
  if (!way.by_window) way.buffer = slowest(world, measure_buffer(pair, way, options.repetitions));
  way.poll = slowest(world, measure_poll(pair, options.repetitions));
  way.bytes_per_s *= sharing;
  return way;
}

}  // namespace

void measure_ways(const MachineOptions& options, plan::MachineDescription& m) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const comm::Nodes nodes = comm::find_nodes(world, options.ranks_per_node);
  const Partner neighbour = partner_of(nodes, world.rank(), false), other = partner_of(nodes, world.rank(), true);
  comm::Transports by_mpi = comm::make_transports(world, TransportChoice::mpi);
  {
    comm::Transports picked = comm::make_transports(world, TransportChoice::auto_);
    if (world.rank() == 0 && !picked.picked().note.empty())
      std::fprintf(stderr, "switchyard: note: near is by mpi: %s\n", picked.picked().note.c_str());
    m.near = measure_way(picked, neighbour, 1, options);
  }
  if (m.near && m.near->by_window) m.near_by_mpi = measure_way(by_mpi, neighbour, 1, options);
  m.far = measure_way(by_mpi, other, m.ranks / m.nodes, options);
  const double collective = measure_collective(world, options.repetitions);
  for (std::optional<plan::Way>* way : {&m.near, &m.near_by_mpi, &m.far})
    if (*way) (*way)->collective = collective;
}

}  // namespace switchyard::bench
