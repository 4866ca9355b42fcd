// MPI with ownership and checked return codes.
#pragma once
#include <mpi.h>

#include <source_location>
#include <utility>
#include <vector>

#include "base/activity.hpp"

namespace switchyard::comm {

/// Throws Error{internal} with MPI's own text and the place of the call unless `code` is MPI_SUCCESS.
void check_mpi(int code, std::source_location at = std::source_location::current());

/// An owned communicator: made by duplicate or split, freed by its destructor (collective: free in the same order on
/// all ranks, before MPI_Finalize). Errors are returned, not fatal, so that check_mpi can see them.
class Communicator {
 public:
  static Communicator duplicate(MPI_Comm of);
  Communicator split(int color, int key) const;
  /// Ranks that share memory: one communicator a node.
  Communicator split_shared() const;
  Communicator(Communicator&& other) noexcept
      : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
        rank_(other.rank_),
        size_(other.size_),
        world_ranks_(std::move(other.world_ranks_)),
        members_(other.members_) {}
  Communicator& operator=(Communicator&&) = delete;
  ~Communicator();

  MPI_Comm handle() const { return handle_; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Rank in the world of rank `r` of this group.
  int world_rank(int r) const { return world_ranks_.at(r); }
  /// All of them, and one alone, for the watchdog.
  const activity::Ranks& members() const { return members_; }
  activity::Ranks member(int r) const { return {world_rank(r), 1, 1}; }

 private:
  explicit Communicator(MPI_Comm handle);
  MPI_Comm handle_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<int> world_ranks_;
  activity::Ranks members_;
};

}  // namespace switchyard::comm
