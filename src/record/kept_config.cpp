#include "record/kept_config.hpp"

#include <cerrno>
#include <filesystem>
#include <map>
#include <vector>

#include "base/check.hpp"
#include "base/files.hpp"
#include "checkpoint/checkpoint.hpp"
#include "config/options.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"
#include "hdf5/hdf5.hpp"
#include "record/run_folder.hpp"

namespace switchyard::record {
namespace {

/// Whether the last line that is not empty is config_end; editors may leave the line's end out, or write another.
bool has_end(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  const std::string line(config_end, std::string(config_end).size() - 1);
  return text.ends_with(line) && (text.size() == line.size() || text[text.size() - line.size() - 1] == '\n');
}

/// The text of the newest run.h5 that can be read, and where it is; both empty where there is none.
struct Kept {
  std::string text, file;
};

Kept newest_kept(const std::string& run) {
  const auto numbers = RunFolder::segments(run);
  for (std::size_t i = numbers.size(); i-- > 0;) try {
      const std::string path = RunFolder::segment_path(run, numbers[i]) + "/run.h5";
      if (files::kind_behind(path) == std::filesystem::file_type::not_found) continue;
      const hdf5::File file = hdf5::File::open(path);
      return {hdf5::text_attribute(file.id(), "config", path), path};
    } catch (const Error& e) {
      if (e.code() != Exit::corrupt) throw;
    }
  return {};
}

std::string advice_of(const Kept& kept) {
  return kept.file.empty() ? "no segment keeps a copy of it: start a new run"
                           : "put back its text, of which the attribute config of " + kept.file + " is a whole copy";
}

/// "key: value" of each option.
std::map<std::string, std::string> values_of(const Config& config) {
  std::map<std::string, std::string> values;
  visit_values(config, [&](const std::string& key, const auto& value) { values[key] = format_value(value); });
  return values;
}

/// Throws Error{corrupt} where `text` does not end with config_end, or lacks an option that the newest segment was
/// started with; not where the records are of an earlier program, which wrote no end.
void require_whole(const Kept& kept, const std::string& run, const std::string& text) {
  if (!kept.file.empty() && !has_end(kept.text)) return;  // of an earlier program
  const std::string file = run + "/config.yaml", advice = advice_of(kept);
  const std::string end(config_end, std::string(config_end).size() - 1);
  check(has_end(text), Exit::corrupt, file + " has lost its end (its last line is not \"" + end + "\"); " + advice);
  std::vector<std::string> lost;
  const Origins now = load_text(file, text).origins;
  for (const auto& [key, origin] : load_text(kept.file, kept.text).origins)
    if (!now.contains(key)) lost.push_back(key);
  check(lost.empty(), Exit::corrupt,
        file + " has lost " + join(lost) + " (a default would take the place of what the run was started with); " +
            advice);
}

/// The text of RUN/config.yaml beside what `kept` keeps.
std::string read_whole(const Kept& kept, const std::string& run) {
  using enum std::filesystem::file_type;
  const std::string file = run + "/config.yaml";
  const bool stands = files::kind_at(file) != not_found;
  check(stands || !RunFolder::segments(run).empty() || !checkpoint::list_checkpoints(run).empty(), Exit::usage,
        run + ": no run there (" + (files::kind_behind(run) == not_found ? "no such folder" : "it has no config.yaml") +
            "); give the folder of a run that switchyard train has started");
  check(files::kind_behind(file) == regular, Exit::corrupt,
        file + (stands ? " is no regular file; " : " is missing; ") + advice_of(kept));
  const std::string text = files::read_text(file);
  require_whole(kept, run, text);
  return text;
}

/// What of the configuration `now` differs from the kept one, in a sentence; "" where nothing does.
std::string note_of(const Kept& kept, const std::string& run, const Config& now) {
  const auto before = values_of(load_text(kept.file, kept.text).config);
  std::vector<std::string> changes;
  for (const auto& [key, value] : values_of(now))
    if (before.at(key) != value && !(key == "layout.lanes" && value == "0"))  // measured at each start
      changes.push_back(key + " is " + value + ", was " + before.at(key));
  return changes.empty() ? ""
                         : run + "/config.yaml is not the text that " + kept.file + " keeps (" + join(changes) +
                               "); a resume takes what it says";
}

}  // namespace

std::string read_config(const std::string& run) { return read_whole(newest_kept(run), run); }

std::string check_config(const std::string& run) {
  const std::string file = run + "/config.yaml";
  const Kept kept = newest_kept(run);
  const LoadResult now = load_text(file, read_whole(kept, run));
  check(now.errors.empty(), Exit::corrupt,
        now.errors.empty() ? "" : now.errors.front().text() + " (config.yaml of a run is written by the program)");
  if (kept.file.empty()) return "";
  const auto changes = resume_changes(invariant_options(load_text(kept.file, kept.text).config), now.config);
  check(changes.empty(), Exit::corrupt,
        changes.empty() ? "" : file + ": " + changes.front().key + ": " + changes.front().message);
  return note_of(kept, run, now.config);
}

}  // namespace switchyard::record
