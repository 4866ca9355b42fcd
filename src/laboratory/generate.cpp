#include "laboratory/generate.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>
#include <sstream>

#include "base/check.hpp"
#include "base/every.hpp"
#include "base/files.hpp"
#include "base/json.hpp"
#include "base/new_folder.hpp"
#include "data/shard.hpp"

namespace switchyard::laboratory {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void check_option(bool holds, const std::string& why) { check(holds, Exit::usage, why); }

void check_vocabulary(const std::string& of, std::int64_t tokens, const std::string& remedy) {
  check_option(tokens <= 50256,
               of + " make " + std::to_string(tokens) + " tokens; a shard holds 50256: lower " + remedy);
}

bool valid_tasks(int tasks) { return tasks >= 2 && tasks <= 4096 && std::has_single_bit(static_cast<unsigned>(tasks)); }

void validate(const GenerateOptions& o) {
  check_option(o.values >= 2, "--values must be at least 2");
  if (o.shape == "facts") {
    check_option(o.facts >= 1, "--facts must be at least 1");
    return check_vocabulary("facts and answers", std::int64_t{o.facts} + o.values, "--facts or --values");
  }
  check_option(valid_tasks(o.tasks),
               "--tasks is " + std::to_string(o.tasks) + "; must be a power of two from 2 to 4096");
  check_option(o.keys >= 1, "--keys must be at least 1");
  constexpr std::int64_t max_keys = 1 << 20;
  check_option(std::int64_t{o.tasks} * o.keys <= max_keys,
               "--tasks * --keys is " + std::to_string(std::int64_t{o.tasks} * o.keys) + "; must be at most " +
                   std::to_string(max_keys) + ": every task has a table of its keys");
  constexpr std::int64_t max_samples = std::numeric_limits<std::int32_t>::max() / 3;
  check_option(o.samples >= 1 && o.samples <= max_samples,
               "--samples is " + std::to_string(o.samples) + "; must be from 1 to " + std::to_string(max_samples) +
                   ": the head of a shard counts its tokens, three a sample, in an int32");
  const int depth = std::countr_zero(static_cast<unsigned>(o.tasks));
  const TreeTasks t = make_tasks(o.shape, depth, 1, 1, o.seed);  // refuses a shape that is not known
  check_vocabulary("tasks, keys and answers", std::int64_t{o.tasks} + o.keys + std::int64_t{t.answers()} * o.values,
                   "--values");
}

/// Says how far the work is, every few seconds.
class Progress {
 public:
  explicit Progress(const GenerateOptions& o) : say_(o.say) {}
  template <class Text>
  void at(const Text& text) {
    if (seconds_.due()) say_(text());
  }

