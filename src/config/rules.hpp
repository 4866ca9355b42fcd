// Collects broken rules; private to the validation files.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/values.hpp"

namespace switchyard {

class Rules {
 public:
  explicit Rules(std::vector<Violation>& found) : found_(found) {}

  /// Message form: "<what is wrong> (<why it is wrong>); <what to do>".
  void require(bool holds, const std::string& key, const std::string& message) {
    if (!holds) found_.push_back({key, message});
  }
  /// value >= min; returns whether it holds, so that rules that divide by it can be left out.
  template <class T>
  bool at_least(const std::string& key, T value, T min) {
    require(value >= min, key, "is " + format_value(value) + "; must be at least " + format_value(min));
    return value >= min;
  }
  /// low <= value <= high; returns whether it holds. The upper ends keep the arithmetic of estimates within 64 bits and
  /// the time of an answer short.
  bool within(const std::string& key, int value, int low, int high) {
    require(value <= high, key, "is " + format_value(value) + "; must be at most " + format_value(high));
    return at_least(key, value, low) && value <= high;
  }
  bool above_zero(const std::string& key, double value) {
    require(value > 0.0, key, "is " + format_value(value) + "; must be above 0");
    return value > 0.0;
  }

 private:
  std::vector<Violation>& found_;
};

/// Rules about moe.* and their relations to the rest.
void validate_moe(const Config& config, Rules& rules);
/// Rules between the options of the attention.
void validate_attention(const Config& config, Rules& rules);
/// Rules of train.frozen; the rest of the configuration is good.
void validate_frozen(const Config& config, Rules& rules);
/// Rules of layout.waves.
void validate_waves(const Config& config, Rules& rules);
/// What architecture() lists and the trainer cannot build yet, by its name.
void validate_trained(const Config& config, Rules& rules);

}  // namespace switchyard
