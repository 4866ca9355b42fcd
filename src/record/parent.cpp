#include "record/parent.hpp"

#include <filesystem>
#include <limits>

#include "base/files.hpp"
#include "base/json.hpp"
#include "checkpoint/checkpoint.hpp"
#include "config/values.hpp"
#include "hdf5/hdf5.hpp"
#include "record/run_folder.hpp"

namespace switchyard::record {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* schema = "switchyard-parent";
constexpr const char* kinds[] = {"branch", "upcycled"};

Parent::Kind kind_of(const Json& json) {
  for (const Parent::Kind kind : {Parent::Kind::branch, Parent::Kind::upcycled})
    if (json.at("kind") == kind_name(kind)) return kind;
  throw BadMember("kind is " + shown(json.at("kind")) + ", not branch or upcycled");
}

/// The member `parent` of the provenance in a segment's run.h5, as text, "" where it has none; nothing where there is
/// no such file, or it cannot be read.
std::optional<std::string> named_in(const std::string& segment) try {
  const std::string path = segment + "/run.h5";
  if (files::kind_behind(path) == std::filesystem::file_type::not_found) return std::nullopt;
  const hdf5::File file = hdf5::File::open(path);
  return parse_json<Json>(hdf5::text_attribute(file.id(), "provenance", path), path, "", [](const Json& json) {
    return json.contains("parent") ? json.at("parent").dump() : std::string();
  });
} catch (const Error& e) {
  if (e.code() != Exit::corrupt) throw;
  return std::nullopt;  // which `verify` tells elsewhere
}

/// What a segment says of the parent must be what the run's folder says. Throws Error{corrupt}.
void require_same(const std::optional<Parent>& parent, const std::string& path, const std::string& segment) {
  const std::optional<std::string> named = named_in(segment);
  if (!named) return;
  const std::string file = segment + "/run.h5",
                    advice = "; put back its text, which is the member parent of the attribute provenance of " + file;
  check(parent || named->empty(), Exit::corrupt,
        path + " is missing (the run has started from a checkpoint of another)" + advice);
  check(!parent || !named->empty(), Exit::corrupt,
        path + " names a parent, but the provenance in " + file + " names none; remove it, no run wrote it");
  check(!parent || parse_parent(*named, file) == *parent, Exit::corrupt,
        path + " is damaged (it names another parent than the provenance in " + file + ")" + advice);
}

}  // namespace

const char* kind_name(Parent::Kind kind) { return kinds[static_cast<int>(kind)]; }

std::string Parent::checkpoint() const { return checkpoint::folder_of(run, step); }

std::string parent_text(const Parent& parent) {
  Json json{{"schema", schema},         {"schema_version", 1}, {"kind", kind_name(parent.kind)},
            {"run", parent.run},        {"step", parent.step}, {"manifest_sha256", parent.sha256},
            {"changes", Json::object()}};
  for (const OptionChange& change : parent.changes) json["changes"][change.key] = {change.was, change.now};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Parent parse_parent(const std::string& text, const std::string& path) {
  return parse_json<Json>(text, path, "; put back what the run was started with", [&](const Json& json) {
    if (json.at("schema") != schema || json.at("schema_version") != 1)
      throw BadMember("it is of another kind or version than " + std::string(schema) + " 1");
    Parent parent{kind_of(json),
                  json.at("run"),
                  whole(json, "step", 0, std::numeric_limits<std::int64_t>::max()),
                  json.at("manifest_sha256"),
                  {}};
    for (const auto& [key, values] : json.at("changes").items())
      parent.changes.push_back({key, values.at(0), values.at(1)});
    return parent;
  });
}

std::optional<Parent> read_parent(const std::string& run) {
  const std::string path = run + "/" + parent_file;
  std::optional<Parent> parent;
  if (files::kind_at(path) != std::filesystem::file_type::not_found)
    parent = parse_parent(files::read_text(path), path);
  for (const int number : RunFolder::segments(run)) require_same(parent, path, RunFolder::segment_path(run, number));
  return parent;
}

std::vector<std::string> parent_lines(const Parent& parent) {
  std::vector<std::string> lines{std::string(kind_name(parent.kind)) + " of " + parent.checkpoint() +
                                 " (sha256 of its manifest " + parent.sha256 + ")"};
  std::vector<std::string> changes;
  for (const OptionChange& c : parent.changes) changes.push_back(c.key + " is " + c.now + ", was " + c.was);
  if (!changes.empty()) lines.push_back("unlike its parent: " + join(changes, "; "));
  return lines;
}

std::string parent_note(const std::string& run, const Parent& parent) {
  const std::string folder = parent.checkpoint(), manifest = folder + "/manifest.json",
                    again = "; the run cannot be made again from it";
  if (files::kind_behind(manifest) == std::filesystem::file_type::not_found)
    return run + ": " + folder + ", from which it has started, is gone" + again;
  if (files::sha256_of_file(manifest) == parent.sha256) return "";
  return run + ": " + folder + " is not what it has started from (its manifest has another sha256)" + again;
}

}  // namespace switchyard::record
