// Datasets and attributes come back bit for bit, and what claims more than there is is damage.
#include "hdf5/hdf5.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <random>
#include <tuple>

#include "fixtures.hpp"

namespace switchyard::hdf5 {
namespace {

constexpr Type types[] = {Type::i16, Type::i32, Type::i64, Type::u8, Type::f32, Type::f64, Type::text16, Type::text32};

/// "d7".
std::string numbered(const char* head, std::size_t i) { return std::string(head).append(std::to_string(i)); }

Bytes random_bytes(std::size_t n, unsigned seed) {
  std::mt19937 draw(seed);
  Bytes bytes(n);
  for (auto& b : bytes) b = static_cast<unsigned char>(draw());
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
      EXPECT_EQ(H5Tget_order(file_type(type)), is_text(type) ? H5T_ORDER_NONE : H5T_ORDER_LE) << name_of(type);
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

}  // namespace
}  // namespace switchyard::hdf5
