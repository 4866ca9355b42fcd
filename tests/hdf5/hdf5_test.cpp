// Datasets and attributes come back bit for bit, equal contents are equal files, and no byte that changes on a disk
// changes what is read without a word.
#include "hdf5/hdf5.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <thread>

#include "base/check.hpp"
#include "base/files.hpp"
#include "hdf5/probe.hpp"
#include "hdf5/times.hpp"
#include "support/child.hpp"
#include "support/folder.hpp"

namespace switchyard::hdf5 {
namespace {

using test::Folder;
using Bytes = std::vector<unsigned char>;

constexpr Type types[] = {Type::i16, Type::i32, Type::i64, Type::u8, Type::f32, Type::f64, Type::text16};

/// The message of the Error{code} that `work` throws; "" where none is thrown.
template <class Work>
std::string message_of(Exit code, const Work& work) try {
  work();
  return "";
} catch (const Error& error) {
  EXPECT_EQ(error.code(), code) << error.what();
  return error.what();
}

/// "d7".
std::string numbered(const char* head, std::size_t i) { return std::string(head).append(std::to_string(i)); }

Bytes random_bytes(std::size_t n, unsigned seed) {
  std::mt19937 draw(seed);
  Bytes bytes(n);
  for (auto& b : bytes) b = static_cast<unsigned char>(draw());
  return bytes;
}

Bytes read_all(const Id& dataset, const std::string& where) {
  const Shape shape = inspect(dataset, where);
  Bytes bytes(static_cast<std::size_t>(elements(shape.extent)) * size_of(shape.type));
  read_rows(dataset, shape.type, 0, shape.extent[0], bytes.data(), where);
  return bytes;
}

// Random bits are every kind of number: NaNs with their payloads, denormals, both zeros.
TEST(Dataset, EveryBitOfEveryTypeComesBack) {
  const Folder folder;
  const std::string path = folder / "f.h5";
  const struct {
    Extent extent, chunk;
    bool growing, deflate;
  } kinds[] = {{{7}, {3}, false, false},
               {{7}, {3}, false, true},
               {{1}, {1}, true, false},
               {{0}, {5}, true, true},
               {{4, 3}, {2, 3}, true, true},
               {{5, 2, 3}, {2, 2, 3}, true, false},
               {{3, 1, 1, 2}, {4, 1, 1, 2}, true, true}};
  File file = File::create(path);
  std::vector<std::pair<std::string, Bytes>> written;
  for (const Type type : types)
    for (const auto& kind : kinds) {
      const std::string name = numbered("d", written.size());
      const Id dataset = file.make_dataset(name, type, {kind.extent, kind.chunk, kind.growing, kind.deflate});
      const Bytes bytes = random_bytes(static_cast<std::size_t>(elements(kind.extent)) * size_of(type),
                                       static_cast<unsigned>(written.size()));
      write_rows(dataset, type, 0, kind.extent[0], bytes.data(), name);
      EXPECT_EQ(H5Tget_size(file_type(type)), size_of(type)) << name_of(type);
      written.emplace_back(name, bytes);
    }
  file.close();
  const File back = File::open(path);
  for (std::size_t i = 0; i < written.size(); ++i) {
    const auto& [name, bytes] = written[i];
    const Id dataset = back.open_dataset(name);
    const Shape shape = inspect(dataset, name);
    EXPECT_EQ(shape.type, types[i / std::size(kinds)]) << name;
    EXPECT_EQ(shape.extent, kinds[i % std::size(kinds)].extent) << name;
    EXPECT_EQ(shape.chunk, kinds[i % std::size(kinds)].chunk) << name;
    EXPECT_EQ(read_all(dataset, name), bytes) << name << " of " << name_of(shape.type);
  }
}

// Rows come one by one, or many at once, in any order, as to an array in memory.
TEST(Dataset, RowsAreWrittenAndReadAnywhere) {
  const Folder folder;
  File file = File::create(folder / "f.h5");
  const Id dataset = file.make_dataset("d", Type::i32, {{0, 3}, {4, 3}, true, true});
  std::vector<std::int32_t> memory;
  std::mt19937 draw(1);
  for (int round = 0; round < 200; ++round) {
    const std::size_t rows = memory.size() / 3, first = draw() % (rows + 1), count = 1 + draw() % 6;
    memory.resize(std::max(memory.size(), (first + count) * 3));
    for (std::size_t i = first * 3; i < (first + count) * 3; ++i) memory[i] = static_cast<std::int32_t>(draw());
    write_rows(dataset, Type::i32, first, count, memory.data() + first * 3, "d");
    ASSERT_EQ(extent_of(dataset, "d"), (Extent{memory.size() / 3, 3}));
    const std::size_t from = draw() % (memory.size() / 3), n = draw() % (memory.size() / 3 - from + 1);
    std::vector<std::int32_t> part(n * 3);
    read_rows(dataset, Type::i32, from, n, part.data(), "d");
    ASSERT_TRUE(std::equal(part.begin(), part.end(), memory.begin() + static_cast<std::ptrdiff_t>(from * 3)));
  }
}

TEST(Dataset, RowsThatAreNotThereAreDamage) {
  const Folder folder;
  File file = File::create(folder / "f.h5");
  const Id dataset = file.make_dataset("d", Type::u8, {{5}, {2}, true, false});
  constexpr hsize_t largest = std::numeric_limits<hsize_t>::max();
  std::array<unsigned char, 8> into{};
  for (const auto& [first, count, good] : {std::tuple<hsize_t, hsize_t, bool>{0, 5, true},
                                           {5, 0, true},
                                           {4, 1, true},
                                           {4, 2, false},
                                           {5, 1, false},
                                           {0, 6, false},
                                           {1, largest, false},
                                           {largest, 1, false},
                                           {largest, largest, false},
                                           {9, 0, true}})
    EXPECT_EQ(message_of(Exit::corrupt, [&, first = first,
                                         count = count] { read_rows(dataset, Type::u8, first, count, &into, "f:d"); }),
              good ? "" : "f:d is damaged (it has too few rows)")
        << first << " " << count;
}

// Deflate makes at most 1032 bytes of one.
TEST(Dataset, ClaimsBeyondTheFileAreDamage) {
  const Folder folder;
  std::ofstream(folder / "f.h5") << std::string(1000, 'x');
  const Folder other;
  File file = File::create(other / "f.h5");
  const std::int64_t most = file.bytes() * 1032;
  constexpr hsize_t largest = std::numeric_limits<hsize_t>::max();
  const struct {
    Shape shape;
    std::int64_t rows;
    bool good;
  } cases[] = {{{Type::u8, {1}, {1}}, most, true},
               {{Type::u8, {1}, {1}}, most + 1, false},
               {{Type::f64, {1}, {1}}, most / 8, true},
               {{Type::f64, {1}, {1}}, most / 8 + 1, false},
               {{Type::u8, {1, 4096}, {1, 1}}, most / 4096, true},
               {{Type::u8, {1, 4096}, {1, 1}}, most / 4096 + 1, false},
               {{Type::u8, {1}, {static_cast<hsize_t>(most)}}, 1, true},
               {{Type::u8, {1}, {static_cast<hsize_t>(most) + 1}}, 1, false},
               {{Type::u8, {1, 1}, {largest, 2}}, 1, false},            // wraps to a small number
               {{Type::i16, {1, hsize_t{1} << 63}, {1, 1}}, 1, false},  // wraps to 0
               {{Type::f64, {1, 1 << 30, 1 << 30}, {1, 1, 1}}, 1 << 30, false},
               {{Type::f64, {1, largest}, {largest}}, 0, true}};  // nothing of it is read
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const std::string message =
        message_of(Exit::corrupt, [&] { check_claim(file, cases[i].shape, cases[i].rows, "f:d"); });
    EXPECT_EQ(message.empty(), cases[i].good) << i << message;
    if (!cases[i].good) {
      EXPECT_TRUE(message.starts_with("f:d is damaged (it claims ")) << message;
    }
  }
}

// A chunk that does not fit into the usual room would be read anew for each of its rows.
TEST(Dataset, AChunkIsKeptWhereItIsLarge) {
  const Folder folder;
  File file = File::create(folder / "f.h5");
  for (const auto& [rows, kept] : {std::pair<hsize_t, bool>{1 << 17, false}, {(1 << 17) + 1, true}}) {
    const std::string name = numbered("d", rows);
    const double last = 2.5;
    write_rows(file.make_dataset(name, Type::f64, {{0}, {rows}, true, true}), Type::f64, rows - 1, 1, &last, name);
    Id dataset = file.open_dataset(name);
    keep_a_chunk(file, name, inspect(dataset, name), dataset);
    const Id list(H5Dget_access_plist(dataset.get()), H5Pclose);
    std::size_t slots = 0, bytes = 0;
    double preemption = 0.0, back = 0.0;
    H5Pget_chunk_cache(list.get(), &slots, &bytes, &preemption);
    EXPECT_EQ(bytes, kept ? 8 * rows : 1 << 20) << rows;
    read_rows(dataset, Type::f64, rows - 1, 1, &back, name);
    EXPECT_EQ(back, last);
  }
}

TEST(Attribute, TextsAndIntegersComeBack) {
  const Folder folder;
  File file = File::create(folder / "f.h5");
  std::string every;
  for (int c = 1; c < 256; ++c) every += static_cast<char>(c);
  const std::string nul("a\0b", 3), texts[] = {"", "x", "\xc3\xa4\xe2\x82\xac", every, nul, std::string(100000, 'y')};
  const std::int64_t numbers[] = {0, -1, std::numeric_limits<std::int64_t>::min(),
                                  std::numeric_limits<std::int64_t>::max()};
  for (std::size_t i = 0; i < std::size(texts); ++i) set_attribute(file.id(), numbered("t", i), texts[i], "f");
  for (std::size_t i = 0; i < std::size(numbers); ++i) set_attribute(file.id(), numbered("n", i), numbers[i], "f");
  file.close();
  const File back = File::open(folder / "f.h5");
  for (std::size_t i = 0; i < std::size(texts); ++i)
    EXPECT_EQ(text_attribute(back.id(), numbered("t", i), "f"), texts[i]) << i;
  for (std::size_t i = 0; i < std::size(numbers); ++i)
    EXPECT_EQ(int_attribute(back.id(), numbered("n", i), "f"), numbers[i]) << i;
  EXPECT_TRUE(has_attribute(back.id(), "t0"));
  EXPECT_FALSE(has_attribute(back.id(), "t9"));
  EXPECT_EQ(message_of(Exit::corrupt, [&] { int_attribute(back.id(), "t0", "f"); }),
            "f is damaged (its attribute t0 is not one integer)");
  EXPECT_EQ(message_of(Exit::corrupt, [&] { text_attribute(back.id(), "n0", "f"); }),
            "f is damaged (its attribute n0 is not one text)");
  EXPECT_TRUE(message_of(Exit::corrupt, [&] {
                int_attribute(back.id(), "t9", "f");
              }).starts_with("cannot read attribute t9 of f (HDF5: "));
}

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