 private:
  const std::function<void(const std::string&)>& say_;
  Every seconds_{std::chrono::seconds(5)};
};

/// Samples [first, first + count) in the llm.c format; tokens_of(i) gives those of sample i.
template <class TokensOf>
void write_shard(const std::string& path, std::int64_t first, std::int64_t count, const TokensOf& tokens_of,
                 Progress& progress) {
  std::ofstream file(path, std::ios::binary);
  std::array<std::int32_t, data::llmc_header_words> header{};
  header[0] = data::llmc_magic, header[1] = data::llmc_version;
  header[2] = static_cast<std::int32_t>(count * static_cast<std::int64_t>(tokens_of(first).size()));
  file.write(reinterpret_cast<const char*>(header.data()), sizeof header);
  for (std::int64_t i = first; i < first + count; ++i) {
    if (i % 4096 == 0)
      progress.at([&] { return "writing sample " + std::to_string(i - first) + " of " + std::to_string(count); });
    for (const int token : tokens_of(i)) {
      const auto word = static_cast<std::uint16_t>(token);
      file.write(reinterpret_cast<const char*>(&word), sizeof word);
    }
  }
  file.close();
  if (!file) files::throw_system_error(errno, "write", path);
}

std::string ideal_table(const TreeTasks& t, Progress& progress) {
  constexpr int draws = 32;
  std::ostringstream out;
  out << "experts,floor,ideal,hash,hash_mean,hash_sd,even,balanced\n" << std::setprecision(10);
  const int max_experts = (t.shape == "zipf" ? 16 : 4) * t.tasks();  // the tax of hard balance ends late
  for (int e = 1; e <= max_experts; e *= 2) {
    double own = 0.0, sum = 0.0, squares = 0.0;
    for (int i = 0; i < draws; ++i) {
      progress.at([&] {
        return "computing the exact losses of " + std::to_string(e) + " experts, draw " + std::to_string(i + 1) +
               " of " + std::to_string(draws);
      });
      const double loss = assignment_loss(t, hash_assignment(t, e, t.seed + static_cast<std::uint64_t>(i)));
      if (i == 0) own = loss;
      sum += loss, squares += loss * loss;
    }
    const double mean = sum / draws;
    out << e << ',' << floor_loss(t) << ',' << assignment_loss(t, ideal_assignment(t, e)) << ',' << own << ',' << mean
        << ',' << std::sqrt(std::max(0.0, (squares - draws * mean * mean) / (draws - 1))) << ','
        << assignment_loss(t, even_assignment(t, e)) << ',';
    if (t.level_share.back() == 1.0) out << balanced_loss(t, e);
    out << '\n';
  }
  return out.str();
}

void write_text(const std::string& folder, const std::string& name, const std::string& text) {
  files::write_text(folder + "/" + name, text);
}

Json description(const GenerateOptions& o, const char* generator) {
  return {{"schema", "switchyard-generator"}, {"schema_version", 1}, {"generator", generator}, {"shape", o.shape}};
}

TreeTasks tasks_of(const GenerateOptions& o) {
  return make_tasks(o.shape, std::countr_zero(static_cast<unsigned>(o.tasks)), o.keys, o.values, o.seed);
}

void write_tree(const GenerateOptions& o, const std::string& folder) {
  const TreeTasks t = tasks_of(o);
  const auto tokens = [&t](std::int64_t i) {
    const Sample s = draw(t, i);
    return std::array{s.task, t.tasks() + s.key, t.tasks() + t.keys + s.answer};
  };
  Progress progress(o);
  write_shard(folder + "/t1_train_000000.bin", 0, o.samples, tokens, progress);
  write_shard(folder + "/t1_val_000000.bin", o.samples, std::max<std::int64_t>(1, o.samples / 100), tokens, progress);
  write_text(folder, "ideal.csv", o.made_by + ideal_table(t, progress));
  Json json = description(o, "t1");
  json.update({{"tasks", o.tasks}, {"keys", o.keys}, {"values", o.values}, {"samples", o.samples}, {"seed", o.seed}});
  write_text(folder, "generator.json", json.dump(1) + "\n");
}

void write_facts(const GenerateOptions& o, const std::string& folder) {
  const Facts facts{o.facts, o.values, o.seed};
  const auto tokens = [&facts](std::int64_t i) {
    return std::array{static_cast<int>(i), facts.facts + facts.answer(static_cast<int>(i))};
  };
  Progress progress(o);
  write_shard(folder + "/t2_train_000000.bin", 0, o.facts, tokens, progress);
  write_shard(folder + "/t2_val_000000.bin", 0, std::max(1, o.facts / 100), tokens, progress);
  Json json = description(o, "t2");
  json.update({{"facts", o.facts}, {"values", o.values}, {"seed", o.seed}});
  write_text(folder, "generator.json", json.dump(1) + "\n");
}

/// The options of generator.json, before validate().
GenerateOptions parse(const Json& json) {
  constexpr std::int64_t max = std::numeric_limits<int>::max();
  const auto number = [&json](const char* key) { return static_cast<int>(whole(json, key, 1, max)); };
  GenerateOptions o{.shape = json.at("shape"), .values = number("values"), .seed = seed_of(json), .out = {}};
  const bool facts = json.at("generator") == "t2";
  if (facts != (o.shape == "facts") || (!facts && json.at("generator") != "t1"))
    throw BadMember("generator " + shown(json.at("generator")) + " makes no " + shown(json.at("shape")));
  if (facts)
    o.facts = number("facts");
  else
    o.tasks = number("tasks"), o.keys = number("keys"), o.samples = whole(json, "samples", 1, max);
  return o;
}

/// The options that made the folder.
GenerateOptions read_generator(const std::string& folder) {
  const std::string file = folder + "/generator.json";
  check(fs::exists(file), Exit::usage,
        folder + ": no generated tokens there (it has no generator.json); make them with switchyard data generate");
  return parse_json<Json>(files::read_text(file), file, "; generate the folder anew", [](const Json& json) {
    GenerateOptions o = parse(json);
    try {
      validate(o);
    } catch (const Error& error) {
      throw BadMember(error.what());
    }
    return o;
  });
}

}  // namespace

void generate(const GenerateOptions& o) {
  validate(o);
  files::NewFolder folder(o.out);
  o.shape == "facts" ? write_facts(o, folder.aside()) : write_tree(o, folder.aside());
  folder.finish();
}

bool holds_facts(const std::string& folder) { return read_generator(folder).shape == "facts"; }

TreeTasks generator_of(const std::string& folder) {
  const GenerateOptions o = read_generator(folder);
  check(o.shape != "facts", Exit::usage, folder + " has facts, not the tasks of a tree");
  return tasks_of(o);
}

Facts facts_of(const std::string& folder) {
  const GenerateOptions o = read_generator(folder);
  check(o.shape == "facts", Exit::usage, folder + " has the tasks of a tree, not facts");
  return {o.facts, o.values, o.seed};
}

}  // namespace switchyard::laboratory
