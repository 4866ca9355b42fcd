// A placement file: what `yardstick placement` writes is read, and every fault has its place and its sentence.
#include "config/placement_file.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "support/folder.hpp"

namespace switchyard {
namespace {

/// A model of four blocks, of which 1 has four experts and 3 has three.
LoadResult with_file(const std::string& file) {
  return load_text("c.yaml", "", {"model.blocks=4", "moe.experts_per_block=[0, 4, 0, 3]", "layout.placement=" + file});
}

const std::string good = "# a comment\n1: [2, 0, 3, 1]\n3: [0, 2, 1]\n";

TEST(PlacementFile, FormsThatMeanTheSame) {
  for (const std::string& text :
       {good, std::string("3: [0,2,1] # end\n\n1: [ 2,0,\n  3, # inside\n  1 ]"),
        std::string("\xef\xbb\xbf\x31:  [2, 0, 3, 1]\r\n3: [0, 2, 1]\r\n"),
        std::string("1 : [2, 0, 3, 1]\n3:\n  [0, 2, 1]\n"), std::string("# \xc3\xa9\n1: [2,0,3,1]\n03: [0, 2, 1]")}) {
    LoadResult loaded = with_file("p.yaml");
    take_placement(loaded, text);
    ASSERT_EQ(loaded.errors.size(), 0u) << loaded.errors.front().text();
    const std::map<int, std::vector<int>> expected{{1, {2, 0, 3, 1}}, {3, {0, 2, 1}}};
    EXPECT_EQ(loaded.config.layout.seat_orders->by_block, expected) << text;
    EXPECT_EQ(loaded.config.layout.seat_orders->sha256, files::sha256_of_text(text));
  }
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

struct Fault {
  std::string text, said;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {"1: [2, 0, 3, 1]\n", "2:1: ends without an entry for blocks [3]; every mixture of experts has one"},
      {"# only a comment\n", "2:1: ends without an entry for blocks [1, 3]"},
      {"", "1:1: ends without an entry for blocks [1, 3]"},
      {good + "2: [0]\n", "4:1: lists block 2, which is no mixture of experts (those are [1, 3])"},
      {good + "\n1: [0, 1, 2, 3]\n", "5:1: lists block 1 twice"},
      {replaced(good, "3, 1]", "1]"), "2:5: block 1: lists 3 experts, but the block has 4"},
      {replaced(good, "0, 2, 1]", "]"), "3:5: block 3: lists 0 experts, but the block has 3"},
      {replaced(good, "2, 1]", "2, 1, 2]"), "3:14: block 3: lists expert 2 twice; each stands once"},
      {replaced(good, "[2, 0", "[0, 0"), "2:8: block 1: lists expert 0 twice"},
      {replaced(good, "[2, 0", "[2,\n\n 4"), "4:2: block 1: lists expert 4, but the block has experts 0 to 3"},
      {replaced(good, "[2, 0", "[-2, 0"), "2:5: block 1: '-2' is no expert"},
      {replaced(good, "[2, 0", "[2.0, 0"), "2:5: block 1: '2.0' is no expert"},
      {replaced(good, "[2, 0", "[02, 0"), "2:5: block 1: '02' is no expert"},
      {replaced(good, "[2, 0", "[1234567890, 0"), "2:5: block 1: '1234567890' is no expert"},
      {replaced(good, "[2, 0", "[2, , 0"), "2:8: block 1: '' is no expert"},
      {replaced(good, "3, 1]", "3, 1,]"), "2:16: block 1: '' is no expert"},
      {replaced(good, "[2, 0", "[\x1b[31m, 0"), "block 1: its list does not end with ]"},
      {replaced(good, "[2, 0", "[\x1b, 0"), "2:5: block 1: '?' is no expert"},
      {"1: [2, 0, 3, 1] 3: [0, 2, 1]\n", "1:17: '3: [0, 2, 1]' is no entry BLOCK: [EXPERT, EXPERT, ...]"},
      {"1: [2, 0, 3, 1]\n  3: [0, 2, 1]\n", "2:3: '3: [0, 2, 1]' is no entry"},
      {"one: [0]\n" + good, "1:1: 'one: [0]' is no entry"},
      {"1: [2, 0, 3, 1]\n3: [0, 2, 1", "2:12: block 3: its list does not end with ]"},
      {"1: [2, 0, 3, 1]\n3: [0, 2,\n1: [0, 1, 2, 3]", "3:2: block 3: its list does not end with ]"},
      {"1: [[2, 0], [3, 1]]\n", "1:5: block 1: its list does not end with ]"},
      {"1:\n  - 2\n  - 0\n", "1:1: '1:' is no entry"},
      {"1: 2, 0, 3, 1\n", "1:1: '1: 2, 0, 3, 1' is no entry"},
      {"1", "1:1: '1' is no entry"},
      {"{1: [2, 0, 3, 1], 3: [0, 2, 1]}", "1:1: '{1: [2, 0, 3, 1], 3: [0, 2, 1]}' is no entry"},
      {"--- \n" + good, "1:1: '--- ' is no entry"},
      {"12345678901: [0]", "1:1: '12345678901: [0]' is no entry"},
      {good + "placement: contiguous\n", "4:1: 'placement: contiguous' is no entry"},
      {good + std::string(50, 'x'), "4:1: '" + std::string(40, 'x') + "...' is no entry"}};
  return all;
}

TEST(PlacementFile, AFaultHasItsPlaceAndItsSentence) {
  for (const auto& [text, said] : faults()) {
    LoadResult loaded = with_file("dir/p.yaml");
    take_placement(loaded, text);
    ASSERT_EQ(loaded.errors.size(), 1u) << text;
    const std::string found = loaded.errors.front().text(),
                      advice =
                          "; give a file that `yardstick placement` wrote for a model with these blocks and experts";
    EXPECT_EQ(found.find("dir/p.yaml:"), 0u) << found;
    EXPECT_NE(found.find(said), std::string::npos) << found << " of\n" << text;
    EXPECT_TRUE(found.ends_with(advice)) << found;
    EXPECT_EQ(found.find('\n'), std::string::npos);
    EXPECT_EQ(loaded.config.layout.seat_orders, nullptr);
  }
}

TEST(PlacementFile, IsReadWhereItIsNamed) {
  const test::Folder folder;
  const std::string file = folder.path() + "/p.yaml";
  std::ofstream(file) << good;
  LoadResult loaded = with_file(file);
  add_placement(loaded);
  EXPECT_TRUE(loaded.errors.empty());
  EXPECT_EQ(loaded.config.layout.seat_orders->sha256, files::sha256_of_text(good));
  loaded = with_file("contiguous");
  add_placement(loaded);
  EXPECT_TRUE(loaded.errors.empty());
  EXPECT_EQ(loaded.config.layout.seat_orders, nullptr);
  for (const std::string& name : {folder.path(), folder.path() + "/none", std::string("contigous")}) {
    loaded = with_file(name);
    add_placement(loaded);
    ASSERT_EQ(loaded.errors.size(), 1u) << name;
    const std::string said = loaded.errors.front().text();
    EXPECT_EQ(said.find("command line: layout.placement: " + name + ": cannot be read ("), 0u) << said;
    EXPECT_TRUE(said.ends_with("; give the path of a readable file, or contiguous")) << said;
    try {
      placement_text(loaded);
      ADD_FAILURE() << "read " << name;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Exit::usage);
      EXPECT_EQ(e.what(), said);
    }
  }
  loaded = with_file("");
  add_violations(loaded, 1);
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_EQ(loaded.errors.front().key, "layout.placement");
  add_placement(loaded);  // a complaint about it is enough
  EXPECT_EQ(loaded.errors.size(), 1u);
}

}  // namespace
}  // namespace switchyard
