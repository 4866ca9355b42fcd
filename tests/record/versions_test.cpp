// Records of earlier schema versions: what they lack is no fault.
#include <gtest/gtest.h>
#include <hdf5.h>

#include "base/check.hpp"
#include "record/digest.hpp"
#include "record/schema.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
using fixtures::write_whole;

/// The problems of a run, or why it cannot be checked.
std::string answer(const std::string& run) try {
  std::string text;
  for (const auto& p : verify_path(run).problems) text += p + "\n";
  return text;
} catch (const Error& e) {
  EXPECT_EQ(e.code(), Exit::usage);
  return e.what();
}

/// A text attribute as versions 1 and 2 have it, in a heap of the file.
void make_variable(hid_t object, const char* name) {
  const std::string text = hdf5::text_attribute(object, name, name);
  const hid_t type = H5Tcopy(H5T_C_S1), one = H5Screate(H5S_SCALAR);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  ASSERT_GE(H5Adelete(object, name), 0);
  const hid_t attribute = H5Acreate2(object, name, type, one, H5P_DEFAULT, H5P_DEFAULT);
  const char* value = text.c_str();
  ASSERT_GE(H5Awrite(attribute, type, &value), 0);
  H5Aclose(attribute), H5Sclose(one), H5Tclose(type);
}

/// Makes of a run.h5 one of an earlier version: without the datasets, which the version names as its own.
void make_older(const std::string& path, std::int32_t version, const std::vector<const char*>& lost) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  for (const char* name : lost) ASSERT_GE(H5Ldelete(file, name, H5P_DEFAULT), 0) << name;
  for (const char* name : {"schema", "config", "config_sha256", "commit"}) make_variable(file, name);
  const hid_t set = H5Dopen2(file, "loss", H5P_DEFAULT);
  make_variable(set, "scope");
  H5Dclose(set);
  const hid_t attribute = H5Aopen(file, "schema_version", H5P_DEFAULT);
  ASSERT_GE(H5Awrite(attribute, H5T_NATIVE_INT32, &version), 0);
  H5Aclose(attribute), H5Fclose(file);
}

TEST(Verify, AnEarlierVersionLacksWhatCameLater) {
  const std::vector<const char*> later{"peak_bytes", "evaluation_block_loss", "evaluation_block"};
  for (const auto& [version, words] :
       {std::pair(1, ""), std::pair(int{schema_version}, "run.h5 lacks the dimension evaluation_block"),
        std::pair(schema_version + 1, "schema version")}) {
    const Folder run;
    write_whole(run.path());
    make_older(run / "segments/000/run.h5", version, later);
    const std::string problems = answer(run.path());
    EXPECT_EQ(problems.empty(), version == 1) << problems;
    EXPECT_NE(problems.find(words), std::string::npos) << problems;
    if (version == 1) {
      EXPECT_NE(digest(run.path()).find("run/evaluation_loss "), std::string::npos);
    }
  }
}

/// What a version has not yet, variables before their dimensions.
std::vector<const char*> later_than(int version) {
  std::vector<const char*> names;
  for (const Variable& v : variables_of(FileKind::run))
    if (v.since > version) names.push_back(v.name);
  static const std::vector<Dimension> dimensions = dimensions_of(FileKind::run);
  for (const Dimension& d : dimensions)
    if (d.since > version) names.push_back(d.name);
  return names;
}

// Timelines came with version 4, communication with 5, its seconds by purpose with 6.
TEST(Verify, WhatCameWithAVersionIsMissingFromItAlone) {
  for (const auto& [before, words] :
       {std::pair(3, "run.h5 lacks the dimension timeline\n"), std::pair(4, "run.h5 lacks the dimension purpose\n"),
        std::pair(5, "run.h5:purpose_busy is missing\n")})
    for (const int version : {before, before + 1}) {
      const Folder run;
      write_whole(run.path());
      make_older(run / "segments/000/run.h5", version, later_than(before));
      const std::string problems = answer(run.path());
      EXPECT_EQ(problems.empty(), version == before) << problems;
      EXPECT_NE(problems.find(version == before ? "" : words), std::string::npos) << problems;
    }
}

}  // namespace
