// The grouped products of experts, forward, beside oneDNN's: GFLOP/s by the clock, all in turn within each repetition.
// The weights change at every step, so packing belongs into the time; weights packed beforehand are the bound. For
// oneDNN the form with the best median counts. Prints a row of docs/benchmarks.md for each shape and number of threads.
// Run: OMP_PROC_BIND=false bench_onednn [repetitions [threads ...]]
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "onednn_experts.hpp"
#include "tensor/products/products.hpp"
#include "tensor/types.hpp"

namespace {

using namespace switchyard;
using bench::Experts, bench::Form, bench::Kind, bench::Operands, bench::Shape;

constexpr Shape shapes[] = {{"XS", 8, 4096, 512, 128},
                            {"XS", 64, 4096, 512, 128},
                            {"XS", 256, 4096, 512, 128},
                            {"S", 8, 4096, 2048, 512},
                            {"S", 64, 4096, 2048, 512}};  // 2048 tokens, top-2

/// One thing that is measured, and the seconds it took each time.
struct Work {
  std::string name;
  std::function<void()> run;
  bool beforehand;
  std::vector<double> seconds;
  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

Vector<float> filled(Index n) {
  auto v = make_view<Vector<float>>("bench", n);
  for (Index i = 0; i < n; ++i) v(i) = static_cast<float>(i * 2654435761u % 1000) * 1e-3f - 0.5f;
  return v;
}

/// Ours first, then oneDNN in all its forms.
std::vector<Work> works(const Shape& s, const Index* offsets, const Operands& o) {
  std::vector<Work> all;
  all.push_back({"ours", [=] { products::forward({s.experts, offsets}, s.n, s.k, o.x, o.w, o.y); }, false, {}});
  const auto add = [&](const Form& form) {
    const auto experts = std::make_shared<Experts>(form, s, o);
    all.push_back({experts->name(), [=] { experts->multiply(); }, form.beforehand, {}});
  };
  for (const bool beforehand : {false, true})
    for (const bool apart : {false, true}) {
      if (apart && Device().concurrency() == 1) continue;
      add({Kind::matmul, false, apart, beforehand});
      add({Kind::matmul, true, apart, beforehand});
      add({Kind::inner_product, false, apart, beforehand});
      add({Kind::inner_product, true, apart, beforehand});
      add({Kind::convolution, false, apart, beforehand});  // on weights as stored it has no fast kernel
    }
  return all;
}

/// Warms up, and checks each against ours: the largest difference beside the largest value.
void check(const std::vector<Work>& all, const Vector<float>& y) {
  all[0].run();
  const std::vector<float> expected = host_values(y);
  float largest = 0.0f;
  for (const float v : expected) largest = std::max(largest, std::abs(v));
  for (const Work& work : all) {
    std::fill_n(y.data(), y.size(), NAN);
    work.run();
    for (std::size_t i = 0; i < expected.size(); ++i)
      if (!(std::abs(expected[i] - y(i)) <= 1e-4f * largest))
        throw std::runtime_error(work.name + " has " + std::to_string(y(i)) + " where ours has " +
                                 std::to_string(expected[i]) + ", at " + std::to_string(i));
  }
}

/// The form of oneDNN with the best median.
const Work& fastest(const std::vector<Work>& all, bool beforehand) {
  const Work* found = nullptr;
  for (const Work& work : all)
    if (&work != &all[0] && work.beforehand == beforehand && (!found || work.median() < found->median())) found = &work;
  return *found;
}

void print(const Shape& s, const std::vector<Work>& all) {
  const Work &ours = all[0], &counted = fastest(all, false), &bound = fastest(all, true);
  const double gflop = 2e-9 * s.rows * s.n * s.k;
  std::printf("| %s E = %d | %d |", s.model, s.experts, Device().concurrency());
  for (const Work* work : {&ours, &counted, &bound})
    std::printf(" %.1f (%.1f) |", gflop / work->best(), gflop / work->median());
  std::printf(" %.2f | %.2f | %s | %s |\n", counted.median() / ours.median(), bound.median() / ours.median(),
              counted.name.c_str(), bound.name.c_str());
  std::fflush(stdout);
}

void measure(const Shape& s, int repetitions) {
  std::vector<Index> offsets(s.experts + 1);
  for (int e = 0; e <= s.experts; ++e) offsets[e] = s.rows * e / s.experts;
  const auto x = filled(s.rows * s.k), w = filled(s.experts * s.n * s.k), y = filled(s.rows * s.n);
  std::vector<Work> all = works(s, offsets.data(), {x.data(), w.data(), y.data()});
  check(all, y);
  for (int i = 0; i < repetitions; ++i)
    for (Work& work : all) {
      const auto start = std::chrono::steady_clock::now();
      work.run();
      work.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  print(s, all);
}

int run(int threads, int repetitions) try {
  if (omp_get_proc_bind() != omp_proc_bind_false)
    throw std::runtime_error("threads are bound, ours and oneDNN's perhaps not alike: set OMP_PROC_BIND=false");
  Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_num_threads(threads));
  if (Device().concurrency() != threads || omp_get_max_threads() != threads)
    throw std::runtime_error("Kokkos or OpenMP has other than " + std::to_string(threads) + " threads");
  if (dnnl_version()->cpu_runtime != DNNL_RUNTIME_OMP) throw std::runtime_error("this oneDNN was built without OpenMP");
  for (const Shape& s : shapes) measure(s, repetitions);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_onednn: %s\n", e.what());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int repetitions = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15;
  std::vector<int> threads{1, 2};
  if (argc > 2) threads.clear();
  for (int i = 2; i < argc; ++i) threads.push_back(std::atoi(argv[i]));
  const dnnl_version_t* v = dnnl_version();
  const char* wait = std::getenv("OMP_WAIT_POLICY");
  std::printf("%s beside oneDNN %d.%d.%d, OMP_WAIT_POLICY %s: GFLOP/s, best (median)\n", products::description(), v->major,
              v->minor, v->patch, wait ? wait : "unset");
  std::printf(
      "| shape | threads | ours | oneDNN, packing counted | oneDNN, packed before | ours : counted | ours : bound |");
  std::printf(" form, counted | form, bound |\n|---|---|---|---|---|---|---|---|---|\n");
  std::fflush(stdout);
  for (const int t : threads) {  // each in a process of its own, as Kokkos keeps its number of threads
    const pid_t child = fork();
    if (child == 0) return run(t, repetitions);
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;
  }
}
