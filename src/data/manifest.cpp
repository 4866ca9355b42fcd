#include "data/manifest.hpp"

#include <filesystem>
#include <limits>
#include <set>

#include "base/check.hpp"
#include "base/checked.hpp"
#include "base/files.hpp"
#include "base/json.hpp"

namespace switchyard::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t any = std::numeric_limits<std::int64_t>::max();

std::string read_regular(const std::string& path) {
  require_regular(path);
  return files::read_text(path);
}

Json split_json(const SplitEntry& s) {
  Json shards = Json::array();
  for (const ShardEntry& e : s.shards) shards.push_back({{"file", e.file}, {"tokens", e.tokens}, {"sha256", e.sha256}});
  return {{"tokens", s.tokens},
          {"bytes", s.bytes},
          {"shards", shards},
          {"documents", {{"count", s.documents}, {"file", s.document_file}, {"sha256", s.document_sha256}}}};
}

std::string file_name(const Json& j) {
  const std::string name = j.at("file");
  if (!files::is_plain_name(name)) throw BadMember("'" + name + "' is no name of a file in the folder");
  return name;
}

std::string sum_of(const Json& j) {
  const std::string sum = j.at("sha256");
  if (sum.size() != 64 || sum.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw BadMember("'" + sum + "' is no sha256");
  return sum;
}

SplitEntry read_split(const Json& j) {
  SplitEntry s;
  s.tokens = whole(j, "tokens", 0, any), s.bytes = whole(j, "bytes", 0, any);
  Checked tokens = 0;
  for (const Json& e : j.at("shards")) {
    s.shards.push_back({file_name(e), whole(e, "tokens", 0, any), sum_of(e)});
    tokens += s.shards.back().tokens;
  }
  if (tokens != s.tokens)
    throw BadMember("a split promises " + std::to_string(s.tokens) + " tokens, its shards " + to_string(tokens));
  const Json& d = j.at("documents");
  s.documents = whole(d, "count", 0, any), s.document_file = file_name(d), s.document_sha256 = sum_of(d);
  return s;
}

void read_tokenizer(const Json& j, Manifest& m) {
  m.tokenizer = j.at("kind");
  if (m.tokenizer == "sentencepiece") m.tokenizer_file = file_name(j), m.tokenizer_sha256 = sum_of(j);
  if (m.tokenizer != "sentencepiece" && m.tokenizer != "bytes")
    throw BadMember("the tokenizer '" + m.tokenizer + "' is neither bytes nor sentencepiece");
}

/// No file has two parts to play: what is trained on would be held out too.
void check_names(const Manifest& m) {
  std::set<std::string> names{"manifest.json"};
  for (const auto& [file, sum] : listed_files(m))
    if (!names.insert(file).second) throw BadMember("'" + file + "' is listed twice");
}

Manifest parse(const Json& j) {
  Manifest m;
  read_tokenizer(j.at("tokenizer"), m);
  m.vocabulary = static_cast<int>(whole(j, "vocabulary", 1, std::numeric_limits<std::int32_t>::max()));
  m.end_token = static_cast<std::int32_t>(whole(j, "end_token", 0, m.vocabulary - 1));
  m.token_bits = static_cast<int>(whole(j, "token_bits", 16, 32));
  if (m.token_bits % 16 != 0 || (m.token_bits == 16 && m.vocabulary > 65536))
    throw BadMember("token_bits is " + std::to_string(m.token_bits) +
                    ", but must be 16 or 32, and hold the vocabulary");
  m.domains = j.at("domains").get<std::vector<std::string>>();
  if (std::set<std::string>(m.domains.begin(), m.domains.end()).size() != m.domains.size())
    throw BadMember("a domain is listed twice");
  for (const Split s : {Split::train, Split::validation}) m.of(s) = read_split(j.at("splits").at(split_name(s)));
  check_names(m);
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

Manifest read_manifest(const std::string& folder, std::string* sha256) {
  const std::string path = folder + "/manifest.json", text = read_regular(path), advice = "; build the corpus again";
  if (sha256) *sha256 = files::sha256_of_text(text);
  return parse_json<Json>(text, path, advice, [&](const Json& j) {
    const bool ours = j.at("schema") == "switchyard-corpus" && j.at("schema_version").is_number_integer();
    check(ours && j.at("schema_version") == Manifest::version, Exit::usage,
          path + ": not a switchyard-corpus of version " + std::to_string(Manifest::version) + advice);
    return parse(j);
  });
}

void require_regular(const std::string& path) {
  std::error_code unreachable;
  const auto status = std::filesystem::status(path, unreachable);
  const bool other = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  check(!other, Exit::corrupt, path + " is no regular file; build the corpus again");
}

std::string read_listed(const std::string& folder, const std::string& file, const std::string& sha256) {
  const std::string path = folder + "/" + file;
  std::string text = read_regular(path);
  check_sum(path, files::sha256_of_text(text), sha256);
  return text;
}

void check_sum(const std::string& path, const std::string& found, const std::string& sha256) {
  check(found == sha256, Exit::corrupt,
        path + ": sha256 " + found + ", but the manifest says " + sha256 + "; build the corpus again");
}

}  // namespace switchyard::data
