// Speed of the products of tensor/products/products.hpp on the host: GFLOP/s and share of the machine's fused
// multiply-add rate, which is measured between the products, so that other load on the machine strikes both. Best of
// many short repetitions. Weight gradients also with all rows of a network as one grain (`determinism: run`), each in
// turn, and what grains cost over that. Run: OMP_NUM_THREADS=1 bench_product [repetitions [number of the only case]]
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "tensor/products/library.hpp"
#include "tensor/products/products.hpp"
#include "tensor/simd_host.hpp"
#include "tensor/types.hpp"

namespace {

using namespace switchyard;

/// Processor seconds of this process, by threads: time in which other programs hold the cores does not count.
double clock_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec)) / Device().concurrency();
}

double seconds(const auto& work) {
  const double start = clock_seconds();
  work();
  return clock_seconds() - start;
}

/// Twelve independent chains of fused multiply-adds; returns what keeps the compiler from dropping them.
float multiply_adds(int n) {
  simd::Vec sum[12], a = simd::broadcast(1.0f);
  for (int i = 0; i < 12; ++i)
    sum[i] = simd::broadcast(static_cast<float>(i));  // unlike, or one chain would do for all
  asm volatile("" : "+x"(a));
  for (int i = 0; i < n; ++i)
    for (auto& s : sum) s = simd::fma(a, a, s);
  float total = 0.0f;
  for (const auto& s : sum) total += s[0];
  return total;
}

/// GFLOP/s of all threads together.
double peak() {
  constexpr int n = 20000;
  const int threads = Device().concurrency();
  std::vector<float> sink(threads);
  float* out = sink.data();
  const double s = seconds([&] {
    Kokkos::parallel_for("peak", Kokkos::RangePolicy<Device>(0, threads), [=](Index t) { out[t] = multiply_adds(n); });
  });
  return 2e-9 * threads * n * 12 * simd::width / s;
}

struct Result {
  double best = 0.0, peak = 0.0;  // GFLOP/s
};

/// Of works of `flops` each, in turn.
template <class... Works>
std::array<Result, sizeof...(Works)> measure(int repetitions, double flops, const Works&... works) {
  std::array<Result, sizeof...(Works)> results;
  (works(), ...);
  for (int i = 0; i < repetitions; ++i) {
    const double rate = peak();
    std::size_t at = 0;
    const auto add = [&](const auto& work) {
      Result& r = results[at++];
      r.peak = std::max(r.peak, rate), r.best = std::max(r.best, 1e-9 * flops / seconds(work));
    };
    (add(works), ...);
  }
  return results;
}

struct Case {
  Index rows, n, k;
  int groups, grains;
};

Matrix<float> filled(Index rows, Index width) {
  auto m = make_view<Matrix<float>>("bench", rows, width);
  for (Index i = 0; i < rows * width; ++i) m.data()[i] = static_cast<float>(i * 2654435761u % 1000) * 1e-3f - 0.5f;
  return m;
}

/// Ends of `parts` even parts of n rows.
std::vector<Index> even(Index n, Index parts) {
  std::vector<Index> offsets;
  for (Index p = 0; p <= parts; ++p) offsets.push_back(n * p / parts);
  return offsets;
}

void run(const Case& c, int repetitions) {
  const Queue queue;
  const auto offsets = even(c.rows, c.groups), grains = even(c.rows, Index{c.groups} * c.grains);
  const auto x = filled(c.rows, c.k), w = filled(c.groups * c.n, c.k), y = filled(c.rows, c.n),
             dw = filled(c.groups * c.n, c.k);
  const auto nodes = tree_nodes(0, c.grains), whole = tree_nodes(0, 1);
  const products::SegmentTable segments(offsets), pieces(grains);
  const products::Weights weights{Tensor(w).part(0, c.n), c.n * c.k};
  const products::Gradients gradients{dw.data(), 0, c.n * c.k};
  const double flops = 2.0 * double(c.rows * c.n * c.k);
  const auto rows = measure(
      repetitions, flops, [&] { products::forward(queue, segments, x, weights, y); },
      [&] { products::input_gradient(queue, segments, y, weights, x); });
  const auto sums = measure(
      repetitions, flops,
      [&] {
        products::weight_gradient(queue, {pieces, c.groups, c.grains, &nodes}, y, x, gradients);
      },
      [&] {
        products::weight_gradient(queue, {segments, c.groups, 1, &whole}, y, x, gradients);
      });
  std::printf("%5ld %5ld %5ld %4d %2d", long(c.rows), long(c.n), long(c.k), c.groups, c.grains);
  for (const auto& r : {rows[0], rows[1], sums[0], sums[1]})
    std::printf(" | %6.1f %3.0f%%", r.best, 100.0 * r.best / r.peak);
  std::printf(" | %5.1f%% | peak %.1f\n", 100.0 * (sums[1].best / sums[0].best - 1.0),
              std::max(rows[0].peak, sums[0].peak));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard kokkos(argc, argv);
  const int repetitions = argc > 1 ? std::atoi(argv[1]) : 30;
  std::printf("%s, %d threads; GFLOP/s and share of peak\n", products::description(), Device().concurrency());
  std::printf(" rows     N     K   E  G | forward      | input grad   | weight grad | one grain    | costs\n");
  const std::vector<Case> cases{{4096, 512, 128, 1, 8},   {4096, 512, 128, 8, 8},   {4096, 512, 128, 64, 8},
                                {4096, 512, 128, 256, 8}, {4096, 128, 512, 64, 8},  {4096, 128, 512, 256, 8},
                                {4096, 2048, 512, 8, 4},  {4096, 2048, 512, 64, 4}, {4096, 512, 2048, 64, 4},
                                {4096, 128, 128, 1, 8},   {4096, 4096, 128, 1, 8},  {2048, 512, 512, 1, 4},
                                {2048, 4096, 512, 1, 4}};
  for (std::size_t i = 0; i < cases.size(); ++i)
    if (const Case& c = cases[i]; argc < 3 || i == std::strtoul(argv[2], nullptr, 10))
      run(c, c.n * c.k > 500000 ? std::max(3, repetitions / 5) : repetitions);
}
