// The run that a run has started from: RUN/parent.json, which stands before the run's config.yaml does.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/yaml.hpp"

namespace switchyard::record {

/// A checkpoint of another run, and what became of its configuration.
struct Parent {
  /// branch: goes on with its steps, moments and biases; upcycled: begins at step 0 with what is in its weights.
  enum class Kind { branch, upcycled };
  Kind kind = Kind::branch;
  std::string run;                    ///< its folder, absolute
  std::int64_t step = 0;              ///< of the checkpoint
  std::string sha256;                 ///< of the checkpoint's manifest.json, which has those of all its files
  std::vector<OptionChange> changes;  ///< options that decide results, and train.steps

  /// Steps that count as done when the run begins.
  std::int64_t begins_after() const { return kind == Kind::branch ? step : 0; }
  std::string checkpoint() const;  ///< folder of the checkpoint
  bool operator==(const Parent&) const = default;
};

/// "branch" or "upcycled".
const char* kind_name(Parent::Kind kind);

/// JSON: the text of parent.json, the member `parent` of the provenance and of a checkpoint's state.json.
std::string parent_text(const Parent& parent);
/// Reads it back; `path` for messages. Throws Error{corrupt}.
Parent parse_parent(const std::string& text, const std::string& path);

constexpr const char* parent_file = "parent.json";
/// What RUN/parent.json says; nothing where a run has started from nothing. Throws Error{corrupt} where it is damaged,
/// or where it is not what the provenance of a segment names, or the one is there without the other.
std::optional<Parent> read_parent(const std::string& run);

/// For the log: where a run begins, and which options differ.
std::vector<std::string> parent_lines(const Parent& parent);

/// In a sentence that the parent's checkpoint is gone, or another one stands in its place, so that the run can no
/// longer be made again from it; "" where it stands.
std::string parent_note(const std::string& run, const Parent& parent);

}  // namespace switchyard::record
