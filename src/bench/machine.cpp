#include "bench/machine.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "bench/json_lines.hpp"
#include "comm/agree.hpp"
#include "comm/nodes.hpp"
#include "config/values.hpp"
#include "record/provenance.hpp"
#include "tensor/products/library.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::bench {
namespace {

using plan::Product;

/// Rows of all segments together: as many as fill a processor's work, and segments enough that weights are not those of
/// the product before.
constexpr Index rows_at_once = 2048, most_segments = 32;

struct Shape {
  Index rows, inner, columns;
  Index segments() const { return std::clamp<Index>(rows_at_once / rows, 1, most_segments); }
  double flop() const { return 2.0 * double(segments() * rows) * double(inner) * double(columns); }
};

/// One product of a shape on memory that is large enough for all.
class Multiplier {
 public:
  explicit Multiplier(Index most_rows, Index widest)
      : x_("bench::machine::x", std::max(most_rows, rows_at_once), widest),
        y_("bench::machine::y", std::max(most_rows, rows_at_once), widest),
        w_("bench::machine::w", most_segments * widest, widest) {}

  void run(Product product, const Shape& shape) const {
    const products::Segments segments = products::even(static_cast<int>(shape.segments()), shape.rows);
    const Index rows = segments.rows;
    const Tensor x{x_.data(), Element::f32, rows, shape.inner}, y{y_.data(), Element::f32, rows, shape.columns},
        w{w_.data(), Element::f32, shape.columns, shape.inner};
    const products::Weights weights{w, shape.columns * shape.inner};
    if (product == Product::forward) return products::forward(queue_, segments, x, weights, y);
    if (product == Product::input_gradient) return products::input_gradient(queue_, segments, y, weights, x);
    const std::vector<TreeNode> node = tree_nodes(0, 1);
    products::weight_gradient(queue_, {segments, segments.count, 1, &node}, y, x, {w_.data(), 0, weights.next});
  }
  void fence() const { queue_.fence("switchyard::bench::machine"); }

 private:
  Queue queue_;
  Matrix<float> x_, y_, w_;
};

std::string host_of_rank_0() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string describe_reference(const Config& c) {
  return "width " + std::to_string(c.model.width) + ", blocks " + std::to_string(c.model.blocks) + ", context " +
         std::to_string(c.model.context) + ", experts " + std::to_string(c.moe.experts) + ", top_k " +
         std::to_string(c.moe.top_k) + ", expert hidden " + std::to_string(c.moe.hidden) + ", " +
         std::to_string(c.step_tokens()) + " tokens a step";
}

double physical_memory() { return double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGE_SIZE)); }

}  // namespace

Config reference_config(int ranks) {
  Config c;
  c.model.vocabulary = 256, c.model.blocks = 2;
  c.moe.every = 2, c.moe.top_k = 2, c.moe.shared_experts = 1;
  c.train.grains = 4 * ranks, c.train.batch = 16 * ranks;
  c.train.graph = GraphChoice::off;  // what is timed are tasks
  return c;
}

plan::ProductRates measure_products(int repetitions) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  plan::ProductRates rates;
  rates.rows = {4, 16, 64, 256, 1024}, rates.inner = {64, 256, 1024}, rates.columns = {64, 256, 1024};
  const Multiplier multiplier(rates.rows.back(), rates.inner.back());
  for (int p = 0; p < static_cast<int>(Product::count); ++p)
    for (const Index rows : rates.rows)
      for (const Index inner : rates.inner)
        for (const Index columns : rates.columns) {
          const Shape shape{rows, inner, columns};
          double best = 1e300;
          for (int i = 0; i <= repetitions; ++i) {  // the first one touches memory
            double start = 0.0;
            comm::all_reduce_max(world, &start, 1);  // a barrier
            start = now();
            multiplier.run(static_cast<Product>(p), shape);
            multiplier.fence();
            double took = now() - start;
            comm::all_reduce_max(world, &took, 1);
            if (i > 0) best = std::min(best, took);
          }
          rates.gflops[p].push_back(shape.flop() / best * 1e-9);
        }
  return rates;
}

namespace {

/// Before the measurement, which would be lost.
void open_file(const std::string& name, const char* option, std::ofstream& file) {
  file.open(name);
  check(file.good(), Exit::usage, name + ": cannot be written; give " + option + " another file");
}

void write_file(const std::string& name, const std::string& text, std::ofstream& file) {
  file << text << std::flush;
  if (!file) files::throw_system_error(errno, "write the machine description to", name);
}

std::string numbered(const std::string& name, int number) {
  std::filesystem::path path(name);
  path.replace_filename(path.stem().string() + "-" + std::to_string(number) + path.extension().string());
  return path.string();
}

/// Collective.
plan::MachineDescription describe(const Config& reference, const MachineOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  plan::MachineDescription m;
  m.commit = record::program_commit(), m.host = host_of_rank_0(), m.date = date_now();
  m.products_by = products::description(), m.reference = describe_reference(reference);
  m.ranks = world.size(), m.nodes = comm::find_nodes(world, options.ranks_per_node).count();
  m.threads = reference.layout.threads, m.repetitions = options.repetitions;
  m.memory = physical_memory();
  m.products = measure_products(options.repetitions);
  measure_ways(options, m);
  measure_stages(reference, options.repetitions, m);
  return m;
}

}  // namespace

Config reference_of(Config config) {
  const int threads = config.layout.threads;
  config.layout = {}, config.layout.threads = threads;
  return config;
}

Exit measure_machine(const Config& reference, const MachineOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  std::ofstream file;
  comm::on_root(world, [&] {
    if (!options.out.empty()) open_file(options.out, "--out", file);
  });
  const plan::MachineDescription m = describe(reference, options);
  comm::on_root(world, [&] {
    if (options.out.empty()) return void(std::fputs(to_yaml(m).c_str(), stdout));
    write_file(options.out, to_yaml(m), file);
  });
  return Exit::ok;
}

MachineWatch::MachineWatch(const Config& reference, const MachineOptions& options)
    : reference_(reference), options_(options) {
  comm::on_root(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] {
    std::ofstream file;
    open_file(numbered(options_.out, 1), "--machine", file);
  });
}

void MachineWatch::measure() {
  const plan::MachineDescription m = describe(reference_, options_);
  const std::string name = numbered(options_.out, ++written_);
  comm::on_root(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] {
    std::ofstream file;
    open_file(name, "--machine", file);
    write_file(name, to_yaml(m), file);
  });
}

}  // namespace switchyard::bench
