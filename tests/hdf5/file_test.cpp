// Equal contents are equal files, no byte that changes on a disk changes what is read without a word, and links, cuts
// and the system's errors are what they are.
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

#include "base/files.hpp"
#include "fixtures.hpp"
#include "hdf5/hdf5.hpp"
#include "hdf5/probe.hpp"
#include "hdf5/times.hpp"
#include "support/child.hpp"

namespace switchyard::hdf5 {
namespace {

/// A small file with datasets in a group, attributes of everything, chunks of both kinds.
void write_small(const std::string& path) {
  File file = File::create(path);
  set_attribute(file.id(), "config", "model: {}\nwidth and more of a text\n", path);
  const Id group = file.make_group("g");
  for (const std::string name : {"plain", "g/deflated"}) {
    const Id dataset = file.make_dataset(name, Type::i64, {{0, 2}, {4, 2}, true, name != "plain"});
    set_attribute(dataset.get(), "units", "tokens", name);
    std::vector<std::int64_t> rows(20);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i * i);
    write_rows(dataset, Type::i64, 0, 10, rows.data(), name);
  }
  file.close();
}

/// All that write_small wrote, as text; the message of an Error{corrupt} where it cannot be read.
std::string contents(const std::string& path) try {
  const File file = File::open(path);
  std::string text = text_attribute(file.id(), "config", path);
  for (const std::string& name : file.datasets()) {
    const Id dataset = file.open_dataset(name);
    check_claim(file, inspect(dataset, name), static_cast<std::int64_t>(extent_of(dataset, name)[0]), name);
    text += name + text_attribute(dataset.get(), "units", name);
    for (const unsigned char byte : read_all(dataset, name)) text += std::to_string(byte) + " ";
  }
  return text;
} catch (const Error& error) {
  EXPECT_EQ(error.code(), Exit::corrupt) << error.what();
  return "refused";
}

TEST(File, NoChangedByteChangesWhatIsRead) {
  const Folder folder;
  const std::string path = folder / "f.h5";
  write_small(path);
  const std::string sound = files::read_text(path), wanted = contents(path);
  EXPECT_NE(wanted.find("plaintokens0 0 0 0 0 0 0 0 1 0"), std::string::npos) << wanted;
  int refused = 0;
  for (std::size_t at = 0, seen = 0; at < sound.size(); ++at) {
    if (sound[at] == 0 && at % 64 != 0) continue;
    if (seen++ % 6 != 0) continue;
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << seen % 8));
    std::ofstream(path, std::ios::binary) << bytes;
    const std::string found = contents(path);
    refused += found == "refused";
    ASSERT_TRUE(found == "refused" || found == wanted) << "byte " << at << ": " << found;
  }
  EXPECT_GT(refused, 50);
}

TEST(File, ACutFileIsRefused) {
  const Folder folder;
  const std::string path = folder / "f.h5";
  write_small(path);
  const std::string sound = files::read_text(path);
  for (std::size_t size = 0; size < sound.size(); size += 1 + sound.size() / 40) {
    std::ofstream(path, std::ios::binary) << sound.substr(0, size);
    EXPECT_EQ(contents(path), "refused") << size << " of " << sound.size();
  }
}

// HDF5 writes the second into a file.
TEST(File, EqualContentsAreEqualBytes) {
  const Folder folder;
  write_small(folder / "one");
  for (const std::time_t begin = std::time(nullptr); std::time(nullptr) == begin;)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  write_small(folder / "two");
  EXPECT_TRUE(files::read_text(folder / "one") == files::read_text(folder / "two"));
  const std::string before = files::read_text(folder / "one");
  settle_times(folder / "one");
  EXPECT_TRUE(files::read_text(folder / "one") == before) << "there is nothing to settle any more";
  EXPECT_EQ(contents(folder / "one"), contents(folder / "two")) << "and its sums are right";
}

TEST(File, WhatHasNoTimesStaysAsItIs) {
  const Folder folder;
  for (const std::size_t size : {0u, 1u, 24u, 4095u, 4096u, 10000u}) {
    const std::string text(size, 'x');
    std::ofstream(folder / "f") << text;
    EXPECT_EQ(message_of(Exit::ok, [&] { settle_times(folder / "f"); }), "") << size;
    EXPECT_EQ(files::read_text(folder / "f"), text);
  }
  EXPECT_EQ(message_of(Exit::usage, [&] { settle_times(folder / "none"); }),
            "cannot open " + (folder / "none") + " (No such file or directory)");
}

TEST(File, LinksAreNoDatasets) {
  const Folder folder;
  write_small(folder / "other");
  write_small(folder / "f.h5");
  const hid_t raw = H5Fopen((folder / "f.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Lcreate_soft("/g", raw, "to-group", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_soft("/nowhere", raw, "to-nothing", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_external("other", "/plain", raw, "to-file", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(raw);
  const File file = File::open_unprobed(folder / "f.h5");
  for (const auto& [name, link] : {std::pair("to-group/deflated", "to-group"), std::pair("to-nothing", "to-nothing"),
                                   std::pair("to-file", "to-file")})
    EXPECT_EQ(message_of(Exit::corrupt, [&, name = name] { file.open_dataset(name); }),
              (folder / "f.h5") + " is damaged (" + link + " is a link to another place); no such file is ours");
  EXPECT_TRUE(file.has("g/deflated"));
  for (const std::string missing : {"x", "g/x", "x/y/z", "g/x/y"}) {
    EXPECT_FALSE(file.has(missing)) << missing;
    EXPECT_NE(message_of(Exit::corrupt, [&] { file.open_dataset(missing); }), "") << missing;
  }
  EXPECT_EQ(file.datasets(), (std::vector<std::string>{"g/deflated", "plain"}));
}

TEST(File, TheSystemsErrorsAreTheSystems) {
  const Folder folder;
  EXPECT_TRUE(
      message_of(Exit::usage, [&] { File::create(folder / "none/f.h5"); }).ends_with("(No such file or directory)"));
  File file = File::create(folder / "f.h5");
  EXPECT_NE(message_of(Exit::usage, [&] { file.rename(folder / "none/g.h5"); }), "");
  EXPECT_EQ(file.path(), folder / "f.h5") << "it has not moved";
  file.rename(folder / "g.h5");
  EXPECT_EQ(file.path(), folder / "g.h5");
  set_attribute(file.id(), "late", "text", "g");
  file.close();
  EXPECT_EQ(text_attribute(File::open(folder / "g.h5").id(), "late", "g"), "text");
  EXPECT_EQ(message_of(Exit::usage, [] { probe(std::string(20000, 'x')); }),
            std::string(20000, 'x').append(" is too long a path"));
  const std::vector<char> data(1 << 20, 'x');
  EXPECT_EQ(test::in_child([&] {
              test::limit_files(100000);
              return static_cast<int>(test::code_of([&] {
                File full = File::create(folder / "full.h5");
                const Id dataset = full.make_dataset("d", Type::u8, {{0}, {4096}, true, false});
                write_rows(dataset, Type::u8, 0, data.size(), data.data(), "d");
                full.flush();
              }));
            }),
            static_cast<int>(Exit::storage));
}

}  // namespace
}  // namespace switchyard::hdf5
