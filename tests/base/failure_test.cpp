// What exceptions of libraries amount to: the exit code and the place.
#include "base/failure.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "base/files.hpp"
#include "support/folder.hpp"

namespace {

using namespace switchyard;

/// The Error of what `work` throws.
template <class Work>
Error error_of(Work work) try {
  work();
  return {Exit::ok, "nothing was thrown"};
} catch (const std::exception& e) {
  return as_error(e);
}

TEST(Failure, EveryExceptionHasACodeOfTheTable) {
  const auto system = [](int error) {
    return std::filesystem::filesystem_error("status", "/some/path", std::error_code(error, std::generic_category()));
  };
  EXPECT_EQ(as_error(system(EACCES)).code(), Exit::usage);
  EXPECT_EQ(as_error(system(EROFS)).code(), Exit::usage);
  EXPECT_EQ(as_error(system(ENOSPC)).code(), Exit::storage);
  EXPECT_EQ(as_error(system(EIO)).code(), Exit::storage);
  EXPECT_EQ(as_error(system(ENOMEM)).code(), Exit::memory);
  EXPECT_NE(std::string(as_error(system(EIO)).what()).find("/some/path"), std::string::npos);
  EXPECT_EQ(as_error(std::system_error(EAGAIN, std::generic_category(), "a thread")).code(), Exit::usage);
  EXPECT_EQ(as_error(std::bad_alloc()).code(), Exit::memory);
  EXPECT_EQ(as_error(std::runtime_error("Kokkos ERROR: Host memory space failed to allocate 2 TiB")).code(),
            Exit::memory);
  EXPECT_EQ(as_error(Error(Exit::busy, "in use")).code(), Exit::busy);
  EXPECT_EQ(as_error(std::logic_error("never")).code(), Exit::internal);
  const std::size_t largest = std::vector<double>().max_size();
  EXPECT_EQ(error_of([&] { std::vector<double>().resize(largest + 1); }).code(), Exit::memory);
  EXPECT_EQ(error_of([] { require_memory(std::size_t{1} << 62, "HDF5"); }).code(), Exit::memory);
  EXPECT_EQ(error_of([] { require_memory(1000, "HDF5"); }).code(), Exit::ok);
}

// README's table of exit codes, and what there is to do.
TEST(Failure, EveryErrorOfTheSystemHasACodeAndAWayOut) {
  const std::set<int> full{ENOSPC, EDQUOT, EFBIG}, lost{ENOSPC, EDQUOT, EFBIG, EIO, EPIPE, ESTALE};
  for (int error = 1; error < 134; ++error) {
    const Error e = error_of([&] { files::throw_system_error(error, "write", "a/path"); });
    const std::string way = full.contains(error) ? "; free some space and try again"
                            : error == EACCES || error == EPERM
                                ? "; change its rights or those of its folder, or choose another place"
                            : error == EROFS ? "; choose another place"
                                             : "";
    EXPECT_EQ(e.what(), "cannot write a/path (" + std::generic_category().message(error) + ")" + way);
    EXPECT_EQ(e.code(), lost.contains(error) ? Exit::storage : error == ENOMEM ? Exit::memory : Exit::usage) << error;
    EXPECT_EQ(files::means_full(error), full.contains(error)) << error;
    EXPECT_EQ(files::means_lost_storage(error), lost.contains(error)) << error;
  }
  EXPECT_STREQ(error_of([] { files::throw_system_error(EIO, "go on", ""); }).what(),
               "cannot go on (Input/output error)");
}

TEST(Failure, OnlyADefectNamesItsLine) {
  EXPECT_NO_THROW(expect(true, "order"));
  const Error defect = error_of([] { expect(false, "order"); });
  EXPECT_EQ(defect.code(), Exit::internal);
  EXPECT_NE(std::string(defect.what()).find("failure_test.cpp:" + std::to_string(__LINE__ - 2) + ": expected order"),
            std::string::npos)
      << defect.what();
  const Error checked = error_of([] { check(false, Exit::layout_variant, "in plain words"); });
  EXPECT_EQ(checked.code(), Exit::layout_variant);
  EXPECT_STREQ(checked.what(), "in plain words");
}

// A folder that cannot be listed is not an empty one.
TEST(Failure, AFolderIsListedOrRefused) {
  const test::Folder folder;
  const std::string path = std::filesystem::path(folder / "x").parent_path().string();
  EXPECT_EQ(files::entries_of(path + "/missing"), std::filesystem::directory_iterator());
  files::write_text(path + "/file", "text");
  EXPECT_EQ(files::entries_of(path + "/file"), std::filesystem::directory_iterator());
  EXPECT_NE(files::entries_of(path), std::filesystem::directory_iterator());
  EXPECT_EQ(error_of([&] { files::entries_of(path + "/" + std::string(300, 'n')); }).code(), Exit::usage);
}

}  // namespace
