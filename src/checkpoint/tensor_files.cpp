#include "checkpoint/tensor_files.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>

#include "base/activity.hpp"
#include "base/check.hpp"
#include "checkpoint/expert_writer.hpp"
#include "checkpoint/kept.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "comm/collectives.hpp"

namespace switchyard::checkpoint {
namespace {

/// Of a replicated tensor, when it is written: those of a chunk of its dataset.
std::int64_t rows_at_a_time(const Parameter& p) {
  return static_cast<std::int64_t>(storage_of(to_extent(p.shape), false).chunk[0]);
}

/// Calls visit(parameter, kind, rows) for the rows of all replicated tensors in the order in which they are written, a
/// chunk of the file at a time.
template <class Visit>
void for_dense_rows(const ParameterSet& parameters, const Visit& visit) {
  for (const int id : dense_parameters(parameters)) {
    const Parameter& p = parameters[id];
    const std::int64_t chunk = rows_at_a_time(p);
    for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind)
      for (std::int64_t row = 0; row < p.shape[0]; row += chunk)
        visit(p, kind, Range{row, std::min(row + chunk, p.shape[0])});
  }
}

/// Where rows of a replicated tensor are in the slab of values.
Range elements_of_rows(const Parameter& p, const Range& rows) {
  const std::int64_t row = p.unit / p.shape[0];
  return {p.offset + rows.first * row, p.offset + rows.last * row};
}

ManifestEntry write_dense(const std::string& folder, const comm::Groups& groups, const ParameterSet& parameters,
                          WriteMemory& memory) {
  Attempts attempt;
  std::optional<hdf5::File> file;
  hdf5::Id dataset;
  std::string name;
  attempt([&] {
    file.emplace(hdf5::File::create(folder + "/dense.h5"));
    start_file(*file, "replicated parameters");
  });
  for_dense_rows(parameters, [&](const Parameter& p, std::size_t kind, const Range& rows) {
    if (rows.first == 0)
      attempt([&] {
        name = p.name + "/" + tensor_kinds[kind];
        dataset = {};  // the one before
        if (kind == 0) file->make_group(p.name);
        dataset = file->make_dataset(name, hdf5::Type::f32, storage_of(to_extent(p.shape), false));
      });
    const HostPart host = collect(groups, parameters, p.placement, kind, elements_of_rows(p, rows), memory.collected);
    attempt([&] {
      hdf5::write_rows(dataset, hdf5::Type::f32, static_cast<hsize_t>(rows.first), static_cast<hsize_t>(rows.size()),
                       host.data(), file->path() + ":" + name);
    });
    activity::progress();
  });
  ManifestEntry entry;
  attempt([&] {
    dataset.close("write " + file->path() + ":" + name);
    entry = finish_file(*file, folder, "dense.h5");
  });
  attempt.end();
  return entry;
}

void send_dense(const comm::Groups& groups, const ParameterSet& parameters, WriteMemory& memory) {
  for_dense_rows(parameters, [&](const Parameter& p, std::size_t kind, const Range& rows) {
    collect(groups, parameters, p.placement, kind, elements_of_rows(p, rows), memory.collected);
  });
}

/// Of this rank's parameters the most elements that are written at a time.
std::int64_t part_elements(const ParameterSet& parameters, Placement placement) {
  std::int64_t most = 0;
  for (const Parameter& p : parameters.all())
    if (p.placement == placement && p.adds_to.empty() && p.local_units() > 0)
      most = std::max(most, placement == Placement::expert ? p.unit : p.unit / p.shape[0] * rows_at_a_time(p));
  return most;
}

/// A dataset of a tensor file, and the rows of it that are one unit.
struct UnitRows {
  const hdf5::Id& dataset;
  const std::string& where;
  std::int64_t chunk;  ///< rows that are read at a time, from a multiple of it
  Range rows;
};

/// What `piece` keeps of a unit (its place in the slab of values), into the slab where it is kept.
void read_piece(const UnitRows& from, const Range& unit, const Piece& piece, const Vector<float>& to) {
  const Range wanted = common(piece.elements, unit);
  const std::int64_t row = unit.size() / from.rows.size();
  const auto place_of = [&](std::int64_t r) { return unit.first + (r - from.rows.first) * row; };
  std::int64_t first = from.rows.first + (wanted.first - unit.first) / row;
  while (wanted.size() > 0 && place_of(first) < wanted.last) {
    const std::int64_t last = std::min((first / from.chunk + 1) * from.chunk, from.rows.last);
    const Range read{place_of(first), place_of(last)}, mine = common(read, wanted);
    const auto host = make_view<HostPart>("checkpoint::read", read.size());
    hdf5::read_rows(from.dataset, hdf5::Type::f32, static_cast<hsize_t>(first), static_cast<hsize_t>(last - first),
                    host.data(), from.where);
    Kokkos::deep_copy(Vector<float>(to.data() + piece.at + mine.first - piece.elements.first, mine.size()),
                      HostPart(host.data() + mine.first - read.first, mine.size()));
    activity::progress();
    first = last;
  }
}

/// Rows of a dataset that are one unit, and which local one.
struct UnitPlace {
  Range rows;
  Index unit = 0;
};

/// Units of a parameter from the datasets of a file. What this rank reads are shards of its own, and on the first owner
/// what share_tensors gives to the others.
void read_part(const hdf5::File& file, const comm::Groups& groups, const ParameterSet& parameters, const Parameter& p,
               const std::vector<UnitPlace>& units) {
  const bool experts = p.placement == Placement::expert;
  const int owner = owners_of(groups, p.placement).rank();
  for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
    const std::string name = p.name + "/" + tensor_kinds[kind], where = file.path() + ":" + name;
    check(file.has(name), Exit::usage,
          where + " is missing (the model has this parameter); resume with the configuration that wrote it");
    const hdf5::Shape shape = check_tensor(file, name);
    hdf5::Extent wanted = to_extent(p.shape);
    if (experts) wanted[0] = shape.extent[0];
    check(shape.extent == wanted && units.back().rows.last <= static_cast<std::int64_t>(shape.extent[0]), Exit::usage,
          where + " has another shape than the model's parameter; resume with the configuration that wrote it");
    if (owner > 0 && !is_sharded(parameters, kind)) continue;
    const hdf5::Id dataset = file.open_dataset(name);
    for (const UnitPlace& unit : units)
      for (const Piece& piece : pieces_of(parameters, p.placement, kind, owner))
        read_piece({dataset, where, static_cast<std::int64_t>(shape.chunk[0]), unit.rows}, unit_of(p, unit.unit), piece,
                   slab(parameters, p.placement, kind));
  }
}

