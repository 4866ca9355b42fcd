// The documents of folders, .txt and .jsonl files, one after another, checked as UTF-8.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace switchyard::data {

struct TextDocument {
  std::string text;
  std::string domain;
  std::string file;     ///< where it stands, for messages
  std::int64_t offset;  ///< of its first byte there
};

/// Calls `visit` for each document of the inputs, in order. A folder gives each regular file below it (sorted by path;
/// those ending in .jsonl as below), with the name of the first folder below it as domain, or its own; a .jsonl file
/// one document a line (`text`, optional `domain`); any other file is one document. Throws Error{usage} naming every
/// bad place (file and byte offset; at most 20): bad UTF-8, an empty file, broken JSON.
void for_each_document(const std::vector<std::string>& inputs, const std::function<void(const TextDocument&)>& visit);

/// Byte offset of the first byte that is not well-formed UTF-8 (RFC 3629); −1 where all are.
std::int64_t first_bad_utf8(const std::string& text);

}  // namespace switchyard::data
