// Shared memory of the ranks of a node: a window of MPI-3 that holds a channel for every ordered pair of them, in the
// part of the receiver. A rank gives the window window_bytes(ranks of its group on its node), whatever is sent.
#include <sys/statvfs.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "comm/agree.hpp"
#include "comm/patience.hpp"
#include "comm/transport/channel.hpp"
#include "comm/transport/kinds.hpp"

namespace switchyard::comm {
namespace {

/// The channels of a node. Plain loads and stores by C++ atomics are all that touches them, which the unified memory of
/// a window on coherent hardware allows inside one epoch that lasts as long as the window; MPI_Win_sync would order
/// nothing that release and acquire do not.
class Window {
 public:
  /// Collective over `node`. `usable` says whether it can be used; the same on every rank.
  explicit Window(const Communicator& node);
  Window(const Window&) = delete;
  ~Window();
  bool usable() const { return usable_; }
  Channel& channel(int from, int to) const;

 private:
  static std::int64_t slots(int ranks) { return ranks - 1; }
  const Communicator& node_;
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<Channel*> part_of_;  // the channels to each rank, in the order of the senders without it
  bool usable_ = false;
};

Window::Window(const Communicator& node) : node_(node) {
  const MPI_Aint bytes = window_bytes(node.size());
  void* mine = nullptr;
  std::int64_t failed = MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, node.handle(), &mine, &window_) != MPI_SUCCESS;
  all_reduce_max(node, &failed, 1);
  if (failed) return;
  int *model = nullptr, found = 0;
  check_mpi(MPI_Win_get_attr(window_, MPI_WIN_MODEL, &model, &found));
  if (!found || *model != MPI_WIN_UNIFIED) return;
  for (int r = 0; r < node.size(); ++r) {
    MPI_Aint size = 0;
    int unit = 0;
    void* start = nullptr;
    check_mpi(MPI_Win_shared_query(window_, r, &size, &unit, &start));
    const std::uintptr_t address = (reinterpret_cast<std::uintptr_t>(start) + apart - 1) / apart * apart;
    part_of_.push_back(reinterpret_cast<Channel*>(address));
  }
  check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_));
  // All of it is touched now: memory that turns out to be missing in the middle of a run is a signal, not an error.
  if (node.size() > 1) std::memset(static_cast<void*>(part_of_[node.rank()]), 0, slots(node.size()) * sizeof(Channel));
  std::int64_t all = 0;  // have done so
  all_reduce_max(node, &all, 1);
  usable_ = true;
}

Window::~Window() {
  // As with a communicator: collective, so not while an error unwinds this rank alone.
  if (window_ == MPI_WIN_NULL || std::uncaught_exceptions() > 0) return;
  if (!part_of_.empty()) MPI_Win_unlock_all(window_);
  MPI_Win_free(&window_);
}

Channel& Window::channel(int from, int to) const { return part_of_[to][from < to ? from : from - 1]; }

/// Both directions of this rank and another of its node.
struct Peer {
  Outgoing out;
  Incoming in;
};

class WindowTransport : public Transport {
 public:
  WindowTransport(const Communicator& group, const Nodes& nodes);
  Memory memory() const override { return Memory::host; }
  std::unique_ptr<Requests> begin(std::int64_t row_bytes) override;

  bool usable() const { return window_.usable(); }
  Peer& peer(int rank) {
    expect(peers_[rank].has_value(), "another rank of this node");
    return *peers_[rank];
  }
  /// Moves a chunk of each pair where one can be moved; whether something was. Where nothing has been for a while it
  /// lets others have the core.
  bool progress();

 private:
  const Communicator node_;
  const Window window_;
  std::vector<std::optional<Peer>> peers_;  // by rank of the group
  Patience patience_;
  std::string fault_;  // once the ranks have contradicted each other nothing moves any more
};

class WindowRequests : public Requests {
 public:
  WindowRequests(WindowTransport& transport, std::int64_t row_bytes, int ranks)
      : transport_(transport), row_bytes_(row_bytes), left_(ranks) {
    expect(row_bytes > 0, "rows of at least one byte");
  }
  WindowRequests(const WindowRequests&) = delete;

