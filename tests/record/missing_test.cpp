// What is unlinked from a record file is missed, alone and with all that would not fit without it: a sentence, never an
// error of the program itself.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>

#include "base/check.hpp"
#include "base/files.hpp"
#include "record/row_blocks.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;

/// One file of each kind that a run writes.
std::vector<std::string> write_each_kind(const Folder& folder) {
  RunFolder run(folder.path());
  fixtures::write_segment(run, fixtures::small_config(), 1, 6, 2);
  const std::string segment = folder / "segments/000/";
  return {segment + "run.h5", segment + "evaluation.h5", segment + "tokens.r0001.h5"};
}

void unlink(const std::string& path, const std::vector<std::string>& names) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  for (const std::string& name : names) EXPECT_GE(H5Ldelete(file, name.c_str(), H5P_DEFAULT), 0) << name;
  H5Fclose(file);
}

std::string problems_of(const std::string& path) {
  std::string text;
  for (const auto& p : verify_path(path).problems) text += p + "\n";
  return text;
}

/// The problems of a copy of the file that lacks some of its datasets.
std::string problems_without(const std::string& path, const std::vector<std::string>& lost) {
  const std::string copy = path + ".copy";
  files::write_text(copy, files::read_text(path));
  unlink(copy, lost);
  return problems_of(copy);
}

/// Names of the variables along a dimension.
std::vector<std::string> along(FileKind kind, const std::string& dimension) {
  std::vector<std::string> names;
  for (const Variable& v : variables_of(kind))
    if (std::find(v.dims.begin(), v.dims.end(), dimension) != v.dims.end()) names.push_back(v.name);
  return names;
}

TEST(Missing, EachVariableIsNamed) {
  const Folder folder;
  for (const std::string& path : write_each_kind(folder)) {
    EXPECT_EQ(problems_of(path), "");
    for (const Variable& v : variables_of(RecordReader(path).kind()))
      EXPECT_EQ(problems_without(path, {v.name}), path + ".copy:" + v.name + " is missing\n");
  }
}

TEST(Missing, EachDimensionIsNamed) {
  const Folder folder;
  for (const std::string& path : write_each_kind(folder)) {
    const FileKind kind = RecordReader(path).kind();
    for (const Dimension& d : dimensions_of(kind)) {
      if (kind == FileKind::evaluation && d.of_mixtures) continue;  // only the run.h5 beside it can tell
      std::vector<std::string> whole = along(kind, d.name);
      whole.push_back(d.name);
      for (const auto& lost : {std::vector<std::string>{d.name}, whole})
        EXPECT_EQ(problems_without(path, lost).find(path + ".copy lacks the dimension " + d.name), 0u)
            << d.name << ": " << problems_without(path, lost);
    }
  }
}

// All three tables, and every choice of two: what version 3 has not, version 4 has.
TEST(Missing, NoTimelineAtAllIsNamed) {
  const Folder folder;
  const std::string path = write_each_kind(folder).front();
  const std::vector<std::string> tables{"timeline", "timeline_rank", "task"};
  for (int kept = 0; kept <= 3; ++kept) {
    std::vector<std::string> lost;
    for (int t = 0; t < 3; ++t)
      if (t != kept) lost.push_back(tables[static_cast<std::size_t>(t)]);
    for (const Variable& v : variables_of(FileKind::run))
      if (std::find(lost.begin(), lost.end(), v.dims.front()) != lost.end() || v.dims.size() > 1)
        if (v.since == 4) lost.push_back(v.name);
    EXPECT_EQ(problems_without(path, lost), path + ".copy lacks the dimension " + lost.front() + "\n");
  }
}

// What the structure lets pass and a law asks for all the same.
TEST(Missing, ARowThatLacksAVariableIsDamage) {
  const Folder folder;
  const RecordReader file(write_each_kind(folder).front());
  RowBlocks block(file, "row");
  ASSERT_TRUE(block.next());
  try {
    block.value<double>("evaluation_loss", 0);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::corrupt);
    EXPECT_EQ(error.what(), file.path() + ":evaluation_loss is missing");
  }
}

// Without its layers an evaluation.h5 is one of a dense model.
TEST(Missing, TheLayersOfAnEvaluationAreNamed) {
  const Folder folder;
  const std::string path = write_each_kind(folder)[1];
  EXPECT_NE(problems_without(path, {"layer"}), "");
  std::vector<std::string> lost = along(FileKind::evaluation, "layer");
  for (const std::string& name : lost) EXPECT_NE(problems_without(path, {"layer", name}), "");
  lost.push_back("layer");
  std::filesystem::remove(path + ".copy");
  unlink(path, lost);
  EXPECT_EQ(problems_of(path), "");
  EXPECT_NE(problems_of(folder.path()).find(path + " has other layers than the run.h5 beside it"), std::string::npos)
      << problems_of(folder.path());
}

}  // namespace
