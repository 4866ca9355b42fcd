// A machine that was measured several times, before, between and after what is to be predicted: its speed drifts.
#include <algorithm>
#include <functional>

#include "base/check.hpp"
#include "plan/machine_description.hpp"

namespace switchyard::plan {
namespace {

double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/// Of the same number in each description.
double middle(const std::vector<MachineDescription>& machines,
              const std::function<double(const MachineDescription&)>& number) {
  std::vector<double> values;
  for (const MachineDescription& m : machines) values.push_back(number(m));
  return middle(values);
}

bool same_way(const std::optional<Way>& a, const std::optional<Way>& b) {
  return a.has_value() == b.has_value() && (!a || a->by_window == b->by_window);
}

/// What two descriptions must have in common and have not; empty where they have.
std::string difference(const MachineDescription& a, const MachineDescription& b) {
  if (a.ranks != b.ranks || a.nodes != b.nodes || a.threads != b.threads) return "ranks, nodes or threads";
  if (a.products.rows != b.products.rows || a.products.inner != b.products.inner ||
      a.products.columns != b.products.columns)
    return "shapes of products";
  if (!same_way(a.near, b.near) || !same_way(a.near_by_mpi, b.near_by_mpi) || !same_way(a.far, b.far))
    return "ways between ranks";
  return "";
}

void take_middle(const std::vector<MachineDescription>& machines, std::optional<Way> MachineDescription::*which,
                 MachineDescription& into) {
  if (!(into.*which)) return;
  for (double Way::*const number : {&Way::latency, &Way::bytes_per_s, &Way::collective, &Way::buffer, &Way::poll})
    *(into.*which).*number = middle(machines, [&](const MachineDescription& m) { return *(m.*which).*number; });
}

}  // namespace

MachineDescription middle_of(const std::vector<MachineDescription>& machines, const std::vector<std::string>& names) {
  expect(!machines.empty() && machines.size() == names.size(), "a name for each of the machine's descriptions");
  MachineDescription m = machines.front();
  for (std::size_t i = 1; i < machines.size(); ++i) {
    const std::string differs = difference(m, machines[i]);
    check(differs.empty(), Exit::usage,
          names[i] + ": has other " + differs + " than " + names[0] +
              " (several descriptions must be of one machine, measured alike); give one of them");
  }
  for (std::size_t p = 0; p < m.products.gflops.size(); ++p)
    for (std::size_t i = 0; i < m.products.gflops[p].size(); ++i)
      m.products.gflops[p][i] = middle(machines, [&](const auto& of) { return of.products.gflops[p][i]; });
  for (std::size_t s = 0; s < m.stages.size(); ++s) {
    m.stages[s].forward = middle(machines, [&](const auto& of) { return of.stages[s].forward; });
    m.stages[s].backward = middle(machines, [&](const auto& of) { return of.stages[s].backward; });
  }
  for (const auto which : {&MachineDescription::near, &MachineDescription::far, &MachineDescription::near_by_mpi})
    take_middle(machines, which, m);
  return m;
}

}  // namespace switchyard::plan
