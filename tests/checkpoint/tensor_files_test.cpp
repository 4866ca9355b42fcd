// Tensor files: which there are and how they are cut, what stands in them, and those that another hand has changed
// although their manifest fits.
#include "checkpoint/tensor_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/files.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "model_fixture.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"
#include "support/small_config.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::checkpoint;
using hdf5::Extent;

/// The fewest pieces of at most a million elements, of equal size but the last; never less than a row.
TEST(Storage, ChunksCutTheFirstDimensionOfAUnitEvenly) {
  struct {
    const char* name;
    Extent extent;
    bool experts;
    Extent chunk;
  } const table[] = {
      {"small", {40, 6}, false, {40, 6}},
      {"a vector", {7}, false, {7}},
      {"a million", {1024, 1024}, false, {1024, 1024}},
      {"a row more", {1025, 1024}, false, {513, 1024}},
      {"three pieces", {2050, 1024}, false, {684, 1024}},
      {"rows of more than a million", {3, 1 << 21}, false, {1, 1 << 21}},
      {"a long vector", {(1 << 20) + 1}, false, {(1 << 19) + 1}},
      {"one scalar", {1}, false, {1}},
      {"experts of matrices", {32, 5, 3}, true, {1, 5, 3}},
      {"experts of large matrices", {2, 1025, 1024}, true, {1, 513, 1024}},
      {"experts of vectors", {32, 9}, true, {1, 9}},
      {"experts of long vectors", {32, (1 << 20) + 1}, true, {1, (1 << 19) + 1}},
      {"experts of numbers", {32}, true, {1}},
      {"three dimensions below", {2, 4, 1 << 10, 1 << 9}, true, {1, 2, 1 << 10, 1 << 9}},
  };
  for (const auto& [name, extent, experts, chunk] : table) {
    const hdf5::Storage storage = storage_of(extent, experts);
    EXPECT_EQ(storage.chunk, chunk) << name;
    EXPECT_EQ(storage.extent, extent) << name;
    EXPECT_FALSE(storage.growing || storage.deflate) << name;
  }
}

TEST(Storage, NoChunkIsLargerThanNeededOrItsPiecesUneven) {
  for (hsize_t rows = 1; rows < 5000; rows = rows * 3 / 2 + 1)
    for (hsize_t row = 1; row < 4000000; row = row * 5 + 3) {
      const Extent chunk = storage_of({rows, row}, false).chunk;
      const hsize_t pieces = (rows + chunk[0] - 1) / chunk[0];
      EXPECT_EQ(chunk[1], row);
      EXPECT_TRUE(chunk[0] == 1 || chunk[0] * row <= 1 << 20) << rows << " " << row;
      EXPECT_TRUE(pieces == 1 || (rows + pieces - 2) / (pieces - 1) * row > 1 << 20) << "one piece less would do";
      EXPECT_LT(pieces * chunk[0] - rows, pieces) << rows << " " << row;
    }
}

TEST(ExpertFiles, HoldUpTo32ExpertsOfABlock) {
  for (const int experts : {1, 31, 32, 33, 64, 65, 257}) {
    const auto ranks = fixtures::ranks_of(1, 1, experts);
    std::vector<std::string> names;
    std::int64_t next = 0;
    for (const ExpertFile& file : expert_files(ranks->parameters)) {
      names.push_back(file.name());
      if (file.block != 1) continue;
      EXPECT_EQ(file.range.first, next) << experts;
      EXPECT_EQ(file.experts, experts);
      EXPECT_EQ(file.parameters.size(), 2u);
      EXPECT_TRUE(file.range.size() >= 1 && file.range.size() <= 32) << experts;
      next = file.range.last;
    }
    EXPECT_EQ(next, experts);
    EXPECT_EQ(std::ssize(names), (experts + 31) / 32 + 1);
    EXPECT_EQ(names.front(), "experts-01-0000.h5");
    EXPECT_EQ(names.back(), "experts-03-0000.h5");
    EXPECT_TRUE(experts != 257 || names[8] == "experts-01-0256.h5");
    EXPECT_EQ(dense_parameters(ranks->parameters), (std::vector<int>{0, 1})) << "the head adds to the embedding";
  }
}

