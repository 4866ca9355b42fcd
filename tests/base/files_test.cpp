// Files that survive a crash: texts and folders replaced whole, checksums, and errors that name the file.
#include "base/files.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/check.hpp"
#include "support/folder.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

class FilesTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return base_ / name; }
  void put(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }

  /// Folder `name` with one file.
  void put_folder(const std::string& name, const std::string& file) const {
    fs::create_directory(path(name));
    put(name + "/" + file, file);
  }

 private:
  test::Folder base_;
};

/// The message of the Error that `act` throws, which must carry `code`.
template <class Act>
std::string message_of(Exit code, const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error";
  return "";
}

// FIPS 180-4's examples; the last one needs several blocks and, as a file, several reads.
TEST_F(FilesTest, Sha256OfKnownTexts) {
  EXPECT_EQ(files::sha256_of_text(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(files::sha256_of_text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1000000, 'a'), sum = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  EXPECT_EQ(files::sha256_of_text(million), sum);
  put("million", million);
  EXPECT_EQ(files::sha256_of_file(path("million")), sum);
  files::Sha256 parts;
  parts.add(million.substr(0, 7));
  parts.add(million.substr(7));
  EXPECT_EQ(parts.hex(), sum);
}

TEST_F(FilesTest, TextsComeBackAndReplaceTheOldOnes) {
  const std::string odd("a\0b\r\n\xff", 6);
  files::write_text(path("text"), "a longer text than the next one");
  files::write_text(path("text"), odd);
  EXPECT_EQ(files::read_text(path("text")), odd);
  EXPECT_FALSE(fs::exists(path("text.tmp")));
}

TEST_F(FilesTest, AFailedWriteLeavesTheOldText) {
  files::write_text(path("text"), "old");
  fs::create_directory(path("text.tmp"));  // stands where the new text would be written
  const std::string message = message_of(Exit::usage, [&] { files::write_text(path("text"), "new"); });
  EXPECT_NE(message.find(path("text")), std::string::npos) << message;
  EXPECT_EQ(files::read_text(path("text")), "old");
}

TEST_F(FilesTest, WhatCannotBeReadIsNamed) {
  const std::string missing = path("missing");
  EXPECT_NE(message_of(Exit::corrupt, [&] { files::read_text(missing); }).find(missing), std::string::npos);
  EXPECT_NE(message_of(Exit::corrupt, [&] { files::sha256_of_file(missing); }).find(missing), std::string::npos);
}

TEST_F(FilesTest, FullDisksHaveACodeOfTheirOwn) {
  for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
    EXPECT_TRUE(files::means_no_space(full));
    const std::string message = message_of(Exit::no_space, [&] { files::throw_system_error(full, "write", "f"); });
    EXPECT_NE(message.find("cannot write f"), std::string::npos) << message;
  }
  EXPECT_FALSE(files::means_no_space(EACCES));
  message_of(Exit::usage, [] { files::throw_system_error(EACCES, "write", "f"); });
}

TEST_F(FilesTest, FoldersMoveAndReplaceWholeFolders) {
  put_folder("new", "one");
  files::replace_folder(path("new"), path("place"));
  EXPECT_TRUE(fs::exists(path("place/one")));
  put_folder("new", "two");
  files::replace_folder(path("new"), path("place"));
  EXPECT_TRUE(fs::exists(path("place/two")));
  EXPECT_FALSE(fs::exists(path("place/one")));
  EXPECT_FALSE(fs::exists(path("new")));
}

}  // namespace
}  // namespace switchyard
