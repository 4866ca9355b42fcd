// Small runs whose bits are published: src/train/golden_host.txt holds them for every x86-64 processor with FMA,
// golden_cuda.txt for the GPUs and the cuBLAS that it names. Files, tests and `switchyard selfcheck` agree on them.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard::train {

struct GoldenRun {
  std::string name;
  Config config;
};

/// Every router, balancer and awkward shape, each a second or less of work; the first is the smallest.
const std::vector<GoldenRun>& golden_runs();

/// What is published for this build: lines "NAME | what trained_bits says", after comments with '#'.
const std::string& published_bits();
/// What blas::bits_depend_on() said when they were published; they are the bits of nothing else.
std::string published_products();

/// The lines of one run.
std::vector<std::string> published_bits_of(const std::string& name);

/// "" where the two are the same, else the first line that differs, with both digests.
std::string first_difference(const std::vector<std::string>& found, const std::vector<std::string>& published);

}  // namespace switchyard::train
