// What stands at a place, how it is read and replaced where it is not what one hopes: links, folders, pipes, devices,
// disks that are full or fail.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/check.hpp"
#include "base/failure.hpp"
#include "base/files.hpp"
#include "base/new_folder.hpp"
#include "support/child.hpp"
#include "support/folder.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

class Places : public ::testing::Test {
 protected:
  std::string at(const std::string& name) const { return base_ / name; }

  /// One of each kind: file, folder/, link, to-folder, to-nothing, loop, fifo.
  void SetUp() override {
    files::write_text(at("file"), "text");
    fs::create_directory(at("folder"));
    files::write_text(at("folder/inner"), "inner");
    fs::create_symlink("file", at("link"));
    fs::create_directory_symlink("folder", at("to-folder"));
    fs::create_symlink("nothing", at("to-nothing"));
    fs::create_symlink("loop", at("loop"));
    ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  }

  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(base_.path())) found.insert(entry.path().filename());
    return found;
  }

 private:
  test::Folder base_;
};

/// "ok", or the exit code and the message.
template <class Work>
std::string outcome(const Work& work) try {
  work();
  return "ok";
} catch (const std::exception& error) {
  const Error e = as_error(error);
  return std::to_string(static_cast<int>(e.code())) + " " + e.what();
}

TEST_F(Places, KindsAreOfThePlaceOrOfWhatIsBehindIt) {
  using enum fs::file_type;
  const struct {
    std::string name;
    fs::file_type at, behind;
  } rows[] = {{"file", regular, regular},
              {"folder", directory, directory},
              {"link", symlink, regular},
              {"to-folder", symlink, directory},
              {"to-nothing", symlink, not_found},
              {"loop", symlink, not_found},
              {"fifo", fifo, fifo},
              {"nothing", not_found, not_found},
              {"file/x", not_found, not_found},
              {"folder/inner", regular, regular},
              {"loop/x", not_found, not_found}};
  for (const auto& [name, kind, behind] : rows) {
    EXPECT_EQ(files::kind_at(at(name)), kind) << name;
    EXPECT_EQ(files::kind_behind(at(name)), behind) << name;
  }
  const std::string longer = at(std::string(256, 'n'));  // than a name can be: nobody can say what stands there
  for (const auto& look : {files::kind_at, files::kind_behind})
    EXPECT_EQ(outcome([&] { look(longer); }), "2 cannot look at " + longer + " (File name too long)");
}

TEST_F(Places, FoldersStayInsideTheirOwner) {
  const auto inside = [&](const std::string& name) {
    return outcome([&] { files::require_inside("OWNER", at(name)); });
  };
  EXPECT_EQ(inside("folder"), "ok");
  EXPECT_EQ(inside("nothing"), "ok");
  for (const std::string link : {"to-folder", "link", "to-nothing", "loop"})
    EXPECT_EQ(inside(link), "2 " + at(link) +
                                " is a link (nothing is written outside of OWNER); put the folder there, "
                                "or link all of OWNER");
  for (const std::string other : {"file", "fifo"})
    EXPECT_EQ(inside(other), "2 " + at(other) + " is no folder; move it away, or put the folder back");
}

TEST_F(Places, FoldersAreMadeWithThoseAbove) {
  for (const std::string name : {"a/b/c", "a/b/d/", "folder", "to-folder", "to-folder/e", "a"}) {
    EXPECT_EQ(outcome([&] { files::make_folders(at(name)); }), "ok") << name;
    EXPECT_TRUE(fs::is_directory(at(name))) << name;
  }
  EXPECT_TRUE(fs::is_directory(at("folder/e")));
  for (const std::string name : {"file", "file/x/y", "to-nothing/x", "loop/x", "fifo"})
    EXPECT_TRUE(outcome([&] { files::make_folders(at(name)); }).starts_with("2 cannot create " + at(""))) << name;
  EXPECT_FALSE(fs::exists(at("nothing")));
  EXPECT_EQ(outcome([] { files::make_folders(""); }), "ok");
}

