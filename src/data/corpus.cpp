#include "data/corpus.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/check.hpp"
#include "base/checked.hpp"
#include "base/files.hpp"
#include "data/manifest.hpp"
#include "data/shard.hpp"
#include "data/tokenizer.hpp"

namespace switchyard::data {
namespace {

constexpr int gpt2_vocabulary = 50257;

/// One split: shards one after another, or a part of one.
struct Stream {
  std::vector<std::shared_ptr<Shard>> shards;
  std::vector<std::int64_t> first;  ///< first token of each shard in the stream, and the end
  std::int64_t skip = 0;            ///< tokens of the first shard that belong to another split
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;
  std::vector<Document> documents;
};

/// The document table of a split: it follows its sum, its tokens one another, and its sums are the manifest's.
std::vector<Document> read_documents(const std::string& folder, const Manifest& manifest, const SplitEntry& entry) {
  const std::string path = folder + "/" + entry.document_file;
  const std::string table = read_listed(folder, entry.document_file, entry.document_sha256);
  constexpr std::int64_t row = 32;  // bytes
  const auto bytes = static_cast<std::int64_t>(table.size());
  check(bytes % row == 0 && bytes / row == entry.documents, Exit::corrupt,
        path + ": has " + std::to_string(bytes) + " bytes, but " + to_string(Checked(entry.documents) * row) +
            " were expected; build the corpus again");
  std::vector<Document> documents(entry.documents);
  Checked next = 0, text = 0;
  for (std::int64_t i = 0; i < entry.documents; ++i) {
    std::int64_t v[4];
    std::memcpy(v, table.data() + i * row, sizeof v);
    check(v[0] == next.value() && v[1] >= 1 && v[2] >= 0 && v[3] >= 0 && v[3] < std::ssize(manifest.domains),
          Exit::corrupt,
          path + ": byte " + std::to_string(i * row) + ": document " + std::to_string(i) +
              " does not follow the one before, or has no such domain; build the corpus again");
    documents[i] = {v[0], v[1], v[2], static_cast<int>(v[3])};
    next += v[1], text += v[2];
  }
  check(next.fits() && next == entry.tokens && text.fits() && text == entry.bytes, Exit::corrupt,
        path + ": its documents have " + to_string(next) + " tokens and " + to_string(text) +
            " bytes, but the manifest says " + std::to_string(entry.tokens) + " and " + std::to_string(entry.bytes) +
            "; build the corpus again");
  return documents;
}

Stream open_split(const std::string& folder, const Manifest& manifest, Split split) {
  const SplitEntry& entry = manifest.of(split);
  Stream stream;
  for (const ShardEntry& shard : entry.shards) {
    stream.shards.push_back(
        std::make_shared<Shard>(Shard::open(folder + "/" + shard.file, manifest.token_bits, shard.tokens)));
    stream.first.push_back(stream.tokens);
    stream.tokens += shard.tokens;
  }
  stream.first.push_back(stream.tokens);
  stream.bytes = entry.bytes;
  stream.documents = read_documents(folder, manifest, entry);
  return stream;
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& folder, const Manifest& m) {
  auto tokenizer = m.tokenizer == "bytes"
                       ? make_byte_tokenizer()
                       : load_sentencepiece(read_listed(folder, m.tokenizer_file, m.tokenizer_sha256),
                                            folder + "/" + m.tokenizer_file);
  check(tokenizer->vocabulary() == m.vocabulary && tokenizer->end_token() == m.end_token, Exit::corrupt,
        folder + "/manifest.json: a vocabulary of " + std::to_string(m.vocabulary) + " closed by " +
            std::to_string(m.end_token) + ", but its tokenizer has " + std::to_string(tokenizer->vocabulary()) +
            " closed by " + std::to_string(tokenizer->end_token()) + "; build the corpus again");
  return tokenizer;
}

}  // namespace

struct Corpus::State {
  std::string path;
  int vocabulary = 0;
  std::int32_t end_token = 0;
  std::vector<std::string> domains;
  Stream streams[2];
  std::unique_ptr<Tokenizer> tokenizer;  ///< null for an llm.c shard
  std::string tokenizer_name = "gpt2";
  std::string identity;
  const Stream& of(Split s) const { return streams[static_cast<int>(s)]; }
};

Corpus::Corpus(std::unique_ptr<State> state) : state_(std::move(state)) {}
Corpus::Corpus(Corpus&&) noexcept = default;
Corpus::~Corpus() = default;

namespace {

/// The last 2 % of a single llm.c shard are held out.
void split_shard(const std::shared_ptr<Shard>& shard, Stream* streams) {
  const std::int64_t held = std::max<std::int64_t>(1, shard->tokens() / 50), train = shard->tokens() - held;
  streams[0].shards = streams[1].shards = {shard};
  streams[0].tokens = train, streams[0].first = {0, train};
  streams[1].tokens = held, streams[1].first = {0, held}, streams[1].skip = train;
}

/// Files NAME.bin of a folder with `mark` in their name and not `other`, sorted: what is trained on is not held out.
std::vector<std::string> marked_shards(const std::string& folder, const std::string& mark, const std::string& other) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".bin" || name.find(mark) == name.npos) continue;
    check(name.find(other) == name.npos, Exit::usage,
          entry.path().string() + ": its name has " + mark + " and " + other +
              ", so it would be trained on and held out; rename it");
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Appends llm.c shards to a stream; returns their sums in one text.
std::string add_shards(const std::vector<std::string>& files, Stream& stream) {
  std::string sums;
  for (const std::string& file : files) {
    stream.shards.push_back(std::make_shared<Shard>(Shard::open_llmc(file)));
    stream.first.push_back(stream.tokens);
    stream.tokens += stream.shards.back()->tokens();
    sums += files::sha256_of_file(file) + "\n";
  }
  stream.first.push_back(stream.tokens);
  return sums;
}

}  // namespace

