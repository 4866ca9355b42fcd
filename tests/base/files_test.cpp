// Files that survive a crash: texts and folders replaced whole, checksums, and errors that name the file.
#include "base/files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "base/new_folder.hpp"
#include "support/folder.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

class FilesTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return base_ / name; }
  void put(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }

  /// What stands in the folder, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path(""))) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }

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
  EXPECT_EQ(names(), std::vector<std::string>{"text"});
}

TEST_F(FilesTest, AFailedWriteLeavesTheOldText) {
  files::write_text(path("text"), "old");
  fs::create_directory(path("folder"));  // stands where the new text would go
  const std::string message = message_of(Exit::usage, [&] { files::write_text(path("folder"), "new"); });
  EXPECT_NE(message.find(path("folder")), std::string::npos) << message;
  EXPECT_EQ(files::read_text(path("text")), "old");
  EXPECT_EQ(names(), (std::vector<std::string>{"folder", "text"}));
}

TEST_F(FilesTest, NothingOfTheUsersIsTakenForOurs) {
  put("outside", "mine");
  for (const char* name : {"text.tmp", "text.lock.tmp"}) fs::create_symlink(path("outside"), path(name));
  put_folder("made.tmp", "mine");
  files::write_text(path("text"), "new");
  files::NewFolder folder(path("made"));
  folder.finish();
  EXPECT_EQ(files::read_text(path("outside")), "mine");
  EXPECT_TRUE(fs::exists(path("made.tmp/mine")));
}

TEST_F(FilesTest, TwoDoNotMakeOneFolder) {
  {
    files::NewFolder first(path("made"));
    const std::string message = message_of(Exit::busy, [&] { files::NewFolder(path("made")); });
    EXPECT_NE(message.find("in use"), std::string::npos) << message;
    first.finish();
  }
  message_of(Exit::usage, [&] { files::NewFolder(path("made")); });
  EXPECT_EQ(names(), std::vector<std::string>{"made"});
}

// What a killed job left beside a name goes when the next one makes it; what others called alike stays.
TEST_F(FilesTest, LeftFoldersGo) {
  for (const char* left : {".made.0123456789abcdef.tmp", ".made.fedcba9876543210.tmp"}) put_folder(left, "part");
  const std::vector<std::string> others{".made.0123456789abcdeF.tmp", ".made.0123.tmp", ".made2.0123456789abcdef.tmp",
                                        "made.0123456789abcdef.tmp"};
  for (const std::string& other : others) put_folder(other.c_str(), "mine");
  put(".made.0123456789abcdee.tmp", "a file of the user's");
  files::NewFolder(path("made")).finish();
  std::vector<std::string> left = others;
  left.insert(left.end(), {".made.0123456789abcdee.tmp", "made"});
  std::sort(left.begin(), left.end());
  EXPECT_EQ(names(), left);
}

TEST_F(FilesTest, WhatIsInTheWayIsNamed) {
  EXPECT_EQ(files::first_entry(path("missing"), {"lock"}, {}), "");
  put_folder("new", "lock");
  fs::create_directory(path("new/segments"));
  put("new/.hidden", "x");
  EXPECT_EQ(files::first_entry(path("new"), {"lock"}, {"segments"}), "");
  EXPECT_EQ(files::first_entry(path("new"), {"locked"}, {"segments"}), "lock");
  EXPECT_EQ(files::first_entry(path("new"), {"lock"}, {"lock"}), "segments");
  put("new/segments/000", "x");
  EXPECT_EQ(files::first_entry(path("new"), {"lock"}, {"segments"}), "segments");
  fs::remove_all(path("new/segments"));
  put("new/segments", "a file");
  EXPECT_EQ(files::first_entry(path("new"), {"lock"}, {"segments"}), "segments");
  fs::remove(path("new/segments"));
  put_folder("elsewhere", "x"), fs::remove(path("elsewhere/x"));
  fs::create_directory_symlink(path("elsewhere"), path("new/segments"));
  EXPECT_EQ(files::first_entry(path("new"), {"lock"}, {"segments"}), "segments");
}

TEST_F(FilesTest, AFailedFolderLeavesNothing) {
  { const files::NewFolder folder(path("above/it/made")); }
  EXPECT_EQ(names(), std::vector<std::string>{});
  message_of(Exit::usage, [&] { files::NewFolder(path("above/..")); });
  EXPECT_EQ(names(), std::vector<std::string>{});
}

TEST_F(FilesTest, AFileOfTheUsersIsNoLock) {
  for (const char* text : {"my notes\n", "a key", "two words 12\nand more\n"}) {
    put(".made.lock", text);
    const std::string message = message_of(Exit::usage, [&] { files::NewFolder(path("made")); });
    EXPECT_NE(message.find(path(".made.lock")), std::string::npos) << message;
    EXPECT_EQ(files::read_text(path(".made.lock")), text);
  }
  put(".made.lock", "host 123\n");  // of a job that was killed
  put("made.lock", "mine");
  files::NewFolder(path("made")).finish();
  EXPECT_EQ(names(), (std::vector<std::string>{"made", "made.lock"}));
}

TEST_F(FilesTest, ALinkToNothingStandsToo) {
  fs::create_symlink(path("nowhere"), path("made"));
  message_of(Exit::usage, [&] { files::NewFolder(path("made")); });
}

TEST_F(FilesTest, OnlyRegularFilesAreRead) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  for (const std::string& odd : {path("fifo"), std::string("/dev/zero"), path("")})
    EXPECT_NE(message_of(Exit::corrupt, [&] { files::read_text(odd); }).find(odd), std::string::npos);
}

TEST_F(FilesTest, PlainNamesStayInTheirFolder) {
  for (const char* good : {"train-000.bin", "..hidden", "a b"}) EXPECT_TRUE(files::is_plain_name(good)) << good;
  for (const char* bad : {"", ".", "..", "../x", "a/b", "/dev/zero"}) EXPECT_FALSE(files::is_plain_name(bad)) << bad;
}

TEST_F(FilesTest, WhatCannotBeReadIsNamed) {
  const std::string missing = path("missing");
  EXPECT_NE(message_of(Exit::corrupt, [&] { files::read_text(missing); }).find(missing), std::string::npos);
  EXPECT_NE(message_of(Exit::corrupt, [&] { files::sha256_of_file(missing); }).find(missing), std::string::npos);
}

TEST_F(FilesTest, FullDisksHaveACodeOfTheirOwn) {
  for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
    EXPECT_TRUE(files::means_full(full));
    const std::string message = message_of(Exit::storage, [&] { files::throw_system_error(full, "write", "f"); });
    EXPECT_NE(message.find("cannot write f"), std::string::npos) << message;
  }
  message_of(Exit::storage, [] { files::throw_system_error(EIO, "read", "f"); });
  EXPECT_FALSE(files::means_lost_storage(EACCES));
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
