// links: record
// The model against PyTorch and transformers: logits, loss and every gradient tensor from the same weights, to 1e-5
// relative (fixtures: tests/golden/make.py).
#include <gtest/gtest.h>

#include <cmath>

#include "config/yaml.hpp"
#include "hdf5/hdf5.hpp"
#include "model/transformer.hpp"
#include "support/passes.hpp"
#include "support/queue.hpp"
#include "support/ranks.hpp"

namespace switchyard {
namespace {

std::vector<float> read_floats(const hdf5::File& file, const std::string& name) {
  const auto dataset = file.open_dataset(name);
  const hdf5::Id space(H5Dget_space(dataset.get()), H5Sclose);
  std::vector<float> values(H5Sget_simple_extent_npoints(space.get()));
  H5Dread(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  return values;
}

std::vector<std::int32_t> read_ints(const hdf5::File& file, const std::string& name) {
  std::vector<std::int32_t> ints;
  for (const float v : read_floats(file, name)) ints.push_back(static_cast<std::int32_t>(v));
  return ints;
}

std::string read_config(const std::string& path) {
  const hdf5::Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  const hdf5::Id attribute(H5Aopen(file.get(), "config", H5P_DEFAULT), H5Aclose);
  const hdf5::Id type(H5Aget_type(attribute.get()), H5Tclose);
  char* text = nullptr;
  H5Aread(attribute.get(), type.get(), &text);
  std::string config(text);
  H5free_memory(text);
  return config;
}

/// |a − b| over |b|, both as Euclidean norms.
double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i)
    difference += std::pow(double(a[i]) - b[i], 2), size += std::pow(double(b[i]), 2);
  return a.size() == b.size() ? std::sqrt(difference / size) : INFINITY;
}

void set_values(const ParameterSet& parameters, const Parameter& p, const std::vector<float>& values) {
  ASSERT_EQ(static_cast<Index>(values.size()), test::elements(p)) << p.name;
  test::write_units(parameters.values(p.placement).data(), p, values);
}

void compare_with(const std::string& kind) {
  const std::string path = SWITCHYARD_TEST_DIR "/golden/" + std::string(kind) + ".h5";
  const LoadResult loaded = load_text(kind, read_config(path));
  throw_errors(loaded);
  const Config& config = loaded.config;
  test::Ranks rank(config, MPI_COMM_SELF, 1, architecture(config));
  const ParameterSet& parameters = rank.parameters;
  model::Transformer model(rank.context());
  const auto file = hdf5::File::open(path);
  for (const Parameter& p : parameters.all()) set_values(parameters, p, read_floats(file, "parameters/" + p.name));
  for (auto* layer : model.moe_layers())
    if (file.has("bias")) layer->set_bias(test::queue(), read_floats(file, "bias"));

  data::Batch batch;
  batch.context = config.model.context, batch.sequences = {0, config.train.batch};
  batch.tokens = read_ints(file, "tokens"), batch.targets = read_ints(file, "targets");
  batch.position.assign(config.train.batch, 0);
  model.forward(test::queue(), batch, moe::Pass::evaluate);
  const double loss = read_floats(file, "loss")[0];
  EXPECT_NEAR(model.reduce(test::queue()).cross_entropy, loss, 1e-5 * loss);
  std::vector<float> logits;
  for (Index row = 0; row < static_cast<Index>(batch.tokens.size()); ++row)
    for (const float value : model.logits(test::queue(), row)) logits.push_back(value);
  EXPECT_LT(relative_error(logits, read_floats(file, "logits")), 1e-5) << "logits";

  model.forward(test::queue(), batch, moe::Pass::train);
  model.reduce(test::queue());
  test::run_backward(model, config);
  for (const Parameter& p : parameters.all())
    EXPECT_LT(relative_error(test::node_sum(parameters, p), read_floats(file, "gradients/" + p.name)), 1e-5) << p.name;
}

TEST(Golden, MixtralOfTransformers) { compare_with("mixtral"); }
TEST(Golden, SigmoidWithBiasAndSharedExpert) { compare_with("sigmoid"); }
TEST(Golden, DenseLlamaOfTransformers) { compare_with("dense"); }

}  // namespace
}  // namespace switchyard