/// A saved run of one rank; `path` of its newest checkpoint.
struct Saved {
  test::Folder run;
  std::unique_ptr<test::Ranks> ranks = fixtures::ranks_of(1, 1, 40);
  std::string path;
  Saved() {
    fixtures::fill(ranks->parameters);
    save_checkpoint(run.path(), fixtures::small_config(), ranks->groups, ranks->parameters, fixtures::state_of(7));
    path = latest_checkpoint(run.path());
  }
  /// A manifest of what stands there now.
  void list_again() const {
    std::vector<ManifestEntry> entries;
    for (const auto& entry : std::filesystem::directory_iterator(path))
      if (entry.path().filename() != "manifest.json")
        entries.push_back(measure_file(path, entry.path().filename().string()));
    files::write_text(path + "/manifest.json", manifest_text(entries));
  }
  std::string refusal() const {
    return test::refusal([&] { load_checkpoint(path, ranks->groups, ranks->parameters); });
  }
};

/// The format, read without the code under test: every number at its place, and attributes that say what the file is.
TEST(TensorFiles, HoldEveryElementAtItsPlace) {
  const Saved saved;
  const char* const kinds[] = {"value", "first_moment", "second_moment"};
  const hdf5::File file = hdf5::File::open(saved.path + "/experts-01-0032.h5");
  EXPECT_EQ(hdf5::text_attribute(file.id(), "schema", "f"), "switchyard-checkpoint");
  EXPECT_EQ(hdf5::int_attribute(file.id(), "block", "f"), 1);
  EXPECT_EQ(hdf5::int_attribute(file.id(), "first_expert", "f"), 32);
  EXPECT_EQ(file.datasets().size(), 6u);
  for (int kind = 0; kind < 3; ++kind) {
    const hdf5::Id dataset = file.open_dataset(std::string("blocks.1.moe.experts.up/") + kinds[kind]);
    EXPECT_EQ(hdf5::extent_of(dataset, "d"), (Extent{8, 5, 3}));
    float values[8 * 15];
    hdf5::read_rows(dataset, hdf5::Type::f32, 0, 8, values, "d");
    for (int i = 0; i < 8 * 15; ++i) EXPECT_EQ(values[i], fixtures::element(2, kind, 32 + i / 15, i % 15)) << i;
  }
  const hdf5::File dense = hdf5::File::open(saved.path + "/dense.h5");
  EXPECT_EQ(dense.datasets(), (std::vector<std::string>{"blocks.1.norm/first_moment", "blocks.1.norm/second_moment",
                                                        "blocks.1.norm/value", "embedding/first_moment",
                                                        "embedding/second_moment", "embedding/value"}));
  float values[240];
  hdf5::read_rows(dense.open_dataset("embedding/second_moment"), hdf5::Type::f32, 0, 40, values, "d");
  for (int i = 0; i < 240; ++i) EXPECT_EQ(values[i], fixtures::element(0, 2, 0, i)) << i;
}

/// A tensor file with datasets of zeros.
struct Dataset {
  std::string name;
  hdf5::Type type;
  Extent extent;
};

void write_datasets(const std::string& path, const std::vector<Dataset>& datasets) {
  std::filesystem::remove(path);
  hdf5::File file = hdf5::File::create(path);
  for (const Dataset& d : datasets) {
    const std::string group = d.name.substr(0, d.name.find('/'));
    if (H5Lexists(file.id(), group.c_str(), H5P_DEFAULT) <= 0) file.make_group(group);
    const hdf5::Id dataset = file.make_dataset(d.name, d.type, {d.extent, d.extent});
    const std::vector<char> zeros(hdf5::elements(d.extent) * hdf5::size_of(d.type));
    hdf5::write_rows(dataset, d.type, 0, d.extent[0], zeros.data(), path);
  }
  file.close();
}

struct Change {
  const char* name;
  const char* file;
  std::function<void(std::vector<Dataset>&)> change;
  std::string refusal;  ///< what of it must be said, with the code
  std::string place;
};

std::vector<Dataset> three(const std::string& name, const Extent& extent) {
  std::vector<Dataset> all;
  for (const char* kind : tensor_kinds) all.push_back({name + "/" + kind, hdf5::Type::f32, extent});
  return all;
}

std::vector<Dataset> contents(const std::string& file) {
  std::vector<Dataset> all =
      file == "dense.h5" ? three("embedding", {40, 6}) : three("blocks.1.moe.experts.up", {8, 5, 3});
  for (Dataset& d : file == "dense.h5" ? three("blocks.1.norm", {6}) : three("blocks.1.moe.experts.down", {8, 4}))
    all.push_back(std::move(d));
  return all;
}

