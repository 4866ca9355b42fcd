// run.h5: what is written comes back, in whole chunks, with the schema's attributes.
#include "record/run_file.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/check.hpp"
#include "fixtures.hpp"
#include "hdf5/hdf5.hpp"
#include "moe/margin_bin.hpp"
#include "record/schema.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;

template <class T>
std::vector<T> read(const hdf5::File& file, const std::string& name) {
  const hdf5::Id dataset = file.open_dataset(name);
  const auto extent = hdf5::extent_of(dataset, name);
  const hdf5::Type type = hdf5::type_of(dataset, name);
  std::vector<T> values(static_cast<std::size_t>(hdf5::elements(extent)) * hdf5::size_of(type) / sizeof(T));
  hdf5::read_rows(dataset, type, 0, extent[0], values.data(), name);
  return values;
}

std::string write_run(const Folder& folder, const Config& config, int steps, int ranks = 2) {
  const std::string path = folder / "run.h5";
  RunFile file(path, config, ranks, "model: {}\n", "{}", 0);
  for (int step = 1; step <= steps; ++step) {
    file.append(fixtures::row_of(config, step, ranks));
    if (step % 4 == 0) file.append(EvaluationRow{step, 2.0, std::nan("")});
  }
  file.close();
  return path;
}

TEST(RunFile, ReadsBackWhatWasAppended) {
  const Folder folder;
  const Config config = fixtures::small_config();
  const hdf5::File file = hdf5::File::open(write_run(folder, config, 8));
  const auto steps = read<std::int64_t>(file, "step");
  ASSERT_EQ(steps.size(), 8u);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(steps[i], i + 1);
  EXPECT_EQ(read<double>(file, "loss")[1], fixtures::row_of(config, 2, 2).loss.total());
  EXPECT_EQ(read<std::int64_t>(file, "evaluation_step"), (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(read<std::int32_t>(file, "block"), (std::vector<std::int32_t>{1, 3}));
  EXPECT_EQ(read<std::int32_t>(file, "experts"), (std::vector<std::int32_t>{3, 5}));
  const auto assigned = read<std::int64_t>(file, "assigned");
  ASSERT_EQ(assigned.size(), 8u * 2 * 5);
  const auto row = fixtures::row_of(config, 5, 2);
  for (int e = 0; e < 5; ++e) {
    EXPECT_EQ(assigned[(4 * 2 + 0) * 5 + e], e < 3 ? row.layers[0].assigned[e] : 0);
    EXPECT_EQ(assigned[(4 * 2 + 1) * 5 + e], row.layers[1].assigned[e]);
  }
  const auto names = read<char>(file, "phase_name");
  ASSERT_EQ(names.size(), Timers::phases * 16u);
  EXPECT_STREQ(names.data() + 16, "embedding");
}

// 32 tokens choose 2 of 3 and of 5 experts; 500,000 simulated steps (std::mt19937_64, choices of a token different)
// gave 0.1273 and 0.2842. So few draws are far from normal: that approximation would give 0.18 for 3 experts.
TEST(RunFile, TheFloorIsThatOfTheLayersOwnExperts) {
  const Folder folder;
  const hdf5::File file = hdf5::File::open(write_run(folder, fixtures::small_config(), 3));
  const auto floors = read<double>(file, "max_vio_floor");
  ASSERT_EQ(floors.size(), 3u * 2);
  for (int row = 0; row < 3; ++row) {
    EXPECT_NEAR(floors[2 * row], 0.1273, 0.03 * 0.1273);
    EXPECT_NEAR(floors[2 * row + 1], 0.2842, 0.03 * 0.2842);
  }
}

TEST(RunFile, EveryVariableOfTheSchemaIsThere) {
  const Folder folder;
  const hdf5::File file = hdf5::File::open(write_run(folder, fixtures::small_config(), 3));
  for (const auto& v : variables_of(FileKind::run)) {
    ASSERT_TRUE(file.has(v.name)) << v.name;
    const hdf5::Id dataset = file.open_dataset(v.name);
    EXPECT_EQ(hdf5::type_of(dataset, v.name), v.type) << v.name;
    EXPECT_EQ(hdf5::text_attribute(dataset.get(), "scope", v.name), scope_name(v.scope));
    EXPECT_EQ(hdf5::extent_of(dataset, v.name).size(), v.dims.size());
  }
  EXPECT_EQ(hdf5::text_attribute(file.id(), "schema", "run"), "switchyard-run");
  EXPECT_EQ(hdf5::int_attribute(file.id(), "schema_version", "run"), schema_version);
  EXPECT_EQ(hdf5::text_attribute(file.id(), "config", "run"), "model: {}\n");
  EXPECT_EQ(hdf5::text_attribute(file.id(), "Conventions", "run"), "Switchyard-" + std::to_string(schema_version));
}

// What xarray and netCDF tools look for; of the type of the values, as the conventions ask.
TEST(RunFile, CodesSayWhatTheyStandFor) {
  const Folder folder;
  const hdf5::File file = hdf5::File::open(write_run(folder, fixtures::small_config(), 3));
  const hdf5::Id block = file.open_dataset("task_block"), meets = file.open_dataset("task_meets");
  EXPECT_EQ(hdf5::int_attribute(block.get(), "_FillValue", "block"), -1);
  EXPECT_FALSE(hdf5::has_attribute(meets.get(), "_FillValue"));
  EXPECT_EQ(hdf5::text_attribute(meets.get(), "flag_meanings", "meets"), "no yes");
  const hdf5::Id flags{H5Aopen(meets.get(), "flag_values", H5P_DEFAULT), H5Aclose};
  const hdf5::Id type{H5Aget_type(flags.get()), H5Tclose}, space{H5Aget_space(flags.get()), H5Sclose};
  EXPECT_GT(H5Tequal(type.get(), H5T_STD_U8LE), 0);
  ASSERT_EQ(H5Sget_simple_extent_npoints(space.get()), 2);
  std::uint8_t values[2];
  H5Aread(flags.get(), H5T_NATIVE_UINT8, values);
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(values[1], 1);
}

TEST(RunFile, EdgesOfTheMarginAreThoseOfItsBins) {
  const Folder folder;
  const Config config = fixtures::small_config();
  const auto edges = read<double>(hdf5::File::open(write_run(folder, config, 3)), "margin_edge");
  ASSERT_EQ(edges.size(), static_cast<std::size_t>(config.record.margin_bins));
  const int bins = config.record.margin_bins;
  for (int bin = 0; bin < bins; ++bin) EXPECT_EQ(moe::margin_bin(static_cast<float>(edges[bin]), bins), bin);
  for (int bin = 1; bin < bins; ++bin)
    EXPECT_EQ(moe::margin_bin(std::nextafter(static_cast<float>(edges[bin]), 0.0f), bins), bin - 1);
}

// Files go from machine to machine: the order of the bytes is the format's, not this processor's.
TEST(RunFile, NumbersAreLittleEndian) {
  const Folder folder;
  const hdf5::File file = hdf5::File::open(write_run(folder, fixtures::small_config(), 3));
  for (const auto& v : variables_of(FileKind::run)) {
    const hdf5::Id dataset = file.open_dataset(v.name), type{H5Dget_type(dataset.get()), H5Tclose};
    EXPECT_EQ(H5Tget_order(type.get()), hdf5::is_text(v.type) ? H5T_ORDER_NONE : H5T_ORDER_LE) << v.name;
  }
  const hdf5::Id version{H5Aopen(file.id(), "schema_version", H5P_DEFAULT), H5Aclose},
      type{H5Aget_type(version.get()), H5Tclose};
  EXPECT_EQ(H5Tget_order(type.get()), H5T_ORDER_LE);
}

TEST(RunFile, EverythingIsDeflated) {
  const Folder folder;
  const hdf5::File file = hdf5::File::open(write_run(folder, fixtures::small_config(), 3));
  for (const auto& v : variables_of(FileKind::run)) {
    const hdf5::Id dataset = file.open_dataset(v.name);
    const hdf5::Id list{H5Dget_create_plist(dataset.get()), H5Pclose};
    EXPECT_EQ(H5Pget_nfilters(list.get()), 3) << v.name;  // shuffle, deflate, sums
  }
}

/// Text in the root's header or, from 64 KB on, beside it; never in a heap that other objects share.
TEST(Attributes, TextOfAnyLengthComesBack) {
  const Folder folder;
  const std::string path = folder / "text.h5";
  const std::vector<std::string> texts{"", "x", "Größe µ", std::string(9000, 'c'), std::string(300000, 't')};
  {
    hdf5::File file = hdf5::File::create(path);
    for (std::size_t i = 0; i < texts.size(); ++i) hdf5::set_attribute(file.id(), std::to_string(i), texts[i], path);
    file.close();
  }
  const hdf5::File file = hdf5::File::open(path);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(hdf5::text_attribute(file.id(), std::to_string(i), path), texts[i]);
    const hdf5::Id attribute{H5Aopen(file.id(), std::to_string(i).c_str(), H5P_DEFAULT), H5Aclose};
    const hdf5::Id type{H5Aget_type(attribute.get()), H5Tclose};
    EXPECT_EQ(H5Tis_variable_str(type.get()), 0);
    EXPECT_EQ(H5Tget_cset(type.get()), H5T_CSET_UTF8);
  }
}

TEST(RunFile, RowsAppearOnlyInWholeChunksUntilTheEnd) {
  const Folder folder;
  const Config config = fixtures::small_config();  // three rows a chunk
  const std::string path = folder / "run.h5";
  RunFile file(path, config, 1, "", "{}", 0);
  for (int step = 1; step <= 5; ++step) {
    file.append(fixtures::row_of(config, step, 1));
    std::filesystem::copy_file(path, folder / "seen.h5", std::filesystem::copy_options::overwrite_existing);
    EXPECT_EQ(read<std::int64_t>(hdf5::File::open(folder / "seen.h5"), "step").size(), step / 3 * 3u) << step;
  }
  file.close();
  EXPECT_EQ(read<std::int64_t>(hdf5::File::open(path), "step").size(), 5u);
}

TEST(RunFile, DenseModelHasNoLayerVariables) {
  const Folder folder;
  Config config = fixtures::small_config();
  config.moe.experts_per_block = {0, 0, 0, 0};
  const hdf5::File file = hdf5::File::open(write_run(folder, config, 4));
  EXPECT_FALSE(file.has("assigned"));
  EXPECT_FALSE(file.has("layer"));
  EXPECT_EQ(read<std::int64_t>(file, "step").size(), 4u);
}

TEST(RunFile, WrongShapesAreRefused) {
  const Folder folder;
  const Config config = fixtures::small_config();
  RunFile file(folder / "run.h5", config, 1, "", "{}", 0);
  auto row = fixtures::row_of(config, 1, 1);
  row.layers.pop_back();
  EXPECT_THROW(file.append(row), Error);
}

TEST(Schema, DocumentationNamesEveryVariable) {
  const std::string text = schema_markdown();
  for (const auto& v : variables())
    if (!v.optional) {
      EXPECT_NE(text.find("| " + std::string(v.name) + " |"), std::string::npos) << v.name;
    }
  EXPECT_NE(text.find("it has the options of each task, by their keys"), std::string::npos);
}

}  // namespace
