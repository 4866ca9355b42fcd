#include "checkpoint/expert_writer.hpp"

#include <algorithm>
#include <limits>

#include "base/check.hpp"

namespace switchyard::checkpoint {
namespace {

constexpr int tag = 71;

int count_of(const Parameter& p) {
  expect(p.unit <= std::numeric_limits<int>::max(), "an expert's tensor of less than 2^31 elements");
  return static_cast<int>(p.unit);
}

}  // namespace

ExpertWriter::ExpertWriter(const std::string& folder, const comm::Groups& groups, const ParameterSet& parameters,
                           const ExpertFile& part, WriteMemory& memory)
    : folder_(folder),
      groups_(groups),
      group_(groups.expert),
      layout_(groups.layout),
      parameters_(parameters),
      part_(part),
      owner_(place_of_unit(parameters[part.parameters[0]], layout_, part.units().first)),
      memory_(memory) {}

void ExpertWriter::send() {
  const std::vector<std::int64_t> mine = held();
  for (const int id : part_.parameters) {
    const Parameter& p = parameters_[id];
    for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
      for (const std::int64_t unit : mine) {
        const HostPart host = unit_on_host(p, kind, unit);
        if (layout_.group() > 0) continue;  // has been sent
        const activity::Waiting waiting(group_.member(owner_), activity::Wait::messages);
        comm::check_mpi(MPI_Send(host.data(), count_of(p), MPI_FLOAT, owner_, tag, group_.handle()));
      }
    }
  }
}

ManifestEntry ExpertWriter::write() {
  attempt_([&] { open(); });
  for (const int id : part_.parameters) {
    const Parameter& p = parameters_[id];
    for (std::size_t kind = 0; kind < tensor_kinds.size(); ++kind) {
      attempt_([&] { make_dataset(p, kind); });
      write_units(p, kind);
    }
  }
  ManifestEntry entry;
  attempt_([&] {
    dataset_.close("write " + where_);
    entry = finish_file(*file_, folder_, part_.name());
  });
  attempt_.end();
  return entry;
}

/// Units of this file that this rank holds: the same of all its parameters.
std::vector<std::int64_t> ExpertWriter::held() const {
  std::vector<std::int64_t> units = parameters_[part_.parameters[0]].held;
  std::erase_if(units, [&](std::int64_t unit) { return unit < part_.units().first || unit >= part_.units().last; });
  return units;
}

HostPart ExpertWriter::unit_on_host(const Parameter& p, std::size_t kind, std::int64_t unit) {
  return collect(groups_, parameters_, p.placement, kind, unit_of(p, p.local_unit(unit)), memory_.collected);
}

void ExpertWriter::open() {
  file_ = std::make_unique<hdf5::File>(hdf5::File::create(folder_ + "/" + part_.name()));
  start_file(*file_, "experts of one block");
  hdf5::set_attribute(file_->id(), "block", part_.block, file_->path());
  hdf5::set_attribute(file_->id(), "first_expert", part_.range.first, file_->path());
  for (const int id : part_.parameters) {
    const hdf5::Id group = file_->make_group(parameters_[id].name);
    hdf5::set_attribute(group.get(), "first_expert", part_.range.first, file_->path());
  }
}

void ExpertWriter::make_dataset(const Parameter& p, std::size_t kind) {
  hdf5::Extent extent = to_extent(p.shape);
  extent[0] = static_cast<hsize_t>(part_.units().size());
  const std::string name = p.name + "/" + tensor_kinds[kind];
  where_ = file_->path() + ":" + name;
  dataset_ = file_->make_dataset(name, hdf5::Type::f32, storage_of(extent, true));
}

/// One after another, so that the bytes of the file do not depend on who holds which.
void ExpertWriter::write_units(const Parameter& p, std::size_t kind) {
  for (std::int64_t unit = part_.units().first; unit < part_.units().last; ++unit) {
    HostPart host = memory_.received;
    if (const int place = place_of_unit(p, layout_, unit); place == owner_) {
      host = unit_on_host(p, kind, unit);
    } else {
      const activity::Waiting waiting(group_.member(place), activity::Wait::messages);
      comm::check_mpi(MPI_Recv(host.data(), count_of(p), MPI_FLOAT, place, tag, group_.handle(), MPI_STATUS_IGNORE));
    }
    activity::progress();
    const auto row = static_cast<hsize_t>(unit - part_.units().first);
    attempt_([&] { hdf5::write_rows(dataset_, hdf5::Type::f32, row, 1, host.data(), where_); });
  }
}

}  // namespace switchyard::checkpoint
