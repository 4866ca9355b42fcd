// What Kokkos is asked for, by label, as long as somebody counts. One counter at a time, of the thread that works.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace switchyard::bench {

/// Bytes that are taken, and the most that were at once.
struct Taken {
  std::int64_t now = 0, most = 0;
  void add(std::int64_t bytes);
};

class Allocations {
 public:
  /// Counts until it is destroyed.
  Allocations();
  Allocations(const Allocations&) = delete;
  ~Allocations();

  /// Of a label, in a memory space: "Cuda", "Host".
  struct Label {
    std::string space, name;
    auto operator<=>(const Label&) const = default;
  };
  const std::map<Label, Taken>& by_label() const { return by_label_; }
  /// Of the space that the device computes in.
  const Taken& device() const { return device_; }
  /// What was taken there when a stage (of base/activity.hpp) last took more; in the order in which they did so first.
  struct Stage {
    std::string name;  ///< "experts backward"
    std::int64_t taken = 0;
  };
  const std::vector<Stage>& stages() const { return stages_; }
  void add(const Label& label, std::int64_t bytes);  ///< of the hooks

 private:
  void note_stage();
  std::map<Label, Taken> by_label_;
  Taken device_;
  std::vector<Stage> stages_;
};

/// Bytes of the device that are taken, by whoever; on a host what this process has had resident at most.
std::int64_t memory_in_use();

}  // namespace switchyard::bench
