// ranks: 1 2 3 4 5
// Checkpoints: any layout reads any other's, the same bytes from all; damage is found and named; old ones are pruned.
#include "checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "layouts.hpp"

namespace switchyard::checkpoint::testing {
namespace {

namespace fs = std::filesystem;

TEST(Checkpoint, AnyLayoutReadsAnyOther) {
  for (const int experts : {1, 3, 40, 257}) {
    std::string first_manifest;
    for (const Shape& from : shapes()) {
      const SharedFolder run;
      save(from, run.path(), experts, 7);
      const std::string manifest = files::read_text(latest_checkpoint(run.path()) + "/manifest.json");
      if (first_manifest.empty()) first_manifest = manifest;
      EXPECT_EQ(manifest, first_manifest) << "bytes depend on the layout: E " << experts << " ranks " << from.ranks;
      for (const Shape& to : shapes()) {
        if (world().size() > 3 && to.ranks != 1 && to.ranks != world().size() && from.ranks != world().size()) continue;
        const std::int64_t wrong = load(to, run.path(), experts);
        EXPECT_LE(wrong, 0) << "E " << experts << " from " << from.ranks << "/" << from.expert_parallel << " to "
                            << to.ranks << "/" << to.expert_parallel;
        EXPECT_GE(wrong, -1);
      }
    }
  }
}

// Wherever the experts lived, the files have the same bytes, and any placement reads those of any other.
TEST(Checkpoint, WhereExpertsLiveIsNotInTheFiles) {
  std::vector<Shape> all{{1, 1, false, 3}};
  for (const int ep : test::degrees())
    for (const unsigned placed : {0, 1, 2}) {
      all.push_back({world().size(), ep, false, placed});
      all.push_back({world().size(), ep, true, placed, fixtures::long_tensors_of});
    }
  for (const int experts : {1, 5, 40})
    for (const bool sharded : {false, true}) {
      std::string first_manifest;
      for (const Shape& from : all) {
        if (from.sharded != sharded) continue;
        const SharedFolder run;
        save(from, run.path(), experts, 7);
        const std::string manifest = files::read_text(latest_checkpoint(run.path()) + "/manifest.json");
        if (first_manifest.empty()) first_manifest = manifest;
        EXPECT_EQ(manifest, first_manifest)
            << "E " << experts << " EP " << from.expert_parallel << " placed " << from.placed;
        for (const Shape& to : all) {
          if (to.sharded != sharded || (to.placed == from.placed && to.placed == 0)) continue;
          const std::int64_t wrong = load(to, run.path(), experts);
          EXPECT_TRUE(wrong == 0 || wrong == -1)
              << wrong << " from EP " << from.expert_parallel << " placed " << from.placed << " to "
              << to.expert_parallel << " placed " << to.placed;
        }
      }
    }
}

// Moments are whole on every rank or in shards, of this or that number of owners: the files have the same bytes.
TEST(Checkpoint, WhereMomentsAreKeptIsNotInTheFiles) {
  std::string first_manifest;
  std::vector<Shape> all;
  for (Shape shape : shapes())
    for (const bool sharded : {false, true}) {
      shape.sharded = sharded, shape.tensors = fixtures::long_tensors_of;
      all.push_back(shape);
    }
  for (const Shape& from : all) {
    const SharedFolder run;
    save(from, run.path(), 5, 7);
    const std::string manifest = files::read_text(latest_checkpoint(run.path()) + "/manifest.json");
    if (first_manifest.empty()) first_manifest = manifest;
    EXPECT_EQ(manifest, first_manifest) << from.ranks << "/" << from.expert_parallel
                                        << (from.sharded ? " sharded" : "");
    for (const Shape& to : all) {
      if (!from.sharded && !to.sharded) continue;
      const std::int64_t wrong = load(to, run.path(), 5);
      EXPECT_TRUE(wrong == 0 || wrong == -1) << wrong << " from " << from.ranks << "/" << from.expert_parallel << " to "
                                             << to.ranks << "/" << to.expert_parallel;
    }
  }
}

TEST(Checkpoint, KeepsTheNewest) {
  const SharedFolder run;
  const Shape all{world().size(), world().size()};
  for (const int step : {10, 20, 30}) save(all, run.path(), 3, step);
  const auto folders = list_checkpoints(run.path());
  ASSERT_EQ(folders.size(), static_cast<std::size_t>(Config{}.train.keep));
  EXPECT_EQ(folders.front(), run.path() + "/checkpoints/step-00000030");
  save(all, run.path(), 3, 30);  // the same step again replaces it
  EXPECT_EQ(load(all, run.path(), 3), 0);
}

TEST(Checkpoint, UnfinishedOnesDoNotCountAndGoAway) {
  const SharedFolder run;
  const Shape all{world().size(), 1};
  save(all, run.path(), 3, 10);
  const std::string left = run.path() + "/checkpoints/.step-00000020.tmp";
  if (world().rank() == 0)
    fs::create_directories(left), fs::create_directories(run.path() + "/checkpoints/step-00000099");
  MPI_Barrier(world().handle());
  EXPECT_EQ(latest_checkpoint(run.path()), run.path() + "/checkpoints/step-00000010");
  MPI_Barrier(world().handle());
  save(all, run.path(), 3, 20);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(latest_checkpoint(run.path() + "/nothing"), "");
}

void flip_byte(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(fs::file_size(path) / 2);
  file.seekg(middle);
  const char old = static_cast<char>(file.get());
  file.seekp(middle);
  file.put(static_cast<char>(old ^ 1));
}

void expect_damage_named(const std::string& name, void (*damage)(const std::string&)) {
  static bool sharded = false;
  sharded = !sharded;
  const SharedFolder run;
  const Shape all{world().size(), world().size(), sharded};
  save(all, run.path(), 40, 10);
  if (world().rank() == 0) damage(latest_checkpoint(run.path()) + "/" + name);
  MPI_Barrier(world().handle());
  std::string message;
  EXPECT_EQ(load(all, run.path(), 40, &message), -100 * static_cast<int>(Exit::corrupt)) << name;
  EXPECT_NE(message.find(name), std::string::npos) << message;
}

TEST(Checkpoint, DamageIsNamed) {
  for (const char* name : {"dense.h5", "experts-01-0000.h5", "experts-01-0032.h5", "state.json"}) {
    expect_damage_named(name, flip_byte);
    expect_damage_named(name, [](const std::string& path) { fs::resize_file(path, fs::file_size(path) / 2); });
    expect_damage_named(name, [](const std::string& path) { fs::remove(path); });
  }
  expect_damage_named("manifest.json", [](const std::string& path) { fs::resize_file(path, fs::file_size(path) / 2); });
}

TEST(Checkpoint, AnotherModelIsRefused) {
  const SharedFolder run;
  const Shape all{world().size(), 1};
  save(all, run.path(), 3, 10);
  EXPECT_EQ(load(all, run.path(), 4), -100 * static_cast<int>(Exit::usage));
  EXPECT_EQ(load(all, run.path(), 40), -100 * static_cast<int>(Exit::usage));
}

}  // namespace
}  // namespace switchyard::checkpoint::testing
