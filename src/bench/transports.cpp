#include "bench/transports.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/median.hpp"
#include "bench/json_lines.hpp"
#include "comm/agree.hpp"
#include "comm/exchange.hpp"
#include "config/values.hpp"
#include "tensor/room.hpp"

namespace switchyard::bench {
namespace {

constexpr std::int64_t row_bytes = 512;

using Bytes = std::vector<unsigned char>;

/// Equal blocks for all other ranks and from them, in such rooms as journeys have. Nothing stays: that no way carries.
struct Traffic {
  Traffic(Arena& arena, const comm::Communicator& world_, std::int64_t bytes_)
      : world(world_),
        bytes(bytes_),
        send(arena, "bench::transports::send", Account::exchange, bytes * world.size()),
        receive(arena, "bench::transports::receive", Account::exchange, bytes * world.size()) {
    const std::int64_t rows = bytes / row_bytes;
    for (int p = 0; p < world.size(); ++p) plan.send.push_back({p * rows, (p + (p != world.rank())) * rows});
    plan.receive = plan.send;
  }
  /// Of a block from a rank to another: its first word, which differs, and the others, which are written alike.
  static std::int64_t word(int from, int to, int round) { return (std::int64_t{round} * 1000 + from) * 1000 + to; }
  void write(int round) {
    for (int p = 0; p < world.size(); ++p) {
      if (p == world.rank()) continue;
      auto* const words = reinterpret_cast<std::int64_t*>(send.host() + p * bytes);
      std::fill_n(words, bytes / 8, word(world.rank(), p, round));
      std::memset(receive.host() + p * bytes, 0, static_cast<std::size_t>(bytes));
    }
  }
  void check_arrived(int round, const std::string& way) const {
    for (int from = 0; from < world.size(); ++from) {
      if (from == world.rank()) continue;
      const auto* const words = reinterpret_cast<const std::int64_t*>(receive.host() + from * bytes);
      check(std::all_of(words, words + bytes / 8, [&](auto w) { return w == word(from, world.rank(), round); }),
            Exit::internal, way + ": what rank " + std::to_string(from) + " sent did not arrive");
    }
  }