  void receive(void* buffer, std::int64_t rows, int from, int tag) override {
    transport_.peer(from).in.receive({static_cast<char*>(buffer), bytes(rows), tag, &left_[from]});
    ++left_[from];
  }
  void send(const void* buffer, std::int64_t rows, int to, int tag) override {
    transport_.peer(to).out.send({static_cast<const char*>(buffer), bytes(rows), tag, &left_[to]});
    ++left_[to];
  }
  bool poll() override {
    while (!complete() && transport_.progress()) continue;
    return complete();
  }
  void add_incomplete(std::vector<int>& ranks) const override {
    for (std::size_t r = 0; r < left_.size(); ++r)
      if (left_[r]) ranks.push_back(static_cast<int>(r));
  }

 private:
  bool complete() const {
    return std::all_of(left_.begin(), left_.end(), [](std::int64_t left) { return left == 0; });
  }
  std::int64_t bytes(std::int64_t rows) const {
    check(rows >= 0 && rows <= std::numeric_limits<std::int64_t>::max() / row_bytes_, Exit::usage,
          std::to_string(rows) + " rows of " + std::to_string(row_bytes_) +
              " bytes in one message (bytes are counted in 63 bits); use more ranks or a smaller batch");
    return rows * row_bytes_;
  }
  WindowTransport& transport_;
  std::int64_t row_bytes_;
  std::vector<std::int64_t> left_;  // messages from and to each rank that are not complete
};

WindowTransport::WindowTransport(const Communicator& group, const Nodes& nodes)
    : node_(group.split(nodes.of[group.rank()], group.rank())),
      window_(node_),
      peers_(group.size()),
      patience_(2 * node_.size()) {
  if (!usable()) return;
  std::vector<int> place(group.size());  // on the node; split keeps the order of the ranks
  int ranks = 0;
  for (int r = 0; r < group.size(); ++r)
    if (nodes.together(r, group.rank())) place[r] = ranks++;
  for (int r = 0; r < group.size(); ++r)
    if (r != group.rank() && nodes.together(r, group.rank()))
      peers_[r] =
          Peer{Outgoing(window_.channel(node_.rank(), place[r])), Incoming(window_.channel(place[r], node_.rank()))};
}

std::unique_ptr<Requests> WindowTransport::begin(std::int64_t row_bytes) {
  return std::make_unique<WindowRequests>(*this, row_bytes, static_cast<int>(peers_.size()));
}

bool WindowTransport::progress() {
  check(fault_.empty(), Exit::internal, fault_);
  bool moved = false;
  try {
    for (std::optional<Peer>& peer : peers_) {
      if (!peer) continue;
      moved = peer->out.progress() || moved;
      moved = peer->in.progress() || moved;
    }
  } catch (const Error& error) {
    fault_ = error.what();
    throw;
  }
  moved ? patience_.moved() : patience_.idle();
  return moved;
}

/// What is missing for a window, on this rank: Open MPI makes it in /dev/shm and, where there is no room, waits for
/// ever on the other ranks. Groups of other ranks may take as much at the same moment.
void require_room(const Nodes& nodes, int rank) {
  std::int64_t ranks = 0;
  for (const int node : nodes.of) ranks += node == nodes.of[rank];
  struct statvfs disk {};
  if (ranks < 2 || ::statvfs("/dev/shm", &disk) != 0) return;
  const std::int64_t free = static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize),
                     needed = 4 * ranks * window_bytes(static_cast<int>(ranks));
  check(free >= needed, Exit::usage,
        "/dev/shm has " + std::to_string(free >> 10) + " KiB free (the window of " + std::to_string(ranks) +
            " ranks takes a quarter of " + std::to_string(needed >> 10) +
            " KiB, and others may be made beside it); make it larger, or set layout.transport to mpi");
}

}  // namespace

std::int64_t window_bytes(int ranks) {
  return ranks < 2 ? 0 : (ranks - 1) * static_cast<std::int64_t>(sizeof(Channel)) + static_cast<std::int64_t>(apart);
}

std::unique_ptr<Transport> make_window_transport(const Communicator& group, const Nodes& nodes) {
  agree(group, [&] { require_room(nodes, group.rank()); });
  auto made = std::make_unique<WindowTransport>(group, nodes);
  agree(group, [&] {
    check(made->usable(), Exit::usage,
          "MPI gives the ranks of a node no memory that they share (MPI_Win_allocate_shared); set layout.transport to "
          "mpi");
  });
  return made;
}

}  // namespace switchyard::comm
