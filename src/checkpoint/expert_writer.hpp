// Writing one expert file of a checkpoint from all ranks of an expert-parallel group.
#pragma once
#include <memory>
#include <string>

#include "checkpoint/tensor_files.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "comm/groups.hpp"

namespace switchyard::checkpoint {

/// The rank that owns the file's first expert writes; the others of the group send their experts, one message a unit,
/// in the order in which they are written. Every rank of the group either calls write() or send().
class ExpertWriter {
 public:
  ExpertWriter(const std::string& folder, const comm::Groups& groups, const ParameterSet& parameters,
               const ExpertFile& part);
  bool mine() const { return owner_ == group_.rank(); }
  void send() const;
  /// Receives everything even after a failure, so that the senders go on; then throws it.
  ManifestEntry write();

 private:
  Range held_by(int place) const;
  HostPart unit_on_host(const Parameter& p, std::size_t kind, std::int64_t expert) const;
  void open();
  void make_dataset(const Parameter& p, std::size_t kind);
  template <class Attempt>
  void write_units(const Parameter& p, std::size_t kind, int place, const Attempt& attempt);

  std::string folder_;
  const comm::Communicator& group_;
  const Layout& layout_;
  const ParameterSet& parameters_;
  const ExpertFile& part_;
  int owner_;
  std::unique_ptr<hdf5::File> file_;
  hdf5::Id dataset_;
  std::string where_;  ///< of the dataset, for messages
};

}  // namespace switchyard::checkpoint
