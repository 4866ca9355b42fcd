// What exceptions of libraries amount to: the exit code and the place.
#include "base/failure.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <new>
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
