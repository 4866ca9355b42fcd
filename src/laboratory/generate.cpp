#include "laboratory/generate.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "data/shard.hpp"

namespace switchyard::laboratory {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void validate(const GenerateOptions& o) {
  const auto refuse = [](const std::string& why) { throw Error(Exit::usage, why); };
  if (o.tasks < 2 || o.tasks > 4096 || !std::has_single_bit(static_cast<unsigned>(o.tasks)))
    refuse("--tasks is " + std::to_string(o.tasks) + "; must be a power of two from 2 to 4096");
  if (o.keys < 1 || o.values < 2) refuse("--keys must be at least 1 and --values at least 2");
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max() / 3;
  if (o.samples < 1 || o.samples > most)
    refuse("--samples is " + std::to_string(o.samples) + "; must be from 1 to " + std::to_string(most) +
           ": the head of a shard counts its tokens, three a sample, in an int32");
  const std::int64_t vocabulary =
      o.tasks + o.keys + std::int64_t{std::bit_width(static_cast<unsigned>(o.tasks))} * o.values;
  if (vocabulary > 50256)
    refuse("tasks, keys and answers make " + std::to_string(vocabulary) +
           " tokens; a shard holds 50256: lower --values");
  if (fs::exists(o.out)) refuse(o.out + " exists already; remove it or choose another folder");
}

/// Samples [first, first + count) in the llm.c format.
void write_shard(const std::string& path, const TreeTasks& t, std::int64_t first, std::int64_t count) {
  std::ofstream file(path, std::ios::binary);
  std::array<std::int32_t, data::llmc_header_words> header{};
  header[0] = data::llmc_magic, header[1] = data::llmc_version, header[2] = static_cast<std::int32_t>(3 * count);
  file.write(reinterpret_cast<const char*>(header.data()), sizeof header);
  for (std::int64_t i = first; i < first + count; ++i) {
    const Sample s = draw(t, i);
    const std::array<std::uint16_t, 3> tokens{static_cast<std::uint16_t>(s.task),
                                              static_cast<std::uint16_t>(t.tasks() + s.key),
                                              static_cast<std::uint16_t>(t.tasks() + t.keys + s.answer)};
    file.write(reinterpret_cast<const char*>(tokens.data()), sizeof tokens);
  }
  file.flush();
  if (!file) files::throw_system_error(errno, "write", path);
}

std::string ideal_table(const TreeTasks& t) {
  constexpr int draws = 32;
  std::ostringstream out;
  out << "experts,floor,ideal,hash,hash_mean,hash_sd,even,balanced\n" << std::setprecision(10);
  for (int e = 1; e <= 4 * t.tasks(); e *= 2) {
    double own = 0.0, sum = 0.0, squares = 0.0;
    for (int i = 0; i < draws; ++i) {
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

}  // namespace

void generate(const GenerateOptions& o) {
  validate(o);
  const TreeTasks t = make_tasks(o.shape, std::countr_zero(static_cast<unsigned>(o.tasks)), o.keys, o.values, o.seed);
  const std::string aside = o.out + ".tmp";
  fs::remove_all(aside);
  fs::create_directories(aside);
  write_shard(aside + "/t1_train_000000.bin", t, 0, o.samples);
  write_shard(aside + "/t1_val_000000.bin", t, o.samples, std::max<std::int64_t>(1, o.samples / 100));
  files::write_text(aside + "/ideal.csv", ideal_table(t));
  files::write_text(aside + "/generator.json", Json{{"schema", "switchyard-generator"},
                                                    {"schema_version", 1},
                                                    {"generator", "t1"},
                                                    {"shape", o.shape},
                                                    {"tasks", o.tasks},
                                                    {"keys", o.keys},
                                                    {"values", o.values},
                                                    {"samples", o.samples},
                                                    {"seed", o.seed}}
                                                       .dump(1) +
                                                   "\n");
  fs::rename(aside, o.out);
}

TreeTasks generator_of(const std::string& folder) {
  const std::string file = folder + "/generator.json";
  check(fs::exists(file), Exit::usage,
        folder + ": no generated tokens there (it has no generator.json); make them with switchyard data generate");
  try {
    const Json json = Json::parse(files::read_text(file));
    const int tasks = json.at("tasks");
    return make_tasks(json.at("shape"), std::countr_zero(static_cast<unsigned>(tasks)), json.at("keys"),
                      json.at("values"), json.at("seed"));
  } catch (const Json::exception& e) {
    throw Error(Exit::corrupt, file + " cannot be read (" + e.what() + "); generate the folder anew");
  }
}

}  // namespace switchyard::laboratory
