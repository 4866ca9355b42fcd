#include "bench/exchange.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "comm/agree.hpp"
#include "comm/exchange.hpp"
#include "comm/nodes.hpp"
#include "config/values.hpp"

namespace switchyard::bench {
namespace {

using Words = std::vector<std::uint32_t>;

/// Blocks of `words` words to and from every rank, and what they must be.
struct Blocks {
  Blocks(const comm::Communicator& group, std::int64_t bytes)
      : world(group),
        words(bytes / static_cast<std::int64_t>(sizeof(std::uint32_t))),
        out(words * world.size()),
        in(out.size()) {
    for (int p = 0; p <= world.size(); ++p) plan.send.push_back(p * (bytes / exchange_row));
    plan.receive = plan.send;
  }
  static std::uint32_t word(int from, int to, int round, std::int64_t i) {
    return static_cast<std::uint32_t>(i) * 2654435761U + static_cast<std::uint32_t>((from * 64 + to) * 4096 + round);
  }
  void write(int round) {
    for (int to = 0; to < world.size(); ++to)
      for (std::int64_t i = 0; i < words; ++i) out[to * words + i] = word(world.rank(), to, round, i);
    std::fill(in.begin(), in.end(), 0);
  }
  void check_arrived(int round, const std::string& way) const {
    for (int from = 0; from < world.size(); ++from)
      for (std::int64_t i = 0; i < words; ++i)
        check(in[from * words + i] == word(from, world.rank(), round, i), Exit::internal,
              way + ": byte " + std::to_string(i * 4) + " from rank " + std::to_string(from) + " arrived wrong");
  }

  const comm::Communicator& world;
  std::int64_t words;
  comm::RowPlan plan;
  Words out, in;
};

/// One way of moving them.
struct Way {
  std::string name;
  std::unique_ptr<comm::Exchange> exchange;  // null: broadcast
};

/// Every rank gets all rows of all ranks and keeps its own: the worst that could be done.
void broadcast_all(Blocks& blocks, Words& all) {
  const int rank = blocks.world.rank();
  const auto bytes = static_cast<std::int64_t>(all.size() * sizeof all[0]);
  for (int root = 0; root < blocks.world.size(); ++root) {
    Words& rows = root == rank ? blocks.out : all;
    comm::broadcast(blocks.world, rows.data(), bytes, root);
    std::copy_n(rows.data() + rank * blocks.words, blocks.words, blocks.in.data() + root * blocks.words);
  }
}

double seconds_of(const Way& way, Blocks& blocks, Words& all, int round) {
  std::int64_t start = 0;
  comm::all_reduce_max(blocks.world, &start, 1);  // a barrier
  const double t = now();
  if (way.exchange) {
    const comm::Itinerary itinerary = way.exchange->prepare(blocks.plan);
    way.exchange->start({itinerary, comm::Bound::out, exchange_row, {round, 0, 0}}, blocks.out.data(), blocks.in.data())
        ->finish();
  } else {
    broadcast_all(blocks, all);
  }
  double took = now() - t;
  comm::all_reduce_max(blocks.world, &took, 1);
  return took;
}

std::vector<Way> make_ways(const ExchangeQuestion& question, const comm::Communicator& world) {
  std::vector<Way> ways;
  const auto add = [&](ExchangeKind kind, TransportChoice transport, const std::string& name) {
    LayoutConfig layout;
    layout.exchange = kind, layout.transport = transport;
    ways.push_back({name, comm::make_exchange(layout, world)});
    const comm::Picked picked = ways.back().exchange->picked();
    if (!picked.note.empty() && world.rank() == 0) std::fprintf(stderr, "switchyard: note: %s\n", picked.note.c_str());
  };
  add(ExchangeKind::alltoallv, TransportChoice::auto_, format_value(ExchangeKind::alltoallv));
  for (const ExchangeKind kind : question.exchanges)
    for (const TransportChoice transport : question.transports)
      if (kind != ExchangeKind::alltoallv) add(kind, transport, format_value(kind) + " " + format_value(transport));
  ways.push_back({"broadcast", nullptr});
  return ways;
}

/// Medians in seconds, a way each.
std::vector<double> medians_of(const std::vector<Way>& ways, Blocks& blocks, int repetitions) {
  Words all(blocks.out.size());
  std::vector<std::vector<double>> seconds(ways.size());
  for (int round = 0; round <= repetitions; ++round)  // the first, which meets new memory, is left out
    for (std::size_t w = 0; w < ways.size(); ++w) {
      blocks.write(round);
      const double took = seconds_of(ways[w], blocks, all, round);
      blocks.check_arrived(round, ways[w].name);
      if (round > 0) seconds[w].push_back(took);
    }
  std::vector<double> medians;
  for (auto& of : seconds) {
    std::nth_element(of.begin(), of.begin() + std::ssize(of) / 2, of.end());
    medians.push_back(of[of.size() / 2]);
  }
  return medians;
}

/// Prints the lines of one size and adds them to the report.
void tell(const std::vector<Way>& ways, const std::vector<double>& medians, std::int64_t bytes, int ranks,
          nlohmann::ordered_json& report) {
  for (std::size_t w = 0; w < ways.size(); ++w) {
    const double rate = double(bytes) * (ranks - 1) / medians[w] / 1e9, ratio = medians[0] / medians[w];
    std::printf("%12lld  %-20s %12.1f %10.2f %10.2f\n", static_cast<long long>(bytes), ways[w].name.c_str(),
                medians[w] * 1e6, rate, ratio);
    report["results"].push_back({{"bytes", bytes},
                                 {"way", ways[w].name},
                                 {"us", medians[w] * 1e6},
                                 {"gb_per_s", rate},
                                 {"ratio_to_alltoallv", ratio}});
  }
  std::fflush(stdout);
}

}  // namespace

Exit measure_exchange(const ExchangeQuestion& question) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  std::ofstream file;
  std::vector<Way> ways;
  comm::agree(world, [&] {
    check(world.size() > 1, Exit::usage, "bench exchange: runs on one rank (nothing is sent); start it by mpirun -n 2");
  });
  comm::on_root(world, [&] {  // before the measurement, which would be lost
    if (!question.json_out.empty()) file.open(question.json_out, std::ios::app);
    check(question.json_out.empty() || file.good(), Exit::usage,
          question.json_out + ": cannot be written; give --json another file");
  });
  comm::agree(world, [&] { ways = make_ways(question, world); });
  const std::vector<int> nodes = comm::find_nodes(world).of;
  nlohmann::ordered_json report;
  report["ranks"] = world.size(), report["nodes"] = *std::max_element(nodes.begin(), nodes.end()) + 1;
  report["row_bytes"] = exchange_row, report["repetitions"] = question.repetitions;
  if (world.rank() == 0)
    std::printf(
        "%d ranks on %d nodes, all to all, rows of %lld bytes just written; medians of %d, all ways in turn\n"
        "bytes a pair  way                            us   GB/s a rank  x alltoallv\n",
        world.size(), report["nodes"].get<int>(), static_cast<long long>(exchange_row), question.repetitions);
  for (const std::int64_t bytes : question.sizes) {
    Blocks blocks(world, bytes);
    const std::vector<double> medians = medians_of(ways, blocks, question.repetitions);
    if (world.rank() == 0) tell(ways, medians, bytes, world.size(), report);
  }
  comm::on_root(world, [&] {
    if (!file.is_open()) return;
    file << report.dump() << '\n';
    file.close();
    if (!file) files::throw_system_error(errno, "write the result to", question.json_out);
  });
  return Exit::ok;
}

}  // namespace switchyard::bench
