#include "data/build.hpp"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "base/check.hpp"
#include "base/every.hpp"
#include "base/files.hpp"
#include "base/new_folder.hpp"
#include "base/philox.hpp"
#include "data/documents.hpp"
#include "data/inputs.hpp"
#include "data/manifest.hpp"
#include "data/split_writer.hpp"
#include "data/tokenizer.hpp"

namespace switchyard::data {
namespace {

constexpr std::size_t line_bytes = 4096;  // a tokenizer learns from pieces of at most this length

std::string mebibytes(std::int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

/// Says how far a pass over the documents is, every few seconds.
class Progress {
 public:
  Progress(const BuildOptions& options, std::string step) : say_(options.say), step_(std::move(step)) { say_(step_); }
  void add(std::size_t bytes) {
    ++documents_, bytes_ += static_cast<std::int64_t>(bytes);
    if (seconds_.due()) say_(step_ + ": " + std::to_string(documents_) + " documents, " + mebibytes(bytes_));
  }

 private:
  const std::function<void(const std::string&)>& say_;
  std::string step_;
  std::int64_t documents_ = 0, bytes_ = 0;
  Every seconds_{std::chrono::seconds(10)};
};

/// The sources, and what the first pass over their documents finds.
struct Survey {
  std::vector<Source> sources;
  std::int64_t documents = 0;
  std::int64_t bytes = 0;
  std::vector<std::string> domains;  // in order of appearance
  std::unordered_map<std::string, int> domain_index;
};

Survey survey(const BuildOptions& options) {
  Complaints complaints;
  Inputs inputs = find_inputs({options.inputs, options.endings, options.all}, complaints);
  if (inputs.sources.empty()) complaints.raise();
  options.say(inputs.note);
  Survey found;
  found.sources = std::move(inputs.sources);
  Progress progress(options, "reading the documents");
  const std::int64_t marks = for_each_document(
      found.sources,
      [&](const TextDocument& d) {
        progress.add(d.text.size());
        ++found.documents;
        found.bytes += static_cast<std::int64_t>(d.text.size());
        if (found.domain_index.emplace(d.domain, static_cast<int>(found.domains.size())).second)
          found.domains.push_back(d.domain);
      },
      complaints);
  complaints.raise();
  if (marks > 0) options.say("left out " + std::to_string(marks) + " byte-order mark(s), part of no document");
  check(found.documents >= 2, Exit::usage,
        "the inputs hold " + std::to_string(found.documents) +
            " document(s), but two are needed: one to train on and one to hold out");
  return found;
}

/// A later pass, which must meet what the first one found.
void again(const Survey& found, const std::function<void(const TextDocument&)>& visit, Complaints& complaints) {
  std::int64_t documents = 0, bytes = 0;
  const auto changed = [](bool same) {
    check(same, Exit::usage, "the inputs changed while they were read; build again when nothing writes to them");
  };
  for_each_document(
      found.sources,
      [&](const TextDocument& d) {
        ++documents, bytes += static_cast<std::int64_t>(d.text.size());
        changed(documents <= found.documents && bytes <= found.bytes && found.domain_index.count(d.domain) > 0);
        visit(d);
      },
      complaints);
  complaints.raise();
  changed(documents == found.documents && bytes == found.bytes);
}

/// Pieces of text for the tokenizer: of each document the same share, so that all domains take part.
std::vector<std::string> learning_texts(const BuildOptions& options, const Survey& found) {
  const double share = std::min(1.0, static_cast<double>(options.tokenizer_bytes) / static_cast<double>(found.bytes));
  std::vector<std::string> texts;
  double owed = 0.0;
  Progress progress(options, "taking text for the tokenizer");
  Complaints complaints;
  const auto take = [&](const TextDocument& d) {
    progress.add(d.text.size());
    for (std::size_t i = 0; i < d.text.size();) {
      const std::size_t max_end = std::min(i + line_bytes, d.text.size()), min_end = std::min(i + 200, d.text.size());
      const auto newline = std::find(d.text.begin() + min_end, d.text.begin() + max_end, '\n');
      std::size_t end = newline - d.text.begin() + (newline == d.text.begin() + max_end ? 0 : 1);
      while (end < d.text.size() && (static_cast<unsigned char>(d.text[end]) & 0xC0) == 0x80) ++end;
      owed += share * static_cast<double>(end - i);
      if (owed > 0.0) {
        texts.push_back(d.text.substr(i, end - i));
        owed -= static_cast<double>(end - i);
      }
      i = end;
    }
  };
  again(found, take, complaints);
  return texts;
}

std::string model_of(const BuildOptions& options, const Survey& found) {
  if (options.tokenizer == "bpe") {
    const auto texts = learning_texts(options, found);
    std::size_t next = 0;
    const TextSource source = [&](std::string& text) {
      if (next == texts.size()) return false;
      text = texts[next++];
      return true;
    };
    options.say("training a tokenizer of " + std::to_string(options.vocabulary) + " pieces");
    return train_sentencepiece(source, options.vocabulary);
  }
  check(files::kind_behind(options.tokenizer) == std::filesystem::file_type::regular, Exit::usage,
        "tokenizer '" + options.tokenizer + "' is neither bytes, bpe nor a file");
  return files::read_text(options.tokenizer);
}

std::unique_ptr<Tokenizer> make_tokenizer(const BuildOptions& options, const Survey& found, const std::string& folder,
                                          Manifest& manifest) {
  manifest.tokenizer = options.tokenizer == "bytes" ? "bytes" : "sentencepiece";
  if (options.tokenizer == "bytes") return make_byte_tokenizer();
  manifest.tokenizer_file = "tokenizer.model";
  const std::string model = model_of(options, found);
  auto tokenizer = load_sentencepiece(model, options.tokenizer);
  files::write_text(folder + "/" + manifest.tokenizer_file, model);
  manifest.tokenizer_sha256 = files::sha256_of_text(model);
  return tokenizer;
}

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
                  const Survey& found, Manifest& manifest) {
  const auto validation = held_out(options, found.documents);
  SplitWriter train(Split::train, folder, manifest.token_bits, manifest.of(Split::train));
  SplitWriter held(Split::validation, folder, manifest.token_bits, manifest.of(Split::validation));
  std::int64_t index = 0;
  Progress progress(options, "writing the tokens");
  Complaints complaints;
  const auto write = [&](const TextDocument& d) {
    progress.add(d.text.size());
    auto ids = tokenizer.encode(d.text);
    if (const auto lost = first_lost_byte(tokenizer, ids, d.text); lost >= 0)
      complaints.add(d, "the tokenizer does not give the document back from its byte " + std::to_string(lost) +
                            " on (it changes or lacks characters); take a model trained with byte_fallback, without "
                            "normalization and dummy prefix, as --tokenizer bpe trains");
    ids.push_back(tokenizer.end_token());
    (validation[index++] ? held : train)
        .add(ids, static_cast<std::int64_t>(d.text.size()), found.domain_index.at(d.domain));
  };
  again(found, write, complaints);
  options.say("computing the checksums");
  train.close();
  held.close();
}

}  // namespace

BuildReport build_corpus(const BuildOptions& options) {
  files::NewFolder folder(options.out);
  const Survey found = survey(options);
  Manifest manifest;
  manifest.domains = found.domains;
  const auto tokenizer = make_tokenizer(options, found, folder.aside(), manifest);
  manifest.vocabulary = tokenizer->vocabulary();
  manifest.end_token = tokenizer->end_token();
  manifest.token_bits = manifest.vocabulary <= 65536 ? 16 : 32;
  write_tokens(options, *tokenizer, folder.aside(), found, manifest);
  files::write_text(folder.aside() + "/manifest.json", to_json(manifest));
  folder.finish();
  return {found.documents, found.bytes, manifest.of(Split::train).tokens, manifest.of(Split::validation).tokens,
          manifest.vocabulary};
}

}  // namespace switchyard::data
