#include "data/check.hpp"

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
    if (e.code() == Exit::usage && problems.empty()) throw;
    problems.push_back(e.what());
  }
}

void check_sums(const std::string& folder, std::vector<std::string>& problems) {
  for (const auto& [file, sum] : listed_files(read_manifest(folder)))
    collect(problems, [&] {
      const std::string path = folder + "/" + file, found = files::sha256_of_file(path);
      check(found == sum, Exit::corrupt, path + ": sha256 " + found + ", but the manifest says " + sum);
    });
}

void check_documents(const std::string& path, const Corpus& corpus, Split split, std::vector<std::string>& problems) {
  std::int64_t next = 0;
  for (const Document& d : corpus.documents(split)) {
    if (d.first != next || d.tokens < 1 || d.domain < 0 || d.domain >= static_cast<int>(corpus.domains().size())) {
      problems.push_back(path + ": the documents of " + split_name(split) + " do not follow one another at token " +
                         std::to_string(next));
      return;
    }
    next += d.tokens;
  }
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
    for (const Split split : {Split::train, Split::validation}) {
      check_documents(path, corpus, split, problems);
      collect(problems, [&] { check_tokens(corpus, split); });
    }
  });
  return problems;
}

}  // namespace switchyard::data
