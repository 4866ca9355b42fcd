// A kept sweep of six tasks in a folder of its own, and what stands in the place of their runs.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/files.hpp"
#include "record/run_fixture.hpp"
#include "support/folder.hpp"
#include "sweep/sweep.hpp"

namespace fixtures {

namespace fs = std::filesystem;

class SweepFolder : public testing::Test {
 protected:
  /// 1, 4 and 2 experts with seed 1, then with seed 2; 7 steps each.
  SweepFolder() {
    put("base.yaml",
        "model: {vocabulary: 40}\nmoe: {experts: 4, top_k: 1, hidden: 64}\ntrain: {steps: 7, warmup: 0}\n");
    put("s.yaml", "configuration: base.yaml\nexperts: [1, 2, 4]\nseeds: [1, 2]\n");
    sweep_ = sweep::read_sweep(root_ / "s.yaml", {});
    sweep::keep_sweep(folder_, sweep_);
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(root_ / name) << text; }
  std::string text_of(const std::string& name) const { return files::read_text(root_ / name); }
  const sweep::Task& task(std::size_t i) const { return sweep_.tasks.at(i); }
  std::string run_of(std::size_t i) const { return sweep::run_folder(folder_, task(i)); }
  /// The run of a task with one checkpoint.
  void checkpoint(std::size_t i, std::int64_t step) const {
    fs::create_directories(run_of(i));
    write_checkpoint(run_of(i), small_config(), step);
  }

  const test::Folder root_;
  const std::string folder_ = root_ / "kept";
  sweep::Sweep sweep_;
};

}  // namespace fixtures
