#include "data/split_writer.hpp"

#include <cerrno>
#include <cstdio>

#include "base/files.hpp"

namespace switchyard::data {
namespace {

constexpr std::int64_t shard_tokens = std::int64_t{1} << 27;

}  // namespace

SplitWriter::SplitWriter(Split split, const std::string& folder, int token_bits, SplitEntry& entry)
    : name_(split_name(split)), folder_(folder), bytes_(token_bits / 8), entry_(entry) {
  entry_.document_file = name_ + ".documents.bin";
}

void SplitWriter::add(const std::vector<std::int32_t>& ids, std::int64_t text_bytes, int domain) {
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

void SplitWriter::close() {
  close_shard();
  out_.open(folder_ + "/" + entry_.document_file, std::ios::binary);
  out_.write(reinterpret_cast<const char*>(table_.data()), static_cast<std::streamsize>(table_.size() * 8));
  out_.close();
  check_written(entry_.document_file);
  entry_.document_sha256 = files::sha256_of_file(folder_ + "/" + entry_.document_file);
}

void SplitWriter::next_shard() {
  close_shard();
  char number[16];
  std::snprintf(number, sizeof number, "-%05zu.bin", entry_.shards.size());
  entry_.shards.push_back({name_ + number, 0, ""});
  out_.open(folder_ + "/" + entry_.shards.back().file, std::ios::binary);
  check_written(entry_.shards.back().file);
}

void SplitWriter::close_shard() {
  if (!out_.is_open()) return;
  out_.close();
  check_written(entry_.shards.back().file);
  entry_.shards.back().sha256 = files::sha256_of_file(folder_ + "/" + entry_.shards.back().file);
}

void SplitWriter::check_written(const std::string& file) {
  if (!out_) files::throw_system_error(errno, "write", folder_ + "/" + file);
}

}  // namespace switchyard::data
