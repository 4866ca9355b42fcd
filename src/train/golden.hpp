// Small runs whose bits are published: src/train/golden_host.txt holds them for every x86-64 processor with FMA,
// golden_cuda.txt for the GPUs and the cuBLAS that it names. Files, tests and `switchyard selfcheck` agree on them.
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"

namespace switchyard::train {

struct GoldenRun {
  std::string name;
  Config config;
};

/// Every router, balancer and awkward shape, each a fraction of a second of work. The first has every stage.
const std::vector<GoldenRun>& golden_runs();

/// What is published for this build: lines "NAME | what trained_bits says", after comments with '#'.
const std::string& published_bits();
/// What products::bits_depend_on() said when they were published; they are the bits of nothing else.
std::string published_products();

/// The lines of one run.
std::vector<std::string> published_bits_of(const std::string& name);

/// Throws AgreedError{layout_variant} where some rank found other bits than the published ones of a run; the message is
/// the first difference of the lowest such rank. Collective.
void require_published(const comm::Communicator& world, const std::string& run, const std::vector<std::string>& found);

/// "" where the two are the same, else the first line that differs, with both digests.
std::string first_difference(const std::vector<std::string>& found, const std::vector<std::string>& published);

}  // namespace switchyard::train
