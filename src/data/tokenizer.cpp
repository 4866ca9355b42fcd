#include "data/tokenizer.hpp"

#include <algorithm>

namespace switchyard::data {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  int vocabulary() const override { return 257; }
  std::int32_t end_token() const override { return 256; }
  std::vector<std::int32_t> encode(const std::string& text) const override {
    std::vector<std::int32_t> ids;
    ids.reserve(text.size());
    for (const unsigned char c : text) ids.push_back(c);
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string out;
    for (const std::int32_t id : ids) out += text(id);
    return out;
  }
  std::string text(std::int32_t id) const override {
    return id >= 0 && id < 256 ? std::string(1, static_cast<char>(id)) : std::string();
  }
};

}  // namespace

std::int64_t first_lost_byte(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids,
                             const std::string& text) {
  const std::string back = tokenizer.decode(ids);
  if (back == text) return -1;
  return std::mismatch(text.begin(), text.end(), back.begin(), back.end()).first - text.begin();
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace switchyard::data
