#include "config/placement_file.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/files.hpp"
#include "config/moe_layers.hpp"
#include "config/values.hpp"

namespace switchyard {
namespace {

constexpr std::size_t max_digits = 9;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// At most 40 bytes of a file's text for a message, what is not printable as '?'.
std::string shown(std::string text) {
  constexpr std::size_t longest = 40;
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

/// The same without an editor's byte order mark, and with comments as spaces, so that places stay.
std::string without_comments(std::string text) {
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  bool comment = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') comment = false;
    comment |= text[i] == '#' && (i == 0 || is_space(text[i - 1]));
    if (comment) text[i] = ' ';
  }
  return text;
}

/// What is thrown for the first thing that is wrong.
struct PlacementFault {
  ConfigError error;
};

/// Goes through the file of a placement entry by entry.
class PlacementReader {
 public:
  PlacementReader(const std::string& text, const Config& config) : text_(without_comments(text)), config_(config) {}
  std::map<int, std::vector<int>> read();

 private:
  [[noreturn]] void refuse(std::size_t at, const std::string& fault) const;
  [[noreturn]] void refuse_line(std::size_t at) const;
  void skip_spaces() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  std::string next_until(const std::string& ends);
  int next_block();
  std::vector<int> next_list(int block);
  int expert_in(std::string word, std::size_t at, int block) const;

  std::string text_;
  const Config& config_;
  std::size_t at_ = 0;
};

void PlacementReader::refuse(std::size_t at, const std::string& fault) const {
  const auto line = static_cast<int>(std::count(text_.begin(), text_.begin() + at, '\n'));
  const auto column = static_cast<int>(line == 0 ? at : at - text_.rfind('\n', at - 1) - 1);
  throw PlacementFault{
      {{Origin::Kind::file, config_.layout.placement, line + 1, column + 1},
       "",
       fault + "; give a file that `yardstick placement` wrote for a model with these blocks and experts"}};
}

void PlacementReader::refuse_line(std::size_t at) const {
  refuse(at, "'" + shown(text_.substr(at, text_.find('\n', at) - at)) + "' is no entry BLOCK: [EXPERT, EXPERT, ...]");
}

/// What comes before the next of these characters.
std::string PlacementReader::next_until(const std::string& ends) {
  const std::size_t begin = at_;
  at_ = std::min(text_.find_first_of(ends, at_), text_.size());
  return text_.substr(begin, at_ - begin);
}

/// "12: [", of which 12.
int PlacementReader::next_block() {
  const std::size_t begin = at_;
  while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  const std::string digits = text_.substr(begin, at_ - begin);
  while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  const bool named = !digits.empty() && digits.size() <= max_digits && (begin == 0 || text_[begin - 1] == '\n') &&
                     at_ < text_.size() && text_[at_] == ':';
  if (!named) refuse_line(begin);
  ++at_;
  skip_spaces();
  if (at_ == text_.size() || text_[at_] != '[') refuse_line(begin);
  ++at_;
  return std::stoi(digits);
}

int PlacementReader::expert_in(std::string word, std::size_t at, int block) const {
  while (!word.empty() && is_space(word.front())) word.erase(0, 1), ++at;
  while (!word.empty() && is_space(word.back())) word.pop_back();
  const std::string where = "block " + std::to_string(block) + ": ";
  if (word.empty() || word.size() > max_digits || !std::all_of(word.begin(), word.end(), is_digit) ||
      (word.size() > 1 && word.front() == '0'))
    refuse(at, where + "'" + shown(word) + "' is no expert");
  const int expert = std::stoi(word), experts = config_.block_experts(block);
  if (expert >= experts)
    refuse(at, where + "lists expert " + word + ", but the block has experts 0 to " + std::to_string(experts - 1));
  return expert;
}

/// The list of a block, which must have each of its experts once.
std::vector<int> PlacementReader::next_list(int block) {
  const std::size_t begin = at_;
  std::vector<int> order;
  std::vector<bool> seen(static_cast<std::size_t>(config_.block_experts(block)), false);
  const std::string where = "block " + std::to_string(block) + ": ";
  for (bool ended = false; !ended; ++at_) {
    skip_spaces();
    const std::size_t word_at = at_;
    const std::string word = next_until(",[]:{}");
    if (at_ == text_.size() || (text_[at_] != ',' && text_[at_] != ']'))
      refuse(at_, where + "its list does not end with ]");
    ended = text_[at_] == ']';
    if (ended && order.empty() && std::all_of(word.begin(), word.end(), is_space)) continue;
    order.push_back(expert_in(word, word_at, block));
    if (seen[static_cast<std::size_t>(order.back())])
      refuse(word_at, where + "lists expert " + std::to_string(order.back()) + " twice; each stands once");
    seen[static_cast<std::size_t>(order.back())] = true;
  }
  if (order.size() != seen.size())
    refuse(begin, where + "lists " + std::to_string(order.size()) + " experts, but the block has " +
                      std::to_string(seen.size()));
  return order;
}

std::map<int, std::vector<int>> PlacementReader::read() {
  std::vector<int> mixtures, missing;
  for (const MoeLayer& layer : moe_layers(config_)) mixtures.push_back(layer.block);
  std::map<int, std::vector<int>> orders;
  for (skip_spaces(); at_ < text_.size(); skip_spaces()) {
    const std::size_t begin = at_;
    const int block = next_block();
    if (orders.contains(block)) refuse(begin, "lists block " + std::to_string(block) + " twice");
    if (std::find(mixtures.begin(), mixtures.end(), block) == mixtures.end())
      refuse(begin, "lists block " + std::to_string(block) + ", which is no mixture of experts (those are " +
                        format_value(mixtures) + ")");
    orders[block] = next_list(block);
  }
  for (const int block : mixtures)
    if (!orders.contains(block)) missing.push_back(block);
  if (!missing.empty())
    refuse(text_.size(),
           "ends without an entry for blocks " + format_value(missing) + "; every mixture of experts has one");
  return orders;
}

/// Of the option: a file that is not there, perhaps a word that is none.
ConfigError unreadable(const LoadResult& loaded, const Error& why) {
  const auto origin = loaded.origins.find("layout.placement");
  return {origin == loaded.origins.end() ? Origin{} : origin->second, "layout.placement",
          std::string(why.what()) + ", or " + contiguous_placement};
}

}  // namespace

std::string placement_text(const LoadResult& loaded) {
  try {
    return read_text(loaded.config.layout.placement);
  } catch (const Error& e) {
    throw Error(e.code(), unreadable(loaded, e).text());
  }
}

void take_placement(LoadResult& loaded, const std::string& text) {
  try {
    loaded.config.layout.seat_orders = std::make_shared<const SeatOrders>(
        SeatOrders{PlacementReader(text, loaded.config).read(), files::sha256_of_text(text)});
  } catch (const PlacementFault& fault) {
    loaded.errors.push_back(fault.error);
  }
}

void add_placement(LoadResult& loaded) {
  if (!loaded.errors.empty() || !names_placement(loaded.config)) return;
  try {
    take_placement(loaded, read_text(loaded.config.layout.placement));
  } catch (const Error& e) {
    loaded.errors.push_back(unreadable(loaded, e));
  }
}

}  // namespace switchyard
