#include "checkpoint/tensor_files.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>

#include "base/activity.hpp"
#include "base/check.hpp"
#include "checkpoint/expert_writer.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "comm/collectives.hpp"

namespace switchyard::checkpoint {
namespace {

ManifestEntry write_dense(const std::string& folder, const ParameterSet& parameters) {
  hdf5::File file = hdf5::File::create(folder + "/dense.h5");
  start_file(file, "replicated parameters");
  for (const int id : dense_parameters(parameters)) {
    const Parameter& p = parameters[id];
    const hdf5::Id group = file.make_group(p.name);
    for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
      const std::string name = p.name + "/" + tensor_kinds[kind];
      const hdf5::Id dataset = file.make_dataset(name, hdf5::Type::f32, storage_of(to_extent(p.shape), false));
      const HostPart host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), unit_of(parameters, p, kind, 0));
      hdf5::write_rows(dataset, hdf5::Type::f32, 0, static_cast<hsize_t>(p.shape[0]), host.data(),
                       file.path() + ":" + name);
      activity::progress();
    }
  }
  return finish_file(file, folder, "dense.h5");
}

/// Rows [first, first + count) of a dataset of the file into the local units from `unit` on.
void read_part(const hdf5::File& file, const ParameterSet& parameters, const Parameter& p, Range rows,
               std::int64_t unit) {
  const bool experts = p.placement == Placement::expert;
  for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
    const std::string name = p.name + "/" + tensor_kinds[kind], where = file.path() + ":" + name;
    check(file.has(name), Exit::usage,
          where + " is missing (the model has this parameter); resume with the configuration that wrote it");
    const hdf5::Extent extent = check_tensor(file, name).extent;
    hdf5::Extent wanted = to_extent(p.shape);
    if (experts) wanted[0] = extent[0];
    check(extent == wanted && rows.last <= static_cast<std::int64_t>(extent[0]), Exit::usage,
          where + " has another shape than the model's parameter; resume with the configuration that wrote it");
    const hdf5::Id dataset = file.open_dataset(name);
    const std::int64_t rows_of_unit = experts ? 1 : rows.size();
    for (std::int64_t row = rows.first; row < rows.last; row += rows_of_unit) {
      const Vector<float> to = unit_of(parameters, p, kind, unit + (experts ? row - rows.first : 0));
      const HostPart host = Kokkos::create_mirror_view(Kokkos::HostSpace(), to);
      hdf5::read_rows(dataset, hdf5::Type::f32, static_cast<hsize_t>(row), static_cast<hsize_t>(rows_of_unit),
                      host.data(), where);
      Kokkos::deep_copy(to, host);
      activity::progress();
    }
  }
}

}  // namespace

std::string ExpertFile::name() const {
  char text[64];
  std::snprintf(text, sizeof text, "experts-%02d-%04d.h5", block, static_cast<int>(range.first));
  return text;
}

std::vector<int> dense_parameters(const ParameterSet& parameters) {
  std::vector<int> ids;
  for (const Parameter& p : parameters.all())
    if (p.placement == Placement::replicated && p.adds_to.empty()) ids.push_back(p.id);
  return ids;
}

std::vector<ExpertFile> expert_files(const ParameterSet& parameters) {
  std::map<int, ExpertFile> blocks;
  for (const Parameter& p : parameters.all()) {
    if (p.placement != Placement::expert || !p.adds_to.empty()) continue;
    ExpertFile& entry = blocks[p.block];
    expect(entry.experts == 0 || entry.experts == p.shape[0], "the same experts in all parameters of a block");
    entry.block = p.block;
    entry.experts = static_cast<int>(p.shape[0]);
    entry.parameters.push_back(p.id);
  }
  std::vector<ExpertFile> files;
  for (auto& [block, entry] : blocks)
    for (int first = 0; first < entry.experts; first += ExpertFile::max_experts) {
      entry.range = {first, std::min(first + ExpertFile::max_experts, entry.experts)};
      files.push_back(entry);
    }
  return files;
}

std::vector<ManifestEntry> write_tensors(const std::string& folder, const comm::Groups& groups,
                                         const ParameterSet& parameters) {
  std::vector<ManifestEntry> mine;
  std::exception_ptr failure;
  const auto attempt = [&](auto work) {
    try {
      mine.push_back(work());
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  if (groups.world.rank() == 0) attempt([&] { return write_dense(folder, parameters); });
  if (groups.layout.group() == 0)
    for (const ExpertFile& part : expert_files(parameters)) {
      ExpertWriter writer(folder, groups, parameters, part);
      if (writer.mine())
        attempt([&] { return writer.write(); });
      else
        writer.send();
    }
  if (failure) std::rethrow_exception(failure);
  return mine;
}

void read_tensors(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters) {
  if (groups.world.rank() == 0) {
    const hdf5::File file = hdf5::File::open(folder + "/dense.h5");
    const auto ids = dense_parameters(parameters);
    check(file.datasets().size() == tensor_kinds.size() * ids.size(), Exit::usage,
          file.path() + " has other parameters than the model; resume with the configuration that wrote it");
    for (const int id : ids) read_part(file, parameters, parameters[id], {0, parameters[id].shape[0]}, 0);
  }
  if (groups.layout.group() != 0) return;
  for (const ExpertFile& part : expert_files(parameters)) {
    const Range held = groups.layout.my_experts(part.experts);
    const Range both{std::max(held.first, part.range.first), std::min(held.last, part.range.last)};
    if (both.first >= both.last) continue;
    const hdf5::File file = hdf5::File::open(folder + "/" + part.name());
    for (const int id : part.parameters)
      read_part(file, parameters, parameters[id], {both.first - part.range.first, both.last - part.range.first},
                both.first - held.first);
  }
}

void share_tensors(const comm::Groups& groups, ParameterSet& parameters) {
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    const comm::Communicator& comm = placement == Placement::replicated ? groups.world : groups.expert_data;
    if (comm.size() == 1) continue;
    for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
      const Vector<float> all = slab(parameters, placement, kind);
      const HostPart host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), all);
      comm::broadcast(comm, host.data(), static_cast<std::int64_t>(host.extent(0) * sizeof(float)), 0);
      Kokkos::deep_copy(all, host);
    }
  }
}

}  // namespace switchyard::checkpoint
