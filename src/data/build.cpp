#include "data/build.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/philox.hpp"
#include "data/documents.hpp"
#include "data/manifest.hpp"
#include "data/tokenizer.hpp"

namespace switchyard::data {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t shard_tokens = std::int64_t{1} << 27;
constexpr std::size_t line_bytes = 4096;  // a tokenizer learns from pieces of at most this length

/// What the first pass over the documents finds.
struct Survey {
  std::int64_t documents = 0;
  std::int64_t bytes = 0;
  std::vector<std::string> domains;  // in order of appearance
};

Survey survey(const BuildOptions& options) {
  Survey found;
  for_each_document(options.inputs, [&](const TextDocument& d) {
    ++found.documents;
    found.bytes += static_cast<std::int64_t>(d.text.size());
    if (std::find(found.domains.begin(), found.domains.end(), d.domain) == found.domains.end())
      found.domains.push_back(d.domain);
  });
  check(found.documents >= 2, Exit::usage,
        "the inputs hold " + std::to_string(found.documents) +
            " document(s), but two are needed: one to train on and one to hold out");
  return found;
}

/// Pieces of text for the tokenizer: of each document the same share, so that all domains take part.
std::vector<std::string> learning_texts(const BuildOptions& options, std::int64_t bytes) {
  const double share = std::min(1.0, static_cast<double>(options.tokenizer_bytes) / static_cast<double>(bytes));
  std::vector<std::string> texts;
  double owed = 0.0;
  for_each_document(options.inputs, [&](const TextDocument& d) {
    for (std::size_t i = 0; i < d.text.size();) {
      const std::size_t newline = d.text.find('\n', std::min(i + 200, d.text.size()));
      std::size_t end = std::min(newline == std::string::npos ? d.text.size() : newline + 1, i + line_bytes);
      while (end < d.text.size() && (static_cast<unsigned char>(d.text[end]) & 0xC0) == 0x80) ++end;
      owed += share * static_cast<double>(end - i);
      if (owed > 0.0) {
        texts.push_back(d.text.substr(i, end - i));
        owed -= static_cast<double>(end - i);
      }
      i = end;
    }
  });
  return texts;
}

std::unique_ptr<Tokenizer> make_tokenizer(const BuildOptions& options, std::int64_t bytes, const std::string& folder,
                                          Manifest& manifest) {
  manifest.tokenizer = options.tokenizer == "bytes" ? "bytes" : "sentencepiece";
  if (options.tokenizer == "bytes") return make_byte_tokenizer();
  manifest.tokenizer_file = "tokenizer.model";
  const std::string file = folder + "/" + manifest.tokenizer_file;
  if (options.tokenizer == "bpe") {
    const auto texts = learning_texts(options, bytes);
    std::size_t next = 0;
    const TextSource source = [&](std::string& text) {
      if (next == texts.size()) return false;
      text = texts[next++];
      return true;
    };
    train_sentencepiece(source, options.vocabulary, file);
  } else {
    check(fs::exists(options.tokenizer), Exit::usage,
          "tokenizer '" + options.tokenizer + "' is neither bytes, bpe nor a file");
    fs::copy_file(options.tokenizer, file);
  }
  manifest.tokenizer_sha256 = files::sha256_of_file(file);
  return load_sentencepiece(file);
}

/// Writes one split's shards and document table.
class SplitWriter {
 public:
  SplitWriter(Split split, const std::string& folder, int token_bits, SplitEntry& entry)
      : name_(split_name(split)), folder_(folder), bytes_(token_bits / 8), entry_(entry) {
    entry_.document_file = name_ + ".documents.bin";
  }
  void add(const std::vector<std::int32_t>& ids, std::int64_t text_bytes, int domain) {
    const auto tokens = static_cast<std::int64_t>(ids.size());
    for (const std::int64_t v : {entry_.tokens, tokens, text_bytes, std::int64_t{domain}}) table_.push_back(v);
    ++entry_.documents, entry_.tokens += tokens, entry_.bytes += text_bytes;
    for (const std::int32_t id : ids) {
      if (entry_.shards.empty() || entry_.shards.back().tokens == shard_tokens) next_shard();
      out_.write(reinterpret_cast<const char*>(&id), bytes_);
      ++entry_.shards.back().tokens;
    }
    check_written(entry_.shards.back().file);
  }
  void close() {
    close_shard();
    std::ofstream table(folder_ + "/" + entry_.document_file, std::ios::binary);
    table.write(reinterpret_cast<const char*>(table_.data()), static_cast<std::streamsize>(table_.size() * 8));
    table.flush();
    if (!table) files::throw_system_error(errno, "write", folder_ + "/" + entry_.document_file);
    entry_.document_sha256 = files::sha256_of_file(folder_ + "/" + entry_.document_file);
  }

