#include "data/check.hpp"

#include <algorithm>
#include <filesystem>

#include "base/check.hpp"
#include "base/files.hpp"
#include "data/corpus.hpp"
#include "data/manifest.hpp"

namespace switchyard::data {
namespace {

/// Runs `work` and keeps the message of its error; one that says that this is no corpus at all is passed on.
template <class F>
void collect(std::vector<std::string>& problems, F&& work) {
  try {
    work();
  } catch (const Error& e) {
    if (e.code() != Exit::corrupt && problems.empty()) throw;
    if (std::find(problems.begin(), problems.end(), e.what()) == problems.end()) problems.push_back(e.what());
  }
}

void check_sums(const std::string& folder, std::vector<std::string>& problems) {
  for (const auto& [file, sum] : listed_files(read_manifest(folder)))
    collect(problems, [&, name = file, wanted = sum] {
      const std::string path = folder + "/" + name;
      require_regular(path);
      check_sum(path, files::sha256_of_file(path), wanted);
    });
}

void check_tokens(const Corpus& corpus, Split split) {
  constexpr std::int64_t part = 1 << 20;
  std::vector<std::int32_t> ids(part);
  for (std::int64_t first = 0; first < corpus.tokens(split); first += part)
    corpus.read(split, first, std::min(part, corpus.tokens(split) - first), ids.data());
}

}  // namespace

std::vector<std::string> check_corpus(const std::string& path) {
  check(std::filesystem::exists(path), Exit::usage, path + ": no such file or folder; give a corpus folder or a shard");
  std::vector<std::string> problems;
  collect(problems, [&] {
    if (std::filesystem::exists(path + "/manifest.json")) check_sums(path, problems);
    const Corpus corpus = Corpus::open(path);
    for (const Split split : {Split::train, Split::validation}) collect(problems, [&] { check_tokens(corpus, split); });
  });
  return problems;
}

}  // namespace switchyard::data
