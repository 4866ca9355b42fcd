#include "app/launch.hpp"

#include "app/machine_file.hpp"
#include "base/files.hpp"
#include "comm/agree.hpp"
#include "config/estimate.hpp"
#include "config/placement_file.hpp"
#include "record/kept_config.hpp"
#include "train/trainer.hpp"

namespace switchyard {

std::string shared_text(const comm::Communicator& world, const std::string& file) {
  std::string text;
  comm::on_root(world, [&] { text = read_text(file); });
  return comm::broadcast(world, text, 0);
}

LoadResult load_on_all(const std::string& file, const std::vector<std::string>& overrides) {
  return load_text_on_all(file, shared_text(comm::Communicator::duplicate(MPI_COMM_WORLD), file), overrides);
}

LoadResult load_text_on_all(const std::string& name, const std::string& text,
                            const std::vector<std::string>& overrides) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  LoadResult loaded = load_text(name, text, overrides);
  add_violations(loaded, world.size());
  comm::agree(world, [&] { throw_errors(loaded); });
  read_placement_on_all(world, loaded);
  return loaded;
}

void read_placement_on_all(const comm::Communicator& world, LoadResult& loaded) {
  if (!names_placement(loaded.config)) return;
  std::string text;
  comm::on_root(world, [&] { text = placement_text(loaded); });
  text = comm::broadcast(world, text, 0);
  take_placement(loaded, text);
  comm::agree(world, [&] { throw_errors(loaded); });
}

std::vector<std::string> notes_of(const Config& config, const KokkosSession& kokkos) {
  std::vector<std::string> notes = kokkos.notes();
  if (names_placement(config))
    notes.push_back("layout.placement: experts live where " + config.layout.placement + " has them (SHA-256 " +
                    config.layout.seat_orders->sha256 + ")");
  for (const Violation& a : advice(config, comm::Communicator::duplicate(MPI_COMM_WORLD).size()))
    notes.push_back(a.key + ": " + a.message);
  return notes;
}

RunConfig config_of_run(const std::string& run) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  RunConfig config{run + "/config.yaml", {}};
  comm::on_root(world, [&] { config.text = record::read_config(run); });
  config.text = comm::broadcast(world, config.text, 0);
  return config;
}

namespace {

/// What a run that is to go on has started from.
std::optional<record::Parent> parent_of_run(const comm::Communicator& world, const std::string& run) {
  std::string text;
  comm::on_root(world, [&] {
    if (const auto parent = record::read_parent(run)) text = record::parent_text(*parent);
  });
  text = comm::broadcast(world, text, 0);
  if (text.empty()) return std::nullopt;
  return record::parse_parent(text, run + "/" + record::parent_file);
}

}  // namespace

Exit start_run(const LoadResult& loaded, const std::string& run, const std::vector<std::string>& command_line,
               const train::Ancestor& ancestor) {
  LoadResult read = loaded;
  const std::optional<record::Parent> parent =
      train::choose_parent(comm::Communicator::duplicate(MPI_COMM_WORLD), ancestor, read.config, run);
  const train::Predict predict = predict_on_all(comm::Communicator::duplicate(MPI_COMM_WORLD), read);
  const KokkosSession kokkos(read.config.layout.threads);
  return train::run_training(
      {read.config, read.origins, run, false, command_line, notes_of(read.config, kokkos), predict, parent});
}

Exit continue_run(const std::string& run, const std::vector<std::string>& overrides,
                  const std::vector<std::string>& command_line) {
  const auto [file, text] = config_of_run(run);
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  LoadResult loaded = load_text(file, text, overrides);
  add_violations(loaded, world.size());
  const LoadResult before = load_text(file, text);  // of the layout before: valid there only
  for (const Violation& v : resume_changes(invariant_options(before.config), loaded.config))
    loaded.errors.push_back({loaded.origins[v.key], v.key, v.message});
  comm::agree(world, [&] { throw_errors(loaded); });
  read_placement_on_all(world, loaded);
  const std::optional<record::Parent> parent = parent_of_run(world, run);
  const train::Predict predict = predict_on_all(world, loaded);
  const KokkosSession kokkos(loaded.config.layout.threads);
  return train::run_training(
      {loaded.config, loaded.origins, run, true, command_line, notes_of(loaded.config, kokkos), predict, parent});
}

}  // namespace switchyard
