// What a resume supersedes need not be readable: a machine that lost its power may have lost rows that no checkpoint
// asked for. What is needed must be.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cstdio>
#include <filesystem>

#include "base/check.hpp"
#include "record/digest.hpp"
#include "record/segments.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
namespace fs = std::filesystem;

/// Steps 1 to 8 that a power cut ended, then 7 to 12 from the checkpoint after step 6.
void write_cut_and_resumed(const std::string& path) {
  RunFolder folder(path);
  const Config config = fixtures::small_config();
  fixtures::write_segment(folder, config, 1, 9, 2);
  fixtures::write_segment(folder, config, 7, 12, 1);
  fixtures::write_checkpoint(path, config, 12);
}

/// Overwrites all bytes of the chunk that holds `row` of a dataset.
void lose_chunk(const std::string& path, const std::string& name, hsize_t row) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
              set = H5Dopen2(file, name.c_str(), H5P_DEFAULT);
  const hid_t space = H5Dget_space(set);
  std::vector<hsize_t> at(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space)), 0);
  at[0] = row;
  haddr_t address = HADDR_UNDEF;
  hsize_t bytes = 0;
  unsigned mask = 0;
  ASSERT_GE(H5Dget_chunk_info_by_coord(set, at.data(), &mask, &address, &bytes), 0);
  ASSERT_NE(address, HADDR_UNDEF) << name << " has no row " << row;
  H5Sclose(space), H5Dclose(set), H5Fclose(file);
  std::FILE* raw = std::fopen(path.c_str(), "r+b");
  std::fseek(raw, static_cast<long>(address), SEEK_SET);
  for (hsize_t i = 0; i < bytes; ++i) std::fputc(0, raw);
  std::fclose(raw);
}

std::string problems_of(const std::string& run) {
  std::string text;
  for (const auto& p : verify_path(run).problems) text += p + "\n";
  return text;
}

TEST(Superseded, RowsNeedNotBeReadable) {
  const Folder run;
  write_cut_and_resumed(run.path());
  const std::string before = digest(run.path()), first = run / "segments/000/";
  for (const char* name : {"step", "assigned", "loss_cross_entropy", "wall_seconds"})
    lose_chunk(first + "run.h5", name, 6);
  lose_chunk(first + "run.h5", "evaluation_loss", 2);
  lose_chunk(first + "evaluation.h5", "expert", 2);
  for (const char* name : {"step", "expert"}) lose_chunk(first + "tokens.r0001.h5", name, 3 * 16);
  EXPECT_EQ(problems_of(run.path()), "");
  EXPECT_EQ(digest(run.path()), before);
  EXPECT_EQ(last_rows(run.path(), 12).step, 12);
}

TEST(Superseded, LostFilesOfSupersededSamplesAreNoLoss) {
  const Folder run;
  RunFolder folder(run.path());
  const Config config = fixtures::small_config();
  fixtures::write_segment(folder, config, 1, 9, 2);
  fixtures::write_segment(folder, config, 1, 12, 1);  // no checkpoint stood yet
  fs::resize_file(run / "segments/000/tokens.r0001.h5", 100);
  EXPECT_EQ(last_rows(run.path(), 12).unreadable.size(), 1u);
  const std::string aside = set_aside(run / "segments/000/tokens.r0001.h5");
  EXPECT_TRUE(fs::exists(aside));
  EXPECT_EQ(problems_of(run.path()), "");
}

TEST(Superseded, WhatIsNeededMustBeReadable) {
  for (const auto& [file, name, row] : {std::tuple("run.h5", "assigned", 3), std::tuple("evaluation.h5", "expert", 1),
                                        std::tuple("tokens.r0001.h5", "expert", 2 * 16)}) {
    const Folder run;
    write_cut_and_resumed(run.path());
    lose_chunk(run / "segments/000/" + file, name, static_cast<hsize_t>(row));
    EXPECT_NE(problems_of(run.path()), "") << file;
  }
}

TEST(Superseded, FilesThatDoNotOpenAreNamedAndKept) {
  const Folder run;
  write_cut_and_resumed(run.path());
  const std::string path = run / "segments/000/run.h5";
  for (int i = 0; i < 2; ++i) {
    std::FILE* empty = std::fopen(path.c_str(), "w");
    std::fclose(empty);
    const LastRows last = last_rows(run.path(), 12);
    ASSERT_EQ(last.unreadable.size(), 1u);
    EXPECT_EQ(last.unreadable[0].first, path);
    EXPECT_EQ(set_aside(path), path + (i ? ".damaged-2" : ".damaged"));
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_NE(problems_of(run.path()).find("rows of steps 1 to 6 are missing"), std::string::npos);
}

}  // namespace
