#include "data/documents.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/utf8.hpp"
#include "data/json_line.hpp"

namespace switchyard::data {
namespace {

using Visit = std::function<void(const TextDocument&)>;

constexpr const char* no_text = "holds no text; leave it out";

/// One pass over the sources.
class Reader {
 public:
  Reader(const Visit& visit, Complaints& complaints) : visit_(visit), complaints_(complaints) {}

  void read(const Source& source) {
    // It was there when the inputs were found: bad input, not damage of a corpus. Lines would wait for a pipe's writer.
    check(files::kind_behind(source.file) == std::filesystem::file_type::regular, Exit::usage,
          "cannot open " + source.file + " (no regular file is there any more); build again when nothing writes to it");
    if (source.lines) return read_lines(source);
    TextDocument document{files::read_text(source.file), source.domain, source.file, 0};
    if (is_utf8(document.text, document)) give(document);
  }
  std::int64_t marks() const { return marks_; }

 private:
  /// Whether the bytes that were read at `place` are text; a byte-order mark is taken off their front.
  bool is_utf8(std::string& bytes, TextDocument& place) {
    if (bytes.starts_with("\xef\xbb\xbf")) bytes.erase(0, 3), place.offset += 3, ++marks_;
    const std::int64_t bad = first_bad_utf8(bytes);
    if (bad < 0) return true;
    place.offset += bad;
    complaints_.add(place, "not UTF-8; convert it or leave it out");
    return false;
  }
  void read_lines(const Source& source) {
    std::ifstream in(source.file, std::ios::binary);
    if (!in) files::throw_system_error(errno, "open", source.file);
    bool any = false;
    TextDocument place{"", source.domain, source.file, 0};
    for (std::string line; std::getline(in, line);) {
      const auto bytes = static_cast<std::int64_t>(line.size());
      ++place.line;
      if (line.find_first_not_of(" \t\r") != std::string::npos) any = true, read_line(line, place);
      place.offset += bytes + 1;
    }
    if (in.bad()) files::throw_system_error(errno, "read", source.file);
    if (!any) complaints_.add(source.file, 0, no_text);
  }
  void read_line(std::string& line, TextDocument document) {
    if (!is_utf8(line, document)) return;
    JsonLine json = read_json_line(line);
    if (!json.error.empty()) return complaints_.add(document, json.error);
    document.text = std::move(*json.text);
    if (json.domain) document.domain = std::move(*json.domain);
    give(document);
  }
  void give(const TextDocument& document) {
    if (document.text.empty()) return complaints_.add(document, no_text);
    visit_(document);
  }

  const Visit& visit_;
  Complaints& complaints_;
  std::int64_t marks_ = 0;
};

}  // namespace

void Complaints::add(const std::string& file, std::int64_t offset, const std::string& what) {
  constexpr int max_shown = 20;
  if (++count_ <= max_shown)
    text_ += (count_ > 1 ? "\n" : "") + file + ": byte " + std::to_string(offset) + ": " + what;
  shown_ = std::min(count_, max_shown);
}

void Complaints::add(const TextDocument& d, const std::string& what) {
  add(d.file, d.offset, (d.line > 0 ? "line " + std::to_string(d.line) + ": " : "") + what);
}

void Complaints::raise() const {
  if (count_ == 0) return;
  throw Error(Exit::usage, text_ + (count_ > shown_ ? "\nand " + std::to_string(count_ - shown_) + " more" : ""));
}

std::int64_t for_each_document(const std::vector<Source>& sources, const Visit& visit, Complaints& complaints) {
  Reader reader(visit, complaints);
  for (const Source& source : sources) reader.read(source);
  return reader.marks();
}

}  // namespace switchyard::data
