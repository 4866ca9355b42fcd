#include "data/json_line.hpp"

#include <nlohmann/json.hpp>
#include <utility>

namespace switchyard::data {
namespace {

/// Keeps the object's own `text` and `domain`; false ends the parser.
class Picker : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonLine found;

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool number_integer(number_integer_t) override { return other(); }
  bool number_unsigned(number_unsigned_t) override { return other(); }
  bool number_float(number_float_t, const string_t&) override { return other(); }
  bool binary(binary_t&) override { return other(); }
  bool string(string_t& value) override {
    if (depth_ == 0) return other();
    if (depth_ == 1 && wanted_) *wanted_ = std::move(value);
    return true;
  }
  bool start_object(std::size_t) override { return (depth_ == 0 || other()) && ++depth_ > 0; }
  bool start_array(std::size_t) override { return other() && ++depth_ > 0; }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    key_ = name;
    wanted_ = name == "text" ? &found.text : name == "domain" ? &found.domain : nullptr;
    return !wanted_ || !wanted_->has_value() || fail("'" + name + "' is given twice");
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    std::string reason = error.what();  // "[json.exception.…] parse error at line 1, column 4: …"
    if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    if (const auto end = reason.find(": "); reason.rfind("parse error at", 0) == 0 && end != std::string::npos)
      reason.erase(0, end + 2);
    if (reason.size() > max_reason) reason.resize(max_reason), reason += " …";
    return fail("broken JSON at column " + std::to_string(position) + " (" + reason + "); mend or remove the line");
  }

 private:
  static constexpr std::size_t max_reason = 200;  // bytes of a reason, which quotes what was read last

  /// A value that is no string: not where one of the two is wanted, nor in place of the object.
  bool other() {
    if (depth_ == 0) return fail("not a JSON object (a .jsonl file holds one object a line)");
    if (depth_ == 1 && wanted_) return fail(key_ == "text" ? "no string 'text'" : "'" + key_ + "' is not a string");
    return true;
  }
  bool fail(const std::string& what) {
    found.error = what;
    return false;
  }

  int depth_ = 0;
  std::string key_;
  std::optional<std::string>* wanted_ = nullptr;
};

}  // namespace

JsonLine read_json_line(const std::string& line) {
  Picker picker;
  nlohmann::json::sax_parse(line, &picker);
  if (picker.found.error.empty() && !picker.found.text) picker.found.error = "no string 'text'";
  return std::move(picker.found);
}

}  // namespace switchyard::data