  const comm::Communicator& world;
  std::int64_t bytes;
  comm::RowPlan plan;
  Staged<std::byte> send, receive;
};

struct Way {
  std::string name;
  std::unique_ptr<comm::Exchange> exchange;  ///< null: broadcast
};

/// Every rank gets all rows of all ranks and keeps its own: the worst that could be done.
void broadcast_all(Traffic& traffic, Bytes& all) {
  const int rank = traffic.world.rank();
  all.resize(static_cast<std::size_t>(traffic.bytes * traffic.world.size()));
  for (int root = 0; root < traffic.world.size(); ++root) {
    void* const rows = root == rank ? static_cast<void*>(traffic.send.host()) : all.data();
    comm::broadcast(traffic.world, rows, std::ssize(all), root);
    std::memcpy(traffic.receive.host() + root * traffic.bytes, static_cast<char*>(rows) + rank * traffic.bytes,
                static_cast<std::size_t>(traffic.bytes));
  }
}

/// Seconds of the slowest rank.
double time_of(const Way& way, Traffic& traffic, Bytes& all, int round) {
  std::int64_t start = 0;
  comm::all_reduce_max(traffic.world, &start, 1);  // a barrier
  const double begin = now();
  if (way.exchange) {
    const comm::Itinerary itinerary = way.exchange->prepare(comm::there_and_back(traffic.plan));
    way.exchange
        ->start({itinerary, comm::Bound::out, row_bytes, {round, 0, 0}}, traffic.send.host(), traffic.receive.host())
        ->finish();
  } else {
    broadcast_all(traffic, all);
  }
  double took = now() - begin;
  comm::all_reduce_max(traffic.world, &took, 1);
  return took;
}

std::vector<Way> make_ways(const TransportOptions& options, const comm::Communicator& world) {
  std::vector<Way> ways;
  LayoutConfig layout;
  layout.exchange = ExchangeKind::alltoallv;
  ways.push_back({"alltoallv", comm::make_exchange(layout, world)});
  layout.exchange = ExchangeKind::pairwise;
  for (const TransportChoice transport : options.transports) {
    layout.transport = transport;
    ways.push_back({"pairwise, " + format_value(transport), comm::make_exchange(layout, world)});
    const comm::Picked picked = ways.back().exchange->picked();
    if (world.rank() == 0)
      std::printf("%s: pairs of rank 0 by window %d, by mpi %d%s%s\n", ways.back().name.c_str(),
                  static_cast<int>(picked.by_window), static_cast<int>(picked.by_mpi), picked.note.empty() ? "" : ": ",
                  picked.note.c_str());
  }
  ways.push_back({"broadcast", nullptr});
  return ways;
}

/// Of each way: µs and GB/s into a rank, in the middle and at best, and the time of alltoallv by its own: the median of
/// this over rounds, and of the best rounds, which a machine that others use disturbs less.
nlohmann::ordered_json measure(const std::vector<Way>& ways, Traffic& traffic, int rounds) {
  std::vector<std::vector<double>> seconds(ways.size()), ratios(ways.size());
  Bytes all;
  for (int round = 0; round <= rounds; ++round)
    for (std::size_t w = 0; w < ways.size(); ++w) {
      traffic.write(round);
      const double took = time_of(ways[w], traffic, all, round);
      traffic.check_arrived(round, ways[w].name);
      if (round == 0) continue;  // it meets new memory
      seconds[w].push_back(took);
      ratios[w].push_back(seconds[0].back() / took);
    }
  nlohmann::ordered_json rows;
  for (std::size_t w = 0; w < ways.size(); ++w) {
    const double middle = median_of(seconds[w]), least = *std::min_element(seconds[w].begin(), seconds[w].end());
    const double of_first = *std::min_element(seconds[0].begin(), seconds[0].end());
    rows.push_back({{"ranks", traffic.world.size()},
                    {"bytes_a_pair", traffic.bytes},
                    {"way", ways[w].name},
                    {"rounds", rounds},
                    {"us", middle * 1e6},
                    {"us_least", least * 1e6},
                    {"gb_per_s", double(traffic.bytes) * (traffic.world.size() - 1) / middle * 1e-9},
                    {"times_alltoallv", median_of(ratios[w])},
                    {"times_alltoallv_least", of_first / least}});
  }
  return rows;
}

}  // namespace

Exit measure_transports(const TransportOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  comm::agree(world, [&] {
    check(world.size() > 1, Exit::usage, "one rank sends nothing; start it with mpirun -n 2");
    for (const std::int64_t bytes : options.sizes)
      check(bytes > 0 && bytes % row_bytes == 0, Exit::usage,
            "--sizes has " + std::to_string(bytes) + "; rows have " + std::to_string(row_bytes) +
                " bytes, so give multiples of that");
  });
  JsonLines lines;
  comm::on_root(world, [&] {
    lines.open(options.json);
    std::printf(
        "all to all between %d ranks, rows of %d bytes that were just written; medians of %d rounds, in each all\n",
        world.size(), static_cast<int>(row_bytes), options.rounds);
  });
  std::vector<Way> ways;
  comm::agree(world, [&] { ways = make_ways(options, world); });
  if (world.rank() == 0)
    std::printf("bytes a pair  way                        us      GB/s  x alltoallv  us, least  x alltoallv\n");
  for (const std::int64_t bytes : options.sizes) {
    Placed<Traffic> traffic("bench::transports", world, bytes);
    const nlohmann::ordered_json rows = measure(ways, *traffic, options.rounds);
    comm::on_root(world, [&] {
      for (const auto& row : rows) {
        std::printf("%12lld  %-18s %10.1f %9.2f %12.2f %10.1f %12.2f\n", static_cast<long long>(bytes),
                    row["way"].get<std::string>().c_str(), row["us"].get<double>(), row["gb_per_s"].get<double>(),
                    row["times_alltoallv"].get<double>(), row["us_least"].get<double>(),
                    row["times_alltoallv_least"].get<double>());
        lines.add(row);
      }
    });
  }
  return Exit::ok;
}

}  // namespace switchyard::bench