Corpus Corpus::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->vocabulary = gpt2_vocabulary;
  state->end_token = gpt2_vocabulary - 1;
  if (std::filesystem::is_regular_file(path)) {
    split_shard(std::make_shared<Shard>(Shard::open_llmc(path)), state->streams);
    state->identity = files::sha256_of_file(path);
    return Corpus(std::move(state));
  }
  const bool folder = std::filesystem::is_directory(path),
             manifested = std::filesystem::exists(path + "/manifest.json");
  if (folder && !manifested && !marked_shards(path, "_train_", "_val_").empty()) {
    const std::string train = add_shards(marked_shards(path, "_train_", "_val_"), state->streams[0]);
    const std::string held = add_shards(marked_shards(path, "_val_", "_train_"), state->streams[1]);
    state->identity = files::sha256_of_text(train + held);
    return Corpus(std::move(state));
  }
  check(
      folder && manifested, Exit::usage,
      path +
          ": no corpus there (neither a folder with manifest.json nor .bin shards in the llm.c format); make one with "
          "switchyard data build");
  const Manifest manifest = read_manifest(path, &state->identity);
  state->vocabulary = manifest.vocabulary;
  state->end_token = manifest.end_token;
  state->domains = manifest.domains;
  state->tokenizer = open_tokenizer(path, manifest);
  state->tokenizer_name = manifest.tokenizer == "bytes" ? manifest.tokenizer : manifest.tokenizer_sha256;
  for (const Split s : {Split::train, Split::validation})
    state->streams[static_cast<int>(s)] = open_split(path, manifest, s);
  return Corpus(std::move(state));
}

const std::string& Corpus::path() const { return state_->path; }
int Corpus::vocabulary() const { return state_->vocabulary; }
std::int32_t Corpus::end_token() const { return state_->end_token; }
std::int64_t Corpus::tokens(Split split) const { return state_->of(split).tokens; }
const std::vector<Document>& Corpus::documents(Split split) const { return state_->of(split).documents; }
const std::vector<std::string>& Corpus::domains() const { return state_->domains; }
std::int64_t Corpus::bytes(Split split) const { return state_->of(split).bytes; }
const std::string& Corpus::tokenizer() const { return state_->tokenizer_name; }
std::string Corpus::manifest_sha256() const { return state_->identity; }

void Corpus::read(Split split, std::int64_t first, std::int64_t count, std::int32_t* out) const {
  const Stream& s = state_->of(split);
  expect(first >= 0 && first + count <= s.tokens, "tokens inside the split");
  while (count > 0) {
    const auto shard = std::upper_bound(s.first.begin(), s.first.end(), first) - s.first.begin() - 1;
    const std::int64_t inside = first - s.first[shard], here = std::min(count, s.first[shard + 1] - first);
    s.shards[shard]->read(inside + s.skip, here, state_->vocabulary, out);
    first += here, count -= here, out += here;
  }
}

std::string Corpus::token_text(std::int32_t id) const { return state_->tokenizer ? state_->tokenizer->text(id) : ""; }

std::string Corpus::decode(const std::vector<std::int32_t>& ids) const {
  check(state_->tokenizer != nullptr, Exit::usage, state_->path + " is an llm.c shard, which brings no tokenizer");
  return state_->tokenizer->decode(ids);
}

std::vector<std::int32_t> Corpus::encode(const std::string& text) const {
  check(state_->tokenizer != nullptr, Exit::usage, state_->path + " is an llm.c shard, which brings no tokenizer");
  auto ids = state_->tokenizer->encode(text);
  const auto lost = first_lost_byte(*state_->tokenizer, ids, text);
  check(lost < 0, Exit::usage,
        "the text cannot be written with the tokenizer of " + state_->path + " from its byte " + std::to_string(lost) +
            " on (it changes or lacks characters); give another text");
  return ids;
}

}  // namespace switchyard::data
