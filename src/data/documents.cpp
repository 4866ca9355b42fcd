#include "data/documents.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/check.hpp"

namespace switchyard::data {
namespace {

namespace fs = std::filesystem;
using Visit = std::function<void(const TextDocument&)>;

/// Collects complaints and throws them together.
class Complaints {
 public:
  void add(const std::string& file, std::int64_t offset, const std::string& what) {
    if (++count_ <= most) text_ += (count_ > 1 ? "\n" : "") + file + ": byte " + std::to_string(offset) + ": " + what;
  }
  void raise() const {
    if (count_ == 0) return;
    const std::string more = count_ > most ? "\nand " + std::to_string(count_ - most) + " more" : "";
    throw Error(Exit::usage, text_ + more);
  }

 private:
  static constexpr int most = 20;
  int count_ = 0;
  std::string text_;
};

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(in.good(), Exit::usage, path.string() + ": cannot be read; check its name and rights");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void visit_text(const TextDocument& document, const Visit& visit, Complaints& complaints) {
  if (document.text.empty()) return complaints.add(document.file, document.offset, "an empty document");
  if (const auto bad = first_bad_utf8(document.text); bad >= 0)
    return complaints.add(document.file, document.offset + bad, "not UTF-8; convert the file or leave it out");
  visit(document);
}

void visit_line(const std::string& line, TextDocument document, const Visit& visit, Complaints& complaints) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return complaints.add(document.file, document.offset, "not a JSON object (a .jsonl file holds one object a line)");
  if (!json.contains("text") || !json["text"].is_string())
    return complaints.add(document.file, document.offset, "no string 'text'");
  document.text = json["text"].get<std::string>();
  if (json.contains("domain")) {
    if (!json["domain"].is_string()) return complaints.add(document.file, document.offset, "'domain' is not a string");
    document.domain = json["domain"].get<std::string>();
  }
  visit_text(document, visit, complaints);
}

void visit_jsonl(const fs::path& path, const std::string& domain, const Visit& visit, Complaints& complaints) {
  std::ifstream in(path, std::ios::binary);
  check(in.good(), Exit::usage, path.string() + ": cannot be read; check its name and rights");
  std::int64_t offset = 0;
  bool any = false;
  for (std::string line; std::getline(in, line); offset += static_cast<std::int64_t>(line.size()) + 1) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    any = true;
    if (const auto bad = first_bad_utf8(line); bad >= 0)
      complaints.add(path.string(), offset + bad, "not UTF-8");
    else
      visit_line(line, {"", domain, path.string(), offset}, visit, complaints);
  }
  if (!any) complaints.add(path.string(), 0, "an empty file");
}

void visit_file(const fs::path& path, const std::string& domain, const Visit& visit, Complaints& complaints) {
  if (path.extension() == ".jsonl") return visit_jsonl(path, domain, visit, complaints);
  visit_text({read_file(path), domain, path.string(), 0}, visit, complaints);
}

void visit_folder(const fs::path& folder, const Visit& visit, Complaints& complaints) {
  const fs::path whole = fs::absolute(folder).lexically_normal();
  const std::string name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) complaints.add(folder.string(), 0, "an empty folder");
  for (const fs::path& file : files) {
    const fs::path below = file.lexically_relative(folder);
    const bool nested = std::distance(below.begin(), below.end()) > 1;
    visit_file(file, nested ? below.begin()->string() : name, visit, complaints);
  }
}

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

void for_each_document(const std::vector<std::string>& inputs, const Visit& visit) {
  Complaints complaints;
  for (const std::string& input : inputs) {
    const fs::path path(input);
    if (!fs::exists(path))
      complaints.add(input, 0, "no such file or folder");
    else if (fs::is_directory(path))
      visit_folder(path, visit, complaints);
    else
      visit_file(path, path.stem().string(), visit, complaints);
  }
  complaints.raise();
}

}  // namespace switchyard::data