// Sizes around the pieces in which files are read.
TEST_F(Places, WholeFilesAreRead) {
  for (const std::size_t size : {0u, 1u, (1u << 20) - 1, 1u << 20, (1u << 20) + 1, 3u << 20}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 24);
    files::write_text(at("large"), text);
    EXPECT_TRUE(files::read_text(at("large")) == text) << size;
    EXPECT_EQ(files::sha256_of_file(at("large")), files::sha256_of_text(text)) << size;
  }
  EXPECT_EQ(files::read_text(at("link")), "text");
}

TEST_F(Places, WhatCannotBeReadHasItsCode) {
  const std::string longer = at(std::string(256, 'n'));
  const std::pair<std::string, std::string> rows[] = {
      {at("nothing"), "4 cannot open " + at("nothing") + " (No such file or directory)"},
      {at("file/x"), "4 cannot open " + at("file/x") + " (Not a directory)"},
      {at("loop"), "4 cannot open " + at("loop") + " (Too many levels of symbolic links)"},
      {at("to-nothing"), "4 cannot open " + at("to-nothing") + " (No such file or directory)"},
      {at("folder"), "4 cannot read " + at("folder") + " (it is not a regular file)"},
      {at("fifo"), "4 cannot read " + at("fifo") + " (it is not a regular file)"},
      {"/dev/null", "4 cannot read /dev/null (it is not a regular file)"},
      {longer, "2 cannot open " + longer + " (File name too long)"},
      {"/proc/self/mem", "5 cannot read /proc/self/mem (Input/output error)"},  // as of a disk that fails
  };
  for (const auto& [path, message] : rows) {
    EXPECT_EQ(outcome([&, path = path] { files::read_text(path); }), message);
    EXPECT_EQ(outcome([&, path = path] { files::sha256_of_file(path); }), message);
  }
}

TEST_F(Places, WhatComesOnceIsReadUpToALimit) {
  EXPECT_EQ(files::read_once(at("file"), 4), "text");
  EXPECT_EQ(files::read_once(at("file"), 100), "text");
  EXPECT_GT(files::read_once(at("file"), 3).size(), 3u) << "one more, to tell";
  EXPECT_EQ(files::read_once(at("fifo"), 100), "") << "nobody writes to it, and nobody waits";
  EXPECT_GT(files::read_once("/dev/zero", 1 << 20).size(), 1u << 20) << "it never ends";
  std::string sent(200000, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761u >> 24);
  const int both = ::open(at("fifo").c_str(), O_RDWR | O_CLOEXEC);
  test::Child writer([&] {
    for (std::size_t done = 0; done < sent.size(); done += 1000) {
      if (::write(both, sent.data() + done, 1000) != 1000) return 1;
      if (done % 50000 == 0) ::usleep(5000);
    }
    return 0;
  });
  ::close(both);
  EXPECT_TRUE(files::read_once(at("fifo"), 1 << 20) == sent) << "all of it, however slowly it comes";
  EXPECT_EQ(writer.wait(), 0);
  EXPECT_TRUE(outcome([&] { files::read_once(at("nothing"), 9); }).starts_with("2 cannot access " + at("nothing")));
  EXPECT_TRUE(outcome([&] { files::read_once(at("folder"), 9); }).ends_with("(Is a directory)"));
  EXPECT_TRUE(outcome([] { files::read_once("/proc/self/mem", 9); }).starts_with("5 "));
}

// A new text takes the place of a link; what the link led to is somebody else's.
TEST_F(Places, WritingGoesThroughNoLink) {
  for (const std::string link : {"link", "to-nothing", "loop", "to-folder"}) {
    files::write_text(at(link), "new");
    EXPECT_EQ(files::kind_at(at(link)), fs::file_type::regular) << link;
    EXPECT_EQ(files::read_text(at(link)), "new") << link;
  }
  EXPECT_EQ(files::read_text(at("file")), "text");
  EXPECT_EQ(files::read_text(at("folder/inner")), "inner");
  EXPECT_FALSE(fs::exists(at("nothing")));
}