const std::string another = "; resume with the configuration that wrote it";
const Change changes[] = {
    {"as it was", "dense.h5", [](auto&) {}, "", ""},
    {"experts as they were", "experts-01-0032.h5", [](auto&) {}, "", ""},
    {"rows less", "dense.h5",
     [](auto& d) {
       d[1].extent = {39, 6};
     },
     "2 has another shape", ":embedding/first_moment"},
    {"turned", "dense.h5",
     [](auto& d) {
       d[0].extent = {6, 40};
     },
     "2 has another shape", ":embedding/value"},
    {"flat", "dense.h5", [](auto& d) { d[2].extent = {240}; }, "2 has another shape", ":embedding/second_moment"},
    {"doubles", "dense.h5", [](auto& d) { d[3].type = hdf5::Type::f64; }, "4 another type than float32",
     ":blocks.1.norm/"},
    {"whole numbers", "dense.h5", [](auto& d) { d[4].type = hdf5::Type::i32; }, "4 another type than float32",
     ":blocks.1."},
    {"one dataset less", "dense.h5", [](auto& d) { d.pop_back(); }, "2 has other parameters than the model",
     "dense.h5"},
    {"one more", "dense.h5",
     [](auto& d) {
       d.push_back({"x/value", hdf5::Type::f32, {1}});
     },
     "2 has other parameters", "dense.h5"},
    {"another name", "dense.h5", [](auto& d) { d[5].name = "blocks.1.norm/third_moment"; },
     "2 is missing (the model has", ":blocks.1.norm/second_moment"},
    {"experts less", "experts-01-0032.h5", [](auto& d) { d[0].extent[0] = 7; }, "2 has another shape",
     "experts.up/value"},
    {"a wider expert", "experts-01-0032.h5", [](auto& d) { d[5].extent[1] = 5; }, "2 has another shape",
     "experts.down/"},
    {"an expert's moment gone", "experts-01-0032.h5", [](auto& d) { d.erase(d.begin() + 1); },
     "2 is missing (the model has", "experts.up/first_moment"},
    {"experts in halves", "experts-01-0032.h5", [](auto& d) { d[2].type = hdf5::Type::i16; },
     "4 another type than float32", "experts.up/second_moment"},
};

TEST(TensorFiles, OfAnotherModelOrTypeAreRefusedWithTheDataset) {
  const Saved saved;
  for (const Change& row : changes) {
    SCOPED_TRACE(row.name);
    auto datasets = contents(row.file);
    row.change(datasets);
    write_datasets(saved.path + "/" + row.file, datasets);
    saved.list_again();
    const std::string refusal = saved.refusal();
    write_datasets(saved.path + "/" + row.file, contents(row.file));
    if (row.refusal.empty()) {
      EXPECT_EQ(refusal, "");
      continue;
    }
    EXPECT_EQ(refusal.substr(0, 2), row.refusal.substr(0, 2)) << refusal;
    EXPECT_NE(refusal.find(row.refusal.substr(2)), std::string::npos) << refusal;
    EXPECT_NE(refusal.find(row.place), std::string::npos) << refusal;
    EXPECT_EQ(refusal.ends_with(another), row.refusal[0] == '2') << refusal;
  }
}

TEST(TensorFiles, OneMoreOrLessThanTheModelHasIsAnotherModel) {
  const Saved saved;
  const std::string wanted = "2 " + saved.path + " is of another model (it has other experts or blocks)" + another;
  for (const char* name : {"experts-01-0064.h5", "experts-02-0000.h5", "notes.txt"}) {
    files::write_text(saved.path + "/" + name, "more");
    saved.list_again();
    EXPECT_EQ(saved.refusal(), wanted) << name;
    std::filesystem::remove(saved.path + "/" + name);
  }
  for (const char* name : {"experts-01-0032.h5", "experts-03-0000.h5", "dense.h5", "state.json"}) {
    std::filesystem::rename(saved.path + "/" + name, saved.run / "away");
    saved.list_again();
    EXPECT_EQ(saved.refusal(), wanted) << name;
    std::filesystem::rename(saved.run / "away", saved.path + "/" + name);
  }
  saved.list_again();
  EXPECT_EQ(saved.refusal(), "");
}

/// Bytes that are no HDF5 at all, though the manifest has their sum.
TEST(TensorFiles, WhatIsNoTensorFileIsDamage) {
  const Saved saved;
  for (const char* name : {"experts-01-0000.h5", "dense.h5"})
    for (const std::string& bytes :
         {std::string(), std::string("text"), "\x89HDF\r\n\x1a\n" + std::string(500, '\xff')}) {
      files::write_text(saved.path + "/" + name, bytes);
      saved.list_again();
      const std::string refusal = saved.refusal();
      EXPECT_EQ(refusal.rfind("4 ", 0), 0u) << refusal;
      EXPECT_NE(refusal.find(name), std::string::npos) << refusal;
    }
}

}  // namespace
