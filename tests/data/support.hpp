// Folders and files for the tests of the data room, and what an error says.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "data/build.hpp"
#include "data/corpus.hpp"
#include "support/folder.hpp"

namespace switchyard::data {

using TestFolder = test::Folder;

inline void write_file(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Overwrites bytes at an offset of a file.
inline void patch_file(const std::string& path, std::int64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(offset);
  file << bytes;
}

/// "<exit code>: <message>" of the Error that `work` throws; "" where it throws none.
template <class F>
std::string error_of(F&& work) {
  try {
    work();
  } catch (const Error& e) {
    return std::to_string(static_cast<int>(e.code())) + ": " + e.what();
  }
  return "";
}

/// A corpus of `documents` texts of a few hundred bytes each in two domains; returns its folder.
inline std::string small_corpus(const TestFolder& folder, int documents) {
  for (int i = 0; i < documents; ++i) {
    std::string text;
    for (int line = 0; line <= i % 7 + 3; ++line)
      text += "document " + std::to_string(i) + ", line " + std::to_string(line * i) + ": π ≈ 3.14\n";
    write_file(folder / ("text/" + std::string(i % 3 ? "prose/" : "code/") + std::to_string(i) + ".txt"), text);
  }
  BuildOptions options;
  options.inputs = {folder / "text"};
  options.out = folder / "corpus";
  options.validation_share = 0.2;
  build_corpus(options);
  return options.out;
}

/// Text of every document of both splits.
inline std::multiset<std::string> texts_of(const Corpus& corpus) {
  std::multiset<std::string> texts;
  for (const Split split : {Split::train, Split::validation})
    for (const Document& d : corpus.documents(split)) {
      std::vector<std::int32_t> ids(d.tokens);
      corpus.read(split, d.first, d.tokens, ids.data());
      EXPECT_EQ(ids.back(), corpus.end_token()) << "the end token";
      ids.pop_back();
      texts.insert(corpus.decode(ids));
      EXPECT_EQ(static_cast<std::int64_t>(corpus.decode(ids).size()), d.bytes);
    }
  return texts;
}

inline std::vector<std::string> names_of(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

inline std::string build_error(const TestFolder& folder, const std::vector<std::string>& inputs) {
  BuildOptions options;
  options.inputs = inputs;
  options.out = folder / "corpus";
  const std::string error = error_of([&] { build_corpus(options); });
  EXPECT_FALSE(std::filesystem::exists(options.out)) << "nothing is left behind";
  return error;
}

}  // namespace switchyard::data
