#include "data/manifest.hpp"

#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard::data {
namespace {

using Json = nlohmann::ordered_json;

Json split_json(const SplitEntry& s) {
  Json shards = Json::array();
  for (const ShardEntry& e : s.shards) shards.push_back({{"file", e.file}, {"tokens", e.tokens}, {"sha256", e.sha256}});
  return {{"tokens", s.tokens},
          {"bytes", s.bytes},
          {"shards", shards},
          {"documents", {{"count", s.documents}, {"file", s.document_file}, {"sha256", s.document_sha256}}}};
}

SplitEntry read_split(const Json& j) {
  SplitEntry s;
  s.tokens = j.at("tokens"), s.bytes = j.at("bytes");
  for (const Json& e : j.at("shards")) s.shards.push_back({e.at("file"), e.at("tokens"), e.at("sha256")});
  const Json& d = j.at("documents");
  s.documents = d.at("count"), s.document_file = d.at("file"), s.document_sha256 = d.at("sha256");
  return s;
}

Manifest parse(const Json& j) {
  Manifest m;
  const Json& t = j.at("tokenizer");
  m.tokenizer = t.at("kind"), m.tokenizer_file = t.value("file", ""), m.tokenizer_sha256 = t.value("sha256", "");
  m.vocabulary = j.at("vocabulary"), m.end_token = j.at("end_token"), m.token_bits = j.at("token_bits");
  m.domains = j.at("domains").get<std::vector<std::string>>();
  for (const Split s : {Split::train, Split::validation}) m.of(s) = read_split(j.at("splits").at(split_name(s)));
  return m;
}

}  // namespace

const char* split_name(Split split) { return split == Split::train ? "train" : "validation"; }

std::vector<std::pair<std::string, std::string>> listed_files(const Manifest& m) {
  std::vector<std::pair<std::string, std::string>> files;
  if (!m.tokenizer_file.empty()) files.emplace_back(m.tokenizer_file, m.tokenizer_sha256);
  for (const SplitEntry& s : m.splits) {
    for (const ShardEntry& e : s.shards) files.emplace_back(e.file, e.sha256);
    files.emplace_back(s.document_file, s.document_sha256);
  }
  return files;
}

std::string to_json(const Manifest& m) {
  Json tokenizer{{"kind", m.tokenizer}};
  if (!m.tokenizer_file.empty()) tokenizer["file"] = m.tokenizer_file, tokenizer["sha256"] = m.tokenizer_sha256;
  Json j{{"schema", "switchyard-corpus"}, {"schema_version", Manifest::version}, {"tokenizer", tokenizer}};
  j["vocabulary"] = m.vocabulary, j["end_token"] = m.end_token, j["token_bits"] = m.token_bits;
  j["domains"] = m.domains;
  for (const Split s : {Split::train, Split::validation}) j["splits"][split_name(s)] = split_json(m.of(s));
  return j.dump(2) + "\n";
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/manifest.json";
  const Json j = Json::parse(files::read_text(path), nullptr, false);
  check(!j.is_discarded() && j.is_object(), Exit::corrupt, path + ": not a JSON object; build the corpus again");
  check(j.value("schema", "") == "switchyard-corpus" && j.value("schema_version", 0) == Manifest::version, Exit::usage,
        path + ": not a switchyard-corpus of version " + std::to_string(Manifest::version));
  try {
    return parse(j);
  } catch (const Json::exception& e) {
    throw Error(Exit::corrupt, path + ": " + e.what() + "; build the corpus again");
  }
}

}  // namespace switchyard::data