TEST_F(Places, AFailedWriteChangesNothing) {
  const auto before = names();
  for (const auto& [name, message] :
       {std::pair("folder", "2 cannot rename to " + at("folder")), std::pair("nothing/x", "2 cannot create " + at("")),
        std::pair("file/x", "2 cannot create " + at(""))})
    EXPECT_TRUE(outcome([&, name = name] { files::write_text(at(name), "new"); }).starts_with(message)) << name;
  EXPECT_EQ(test::in_child([&] {
              test::limit_files(1000);
              return static_cast<int>(test::code_of([&] { files::write_text(at("file"), std::string(5000, 'x')); }));
            }),
            static_cast<int>(Exit::storage));
  EXPECT_EQ(names(), before);
  EXPECT_EQ(files::read_text(at("file")), "text");
}

TEST_F(Places, NamesAsideAreOfTheFolderAndOnce) {
  std::set<std::string> all;
  for (int i = 0; i < 100; ++i) {
    const std::string name = files::aside_name("some/folder/name.h5");
    EXPECT_TRUE(name.starts_with("some/folder/.name.h5.") && name.ends_with(".tmp")) << name;
    EXPECT_EQ(name.size(), std::string("some/folder/.name.h5.0123456789abcdef.tmp").size()) << name;
    EXPECT_TRUE(all.insert(name).second);
  }
  EXPECT_TRUE(files::aside_name("name").starts_with(".name.")) << "of the folder where one is";
}

// A link that stands where a folder goes is exchanged for it and removed, not what it leads to.
TEST_F(Places, ReplacingALinkLeavesItsFolder) {
  fs::create_directory(at("new"));
  files::write_text(at("new/two"), "2");
  files::replace_folder(at("new"), at("to-folder"));
  EXPECT_EQ(files::kind_at(at("to-folder")), fs::file_type::directory);
  EXPECT_EQ(files::read_text(at("to-folder/two")), "2");
  EXPECT_EQ(files::read_text(at("folder/inner")), "inner");
  EXPECT_FALSE(fs::exists(fs::symlink_status(at("new"))));
  EXPECT_TRUE(outcome([&] { files::replace_folder(at("new"), at("place")); }).starts_with("2 cannot rename to "));
}

TEST_F(Places, ANewFolderTakesItsNameOnlyWhereNothingStands) {
  const auto before = names();
  {
    files::NewFolder made(at("above/made///"));
    files::write_text(made.aside() + "/part", "ours");
    EXPECT_FALSE(fs::exists(at("above/made")));
    fs::create_directory(at("above/made"));  // by another program, meanwhile
    EXPECT_EQ(outcome([&] { made.finish(); }), "2 cannot rename to " + at("above/made") + " (File exists)");
  }
  EXPECT_TRUE(fs::is_empty(at("above/made"))) << "it is the other's";
  EXPECT_EQ(std::distance(fs::directory_iterator(at("above")), {}), 1) << "and nothing of ours is left";
  fs::remove_all(at("above"));
  {
    files::NewFolder made(at("above/made/"));
    fs::create_directories(made.aside() + "/deep/er");
    fs::create_symlink("nowhere", made.aside() + "/link");
    files::write_text(made.aside() + "/deep/er/part", "ours");
    made.finish();
  }
  EXPECT_EQ(files::read_text(at("above/made/deep/er/part")), "ours");
  EXPECT_EQ(std::distance(fs::directory_iterator(at("above")), {}), 1);
  fs::remove_all(at("above"));
  for (const std::string name : {"file", "folder", "link", "to-nothing", "loop", "fifo", "folder///"})
    EXPECT_EQ(outcome([&] { files::NewFolder(at(name)); }),
              "2 " + at(name.substr(0, name.find('/'))) + " exists already; remove it or choose another folder");
  for (const std::string name : {"file/x", "to-nothing/x", "loop/x"})
    EXPECT_EQ(outcome([&] { files::NewFolder(at(name)); }).substr(0, 2), "2 ") << name;
  for (const std::string name : {"", ".", "..", "/", "//"})
    EXPECT_EQ(outcome([&] { files::NewFolder{name}; }).substr(0, 2), "2 ") << name;
  EXPECT_EQ(names(), before);
}

}  // namespace
}  // namespace switchyard
