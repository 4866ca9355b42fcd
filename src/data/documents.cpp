#include "data/documents.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "base/check.hpp"
#include "base/files.hpp"
#include "data/json_line.hpp"

namespace switchyard::data {
namespace {

using Visit = std::function<void(const TextDocument&)>;

/// Takes a byte-order mark off the front of `text`; whether there was one.
bool drop_mark(std::string& text) {
  if (text.rfind("\xef\xbb\xbf", 0) != 0) return false;
  text.erase(0, 3);
  return true;
}

/// One pass over the sources.
class Reader {
 public:
  Reader(const Visit& visit, Complaints& complaints) : visit_(visit), complaints_(complaints) {}

  void read(const Source& source) {
    if (source.lines) return read_lines(source);
    TextDocument document{files::read_text(source.file), source.domain, source.file, 0};
    if (take_mark(document.text)) document.offset = 3;
    give(document);
  }
  std::int64_t marks() const { return marks_; }

 private:
  bool take_mark(std::string& text) {
    const bool dropped = drop_mark(text);
    marks_ += dropped;
    return dropped;
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
    if (!any) complaints_.add(source.file, 0, "an empty file");
  }
  void read_line(std::string& line, TextDocument document) {
    if (take_mark(line)) document.offset += 3;
    if (const auto bad = first_bad_utf8(line); bad >= 0)
      return complaints_.add(document.file, document.offset + bad, "not UTF-8");
    JsonLine json = read_json_line(line);
    if (!json.error.empty()) return complaints_.add(document, json.error);
    document.text = std::move(*json.text);
    if (json.domain) document.domain = std::move(*json.domain);
    give(document);
  }
  void give(const TextDocument& document) {
    if (document.text.empty()) return complaints_.add(document, "an empty document");
    if (const auto bad = first_bad_utf8(document.text); bad >= 0)
      return complaints_.add(document.file, document.offset + bad, "not UTF-8; convert the file or leave it out");
    visit_(document);
  }

  const Visit& visit_;
  Complaints& complaints_;
  std::int64_t marks_ = 0;
};

/// Length of the well-formed sequence at text[i], 0 where there is none: RFC 3629, table of section 4.
std::size_t utf8_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  const auto tail = [&](std::size_t k) { return byte(k) >= 0x80 && byte(k) <= 0xBF; };
  const unsigned lead = byte(i), second = byte(i + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(i + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool good = (lead != 0xE0 || second >= 0xA0) && (lead != 0xED || second <= 0x9F);
    return good && tail(i + 1) && tail(i + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool good = (lead != 0xF0 || second >= 0x90) && (lead != 0xF4 || second <= 0x8F);
    return good && tail(i + 1) && tail(i + 2) && tail(i + 3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::int64_t first_bad_utf8(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    if (length == 0) return static_cast<std::int64_t>(i);
    i += length;
  }
  return -1;
}

void Complaints::add(const std::string& file, std::int64_t offset, const std::string& what) {
  constexpr int most = 20;
  if (++count_ <= most) text_ += (count_ > 1 ? "\n" : "") + file + ": byte " + std::to_string(offset) + ": " + what;
  shown_ = std::min(count_, most);
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