/// This rank's units of one of the parameters of an expert file.
std::vector<UnitPlace> units_in(const ExpertFile& part, const Parameter& p) {
  std::vector<UnitPlace> found;
  const Range in_file = part.units();
  for (Index u = 0; u < p.local_units(); ++u)
    if (const std::int64_t unit = p.held[u]; unit >= in_file.first && unit < in_file.last)
      found.push_back({{unit - in_file.first, unit - in_file.first + 1}, u});
  return found;
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
    expect(entry.experts == 0 || entry.experts == p.experts(), "the same experts in all parameters of a block");
    entry.block = p.block;
    entry.experts = p.experts();
    entry.chunks = p.chunks;
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

WriteMemory::WriteMemory(const comm::Groups& groups, const ParameterSet& parameters) {
  Index most = 0;
  for (const Placement placement : {Placement::replicated, Placement::expert})
    most = std::max(most, collected_elements(groups, parameters, placement, part_elements(parameters, placement)));
  if (most > 0) collected = make_view<HostPart>("checkpoint::collected", most);
  const Index unit = part_elements(parameters, Placement::expert);
  if (groups.layout.group() == 0 && groups.layout.expert_parallel > 1 && unit > 0)
    received = make_view<HostPart>("checkpoint::received", unit);
}

std::vector<ManifestEntry> write_tensors(const std::string& folder, const comm::Groups& groups,
                                         const ParameterSet& parameters, WriteMemory& memory) {
  std::vector<ManifestEntry> mine;
  std::exception_ptr failure;
  const auto attempt = [&](auto work) {  // the next file too, since its senders wait
    try {
      mine.push_back(work());
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  if (groups.world.rank() == 0)
    attempt([&] { return write_dense(folder, groups, parameters, memory); });
  else if (parameters.sharded())
    send_dense(groups, parameters, memory);
  if (groups.layout.group() == 0 || parameters.sharded())
    for (const ExpertFile& part : expert_files(parameters)) {
      ExpertWriter writer(folder, groups, parameters, part, memory);
      if (writer.mine())
        attempt([&] { return writer.write(); });
      else
        writer.send();
    }
  if (failure) std::rethrow_exception(failure);
  return mine;
}

std::int64_t gathered_elements(const ParameterSet& parameters, Placement placement) {
  return parameters.sharded() ? part_elements(parameters, placement) : 0;
}

void read_tensors(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters) {
  if (groups.world.rank() == 0 || parameters.sharded()) {
    const hdf5::File file = hdf5::File::open(folder + "/dense.h5");
    const auto ids = dense_parameters(parameters);
    check(file.datasets().size() == tensor_kinds.size() * ids.size(), Exit::usage,
          file.path() + " has other parameters than the model; resume with the configuration that wrote it");
    for (const int id : ids) read_part(file, groups, parameters, parameters[id], {{{0, parameters[id].shape[0]}, 0}});
  }
  if (groups.layout.group() != 0 && !parameters.sharded()) return;
  for (const ExpertFile& part : expert_files(parameters)) {
    const std::vector<UnitPlace> units = units_in(part, parameters[part.parameters[0]]);
    if (units.empty()) continue;
    const hdf5::File file = hdf5::File::open(folder + "/" + part.name());
    for (const int id : part.parameters) read_part(file, groups, parameters, parameters[id], units);
  }
}

void share_tensors(const comm::Groups& groups, ParameterSet& parameters) {
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    const comm::Communicator& comm = owners_of(groups, placement);
    if (comm.size() == 1) continue;
    for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
      if (is_sharded(parameters, kind)) continue;  // each owner has read its own
      const Vector<float> all = slab(parameters, placement, kind);
      const HostPart host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), all);
      comm::broadcast(comm, host.data(), static_cast<std::int64_t>(host.extent(0) * sizeof(float)), 0);
      Kokkos::deep_copy(all, host);
    }
  }
}

}  // namespace switchyard::checkpoint