 private:
  void next_shard() {
    close_shard();
    char number[16];
    std::snprintf(number, sizeof number, "-%05zu.bin", entry_.shards.size());
    entry_.shards.push_back({name_ + number, 0, ""});
    out_.open(folder_ + "/" + entry_.shards.back().file, std::ios::binary);
  }
  void close_shard() {
    if (!out_.is_open()) return;
    out_.close();
    check_written(entry_.shards.back().file);
    entry_.shards.back().sha256 = files::sha256_of_file(folder_ + "/" + entry_.shards.back().file);
  }
  void check_written(const std::string& file) {
    if (!out_) files::throw_system_error(errno, "write", folder_ + "/" + file);
  }
  std::string name_, folder_;
  int bytes_;
  SplitEntry& entry_;
  std::ofstream out_;
  std::vector<std::int64_t> table_;
};

/// Which documents are held out: those drawn, or the last where none is drawn; never all.
std::vector<bool> held_out(const BuildOptions& options, std::int64_t documents) {
  const std::uint64_t key = stream_key(options.seed, Purpose::document_split);
  std::vector<bool> out(documents);
  for (std::int64_t i = 0; i < documents; ++i)
    out[i] = uniform(philox(key, {{static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 0, 0}}).v[0]) <
             options.validation_share;
  if (std::none_of(out.begin(), out.end(), [](bool b) { return b; })) out.back() = true;
  if (std::all_of(out.begin(), out.end(), [](bool b) { return b; })) out.front() = false;
  return out;
}

void write_tokens(const BuildOptions& options, const Tokenizer& tokenizer, const std::string& folder,
                  std::int64_t documents, Manifest& manifest) {
  const auto validation = held_out(options, documents);
  SplitWriter train(Split::train, folder, manifest.token_bits, manifest.of(Split::train));
  SplitWriter held(Split::validation, folder, manifest.token_bits, manifest.of(Split::validation));
  std::int64_t index = 0;
  for_each_document(options.inputs, [&](const TextDocument& d) {
    auto ids = tokenizer.encode(d.text);
    ids.push_back(tokenizer.end_token());
    const auto domain =
        std::find(manifest.domains.begin(), manifest.domains.end(), d.domain) - manifest.domains.begin();
    (validation.at(index++) ? held : train)
        .add(ids, static_cast<std::int64_t>(d.text.size()), static_cast<int>(domain));
  });
  train.close();
  held.close();
}

}  // namespace

BuildReport build_corpus(const BuildOptions& options) {
  files::refuse_standing(options.out);
  const Survey found = survey(options);
  files::NewFolder folder(options.out);
  Manifest manifest;
  manifest.domains = found.domains;
  const auto tokenizer = make_tokenizer(options, found.bytes, folder.aside(), manifest);
  manifest.vocabulary = tokenizer->vocabulary();
  manifest.end_token = tokenizer->end_token();
  manifest.token_bits = manifest.vocabulary <= 65536 ? 16 : 32;
  write_tokens(options, *tokenizer, folder.aside(), found.documents, manifest);
  files::write_text(folder.aside() + "/manifest.json", to_json(manifest));
  folder.finish();
  return {found.documents, found.bytes, manifest.of(Split::train).tokens, manifest.of(Split::validation).tokens,
          manifest.vocabulary};
}

}  // namespace switchyard::data
