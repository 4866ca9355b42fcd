// Memory for rows whose number routing decides: as many as even loads need at first, and more where that is too little.
#pragma once
#include "tensor/arena.hpp"
#include "tensor/graph.hpp"
#include "tensor/queue.hpp"
#include "tensor/room_bytes.hpp"
#include "tensor/shared_room.hpp"

namespace switchyard {

template <class T>
class Room {
 public:
  Room() = default;
  /// For `expected` elements; counted by the arena, but an allocation of its own, since it may grow. Rows whose number
  /// depends on the loads get a little more, which a host does not have resident before it is used. On a host, rooms of
  /// Account::exchange are where other ranks can read them if the transport wants it.
  Room(Arena& arena, const char* label, Account account, Index expected)
      : label_(label), readable_(on_host && account == Account::exchange) {
    const bool by_load = account == Account::expert_rows || account == Account::exchange;
    const Index held = by_load ? expected + expected / 16 : expected;
    arena.add((on_host ? expected : held) * static_cast<std::int64_t>(sizeof(T)), account);
    if (arena.places() && expected > 0) make(held);
  }
  /// Room for n elements; all but the first `keep` are lost when it grows, by an eighth more than is asked for, so that
  /// it settles soon.
  void reserve(Index n, Index keep = 0) {
    if (capacity() >= n) return;
    const Vector<T> kept(keep > 0 ? memory_ : Vector<T>());
    const std::shared_ptr<void> lives(keep > 0 ? shared_ : nullptr);
    const RoomBytes both(keep > 0 ? bytes_of(capacity()) : 0);  // until the one is in the other
    make(n + n / 8);
    if (keep > 0) Kokkos::deep_copy(Vector<T>(memory_.data(), keep), Vector<T>(kept.data(), keep));
  }
  T* data() const { return memory_.data(); }
  const Vector<T>& view() const { return memory_; }
  Index capacity() const { return static_cast<Index>(memory_.extent(0)); }

 private:
  static std::int64_t bytes_of(Index n) { return n * static_cast<std::int64_t>(sizeof(T)); }
  void make(Index n) {
    ++memory_generation();
    memory_ = Vector<T>();
    shared_.reset();
    counted_ = RoomBytes();
    counted_ = RoomBytes(bytes_of(n));
    if (readable_) shared_ = make_shared_room(label_, bytes_of(n));
    memory_ = shared_ ? Vector<T>(static_cast<T*>(shared_.get()), n) : make_view<Vector<T>>(label_, n);
  }
  const char* label_ = "tensor::room";
  bool readable_ = false;
  std::shared_ptr<void> shared_;  ///< where the memory is, if others can read it
  Vector<T> memory_;
  RoomBytes counted_;
};

/// Rows of a tensor whose number routing decides.
class RowRoom {
 public:
  RowRoom() = default;
  /// For `expected` rows, as Room.
  RowRoom(Arena& arena, const char* label, Account account, const Tensor& shape)
      : element_(shape.element),
        width_(shape.width),
        memory_(arena, label, account, shape.rows * shape.width * bytes_of(shape.element)) {}
  /// Room for n rows; all but the first `keep` are lost when it grows.
  void reserve(Index n, Index keep = 0) { memory_.reserve(n * row_bytes(), keep * row_bytes()); }
  /// Rows [first, first + n).
  Tensor rows(Index first, Index n) const { return {memory_.data() + first * row_bytes(), element_, n, width_}; }
  Index width() const { return width_; }

 private:
  Index row_bytes() const { return width_ * bytes_of(element_); }
  Element element_ = Element::f32;
  Index width_ = 0;
  Room<std::byte> memory_;
};

/// Memory of an arena that the host reads, with its twin there: one memory on host builds.
template <class V>
class Twin {
 public:
  Twin() = default;
  Twin(const Arena& arena, const V& device) : device_(device) {
    if (!arena.places()) return;
    if (on_host) {
      host_ = Kokkos::create_mirror_view(Kokkos::WithoutInitializing, device);
      return;
    }
    locked_ = make_view<StagingVector<Value>>("tensor::twin", device.size());
    host_ = typename V::HostMirror(locked_.data(), device.layout());
  }
  const V& device() const { return device_; }
  /// On its way; the host may read once the queue is through.
  const typename V::HostMirror& ask(const Queue& queue) const {
    copy(queue, host_, device_);
    return host_;
  }
  const typename V::HostMirror& host() const { return host_; }

 private:
  using Value = typename V::non_const_value_type;
  V device_;
  StagingVector<Value> locked_;  // where there is a device apart: memory that it copies to by itself
  typename V::HostMirror host_;
};

/// What a host reads of memory of a device that is another each time: a copy of it, made once for one length; on host
/// builds the memory itself.
template <class T>
class HostCopy {
 public:
  /// On its way; the host may read once the queue is through.
  void ask(const Queue& queue, const Vector<T>& device) {
    if (on_host || copy_.extent(0) != device.extent(0))
      copy_ = Kokkos::create_mirror_view(Kokkos::WithoutInitializing, device);
    copy(queue, copy_, device);
  }
  const T& operator()(Index i) const { return copy_(i); }

 private:
  typename Vector<T>::HostMirror copy_;
};

/// A room with its twin on the host: one memory on host builds, two on device builds.
template <class T>
class Staged {
 public:
  Staged() = default;
  Staged(Arena& arena, const char* label, Account account, Index expected)
      : room_(arena, label, account, expected), label_(label), travels_(account == Account::exchange) {
    follow();
  }
  void reserve(Index n) {
    if (capacity() < n) host_ = {};  // or a host would hold the old memory beside the new
    room_.reserve(n);
    follow();
  }
  Index capacity() const { return room_.capacity(); }
  T* device() const { return room_.data(); }
  T* host() const { return host_.data(); }
  void to_device(const Queue& queue, Index n) const {
    if (!on_host && n > 0) copy(queue, first(room_.view(), n), first(host_, n));
  }
  /// The host may read once the queue is through.
  void to_host(const Queue& queue, Index n) const {
    if (!on_host && n > 0) copy(queue, first(host_, n), first(room_.view(), n));
  }

 private:
  template <class V>
  static V first(const V& v, Index n) {
    return Kokkos::subview(v, Kokkos::make_pair(Index{0}, n));
  }
  /// On a device build the device copies to and from the twin by itself, and rows that travel are staged in it.
  void follow() {
    const auto n = room_.view().extent(0);
    if (host_.extent(0) == n) return;
    staging_.reset();
    const auto bytes = static_cast<Index>(n * sizeof(T));
    if (!on_host && n > 0) staging_ = travels_ ? make_staging_room(label_, bytes) : make_locked_room(label_, bytes);
    host_ = staging_ ? typename Vector<T>::HostMirror(static_cast<T*>(staging_.get()), n)
                     : Kokkos::create_mirror_view(Kokkos::WithoutInitializing, room_.view());
  }
  Room<T> room_;
  const char* label_ = "tensor::staged";
  bool travels_ = false;
  std::shared_ptr<void> staging_;  // where the twin is, if there is a device apart
  typename Vector<T>::HostMirror host_;
};

}  // namespace switchyard
