// What the model's tests share: matrices between host and device, random values, one rank's context.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "nn/rows.hpp"
#include "support/parameters.hpp"

namespace switchyard::test {

using Doubles = std::vector<double>;

/// n values, normal, that floats hold exactly.
inline Doubles random_values(std::size_t n, unsigned seed, double scale = 1.0) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, static_cast<float>(scale));
  Doubles values(n);
  for (double& v : values) v = normal(engine);
  return values;
}

inline void copy_in(const Doubles& from, float* to) { write(to, {from.begin(), from.end()}); }

inline Doubles copy_out(const float* from, std::size_t n) {
  const std::vector<float> floats = read(from, static_cast<Index>(n));
  return {floats.begin(), floats.end()};
}

inline Matrix<float> matrix(Index rows, Index columns, const Doubles& values = {}) {
  Matrix<float> m("test::matrix", rows, columns);
  if (!values.empty()) copy_in(values, m.data());
  return m;
}

inline Doubles values_of(const Matrix<float>& m) { return copy_out(m.data(), m.size()); }

/// Largest difference over the largest expected magnitude; infinite where a number is not finite on either side.
inline double relative_error(const Doubles& expected, const Doubles& got) {
  EXPECT_EQ(expected.size(), got.size());
  double error = 0.0, scale = 1e-30;
  for (std::size_t i = 0; i < expected.size() && i < got.size(); ++i) {
    const double difference = std::abs(expected[i] - got[i]);
    error = std::isfinite(difference) ? std::max(error, difference) : INFINITY;
    scale = std::max(scale, std::abs(expected[i]));
  }
  return error / scale;
}

/// Sum over the nodes of a parameter's gradient.
inline Doubles gradient_of(const ParameterSet& parameters, int id) {
  const std::vector<float> sum = node_sum(parameters, parameters[id]);
  return {sum.begin(), sum.end()};
}

inline Config small_config() {
  Config config;
  config.model = {.vocabulary = 37, .width = 24, .blocks = 2, .heads = 3, .context = 10, .hidden = 20};
  config.moe.experts = 0;
  config.train.batch = 6;
  config.train.grains = 6;
  return config;
}

inline Layout one_rank(const Config& config) { return {1, 0, 1, config.train.grains}; }

}  // namespace switchyard::test
