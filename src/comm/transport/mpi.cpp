// MPI's nonblocking messages. Counts are rows: a message may have more than 2 GiB, but not more than INT_MAX rows.
#include <mpi.h>

#include <optional>
#include <vector>

#include "comm/mpi_count.hpp"
#include "comm/transport/kinds.hpp"

namespace switchyard::comm {
namespace {

class MpiRequests : public Requests {
 public:
  MpiRequests(MPI_Comm group, std::int64_t row_bytes) : group_(group), row_bytes_(row_bytes) {}

  void receive(void* buffer, std::int64_t rows, int from, int tag) override {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Irecv(buffer, mpi_count(rows, "rows to receive"), row(), from, tag, group_, &request));
    requests_.push_back(request), peers_.push_back(from);
  }

  void send(const void* buffer, std::int64_t rows, int to, int tag) override {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(buffer, mpi_count(rows, "rows to send"), row(), to, tag, group_, &request));
    requests_.push_back(request), peers_.push_back(to);
  }

  bool poll() override {
    if (requests_.empty()) return true;
    int complete = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &complete, MPI_STATUSES_IGNORE));
    if (complete) requests_.clear(), peers_.clear();
    return complete != 0;
  }

  void add_incomplete(std::vector<int>& ranks) const override {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      int complete = 0;
      check_mpi(MPI_Request_get_status(requests_[i], &complete, MPI_STATUS_IGNORE));
      if (!complete) ranks.push_back(peers_[i]);
    }
  }

 private:
  MPI_Datatype row() {
    if (!row_) row_.emplace(row_bytes_);
    return row_->handle();
  }
  MPI_Comm group_;
  std::int64_t row_bytes_;
  std::optional<RowType> row_;  // made for the first message: another transport may carry all
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;  // of each
};

class MpiTransport : public Transport {
 public:
  explicit MpiTransport(const Communicator& group) : group_(group) {}
  Memory memory() const override { return Memory::host; }
  std::unique_ptr<Requests> begin(std::int64_t row_bytes) override {
    return std::make_unique<MpiRequests>(group_.handle(), row_bytes);
  }

 private:
  const Communicator& group_;
};

}  // namespace

std::unique_ptr<Transport> make_mpi_transport(const Communicator& group) {
  return std::make_unique<MpiTransport>(group);
}

}  // namespace switchyard::comm
