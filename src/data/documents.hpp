// The documents of text files and .jsonl files, one after another, checked as UTF-8.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace switchyard::data {

struct TextDocument {
  std::string text;
  std::string domain;
  std::string file;       ///< where it stands, for messages
  std::int64_t offset;    ///< of its first byte there
  std::int64_t line = 0;  ///< from 1 in a file of lines, else 0
};

/// A file to read: one document a line (JSON with `text` and perhaps `domain`), or one document.
struct Source {
  std::string file;
  std::string domain;  ///< of documents that name none
  bool lines = false;
};

/// Collects complaints about inputs and throws them together.
class Complaints {
 public:
  void add(const std::string& file, std::int64_t offset, const std::string& what);
  void add(const TextDocument& document, const std::string& what);
  /// Throws Error{usage} naming file and byte offset of the first 20, and how many more there are.
  void raise() const;

 private:
  int count_ = 0, shown_ = 0;
  std::string text_;
};

/// Calls `visit` for each document, in order, and returns the number of byte-order marks, which are part of no
/// document: one at the start of a file or line is left out. Keeps one document in memory at a time. Every bad place is
/// added to `complaints`: bad UTF-8, a file or document without text, broken JSON with the parser's reason and column.
/// Throws Error{usage} for what is no regular file or is gone, and Error for what cannot be read.
std::int64_t for_each_document(const std::vector<Source>& sources,
                               const std::function<void(const TextDocument&)>& visit, Complaints& complaints);

}  // namespace switchyard::data
