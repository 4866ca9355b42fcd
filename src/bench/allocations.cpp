#include "bench/allocations.hpp"

#include <algorithm>

#include "base/activity.hpp"
#include "schedule/task.hpp"
#include "tensor/types.hpp"

namespace switchyard::bench {
namespace {

Allocations* counting = nullptr;
activity::Record record;

using Space = const Kokkos_Profiling_SpaceHandle;

void take(Space space, const char* label, const void*, std::uint64_t bytes) {
  if (counting != nullptr) counting->add({space.name, label}, static_cast<std::int64_t>(bytes));
}

void give_back(Space space, const char* label, const void*, std::uint64_t bytes) {
  if (counting != nullptr) counting->add({space.name, label}, -static_cast<std::int64_t>(bytes));
}

}  // namespace

void Taken::add(std::int64_t bytes) {
  now += bytes;
  most = std::max(most, now);
}

Allocations::Allocations() {
  counting = this;
  activity::write_to(&record);
  Kokkos::Tools::Experimental::set_allocate_data_callback(take);
  Kokkos::Tools::Experimental::set_deallocate_data_callback(give_back);
}

Allocations::~Allocations() {
  Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
  Kokkos::Tools::Experimental::set_deallocate_data_callback(nullptr);
  activity::write_to(nullptr);
  counting = nullptr;
}

void Allocations::add(const Label& label, std::int64_t bytes) {
  by_label_[label].add(bytes);
  if (label.space != Device::memory_space::name()) return;
  device_.add(bytes);
  if (bytes > 0) note_stage();
}

void Allocations::note_stage() {
  const activity::Now now = record.read();
  const std::string name = now.task < 0 ? "before the first task"
                                        : name_of(static_cast<schedule::Stage>(now.stage)) + " " +
                                              name_of(static_cast<schedule::Direction>(now.direction));
  const auto found = std::find_if(stages_.begin(), stages_.end(), [&](const Stage& s) { return s.name == name; });
  Stage& stage = found == stages_.end() ? stages_.emplace_back(Stage{name}) : *found;
  stage.taken = std::max(stage.taken, device_.now);
}

}  // namespace switchyard::bench
