// The memory of a rank, asked for piece by piece and made at once: the same code says how much there will be and hands
// it out, so that a prediction cannot forget a buffer.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/tensor.hpp"

namespace switchyard {

/// What a piece of memory is for.
enum class Account { parameters, moments, gradients, activations, expert_rows, exchange, scratch, count };

/// Hands out pieces, uninitialised. It measures until place(): what is to have memory is made once to be measured, and
/// again with memory; pieces must be the same both times.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;
  /// Allocates what was measured under `label`; from here on pieces have memory.
  void place(const char* label);
  bool places() const { return places_; }

  /// (n) and (rows, columns).
  template <class T>
  Vector<T> vector(Index n, Account account = Account::activations) {
    return Vector<T>(take<T>(n, account), n);
  }
  template <class T>
  Matrix<T> matrix(Index rows, Index columns, Account account = Account::activations) {
    return Matrix<T>(take<T>(rows * columns, account), rows, columns);
  }
  Tensor tensor(Element element, Index rows, Index width, Account account = Account::activations) {
    return {take_bytes(rows * width * bytes_of(element), account), element, rows, width};
  }
  /// Counts memory that is allocated elsewhere; what another arena has measured.
  void add(std::int64_t bytes, Account account);
  void add_all(const Arena& other) {
    for (int a = 0; a < static_cast<int>(Account::count); ++a)
      add(other.bytes(static_cast<Account>(a)), static_cast<Account>(a));
  }

  /// A place to go back to: pieces taken after it share their memory with those taken after rewind(), since no two of
  /// the stages that use them are at work at the same time.
  struct Mark {
    std::int64_t used = 0;
    std::array<std::int64_t, static_cast<std::size_t>(Account::count)> of{};
  };
  const Mark& mark() const { return now_; }
  void rewind(const Mark& mark) { now_ = mark; }
  /// Where pieces taken after rewind() share memory neither with those before `a` nor with those before `b`.
  static Mark past_both(const Mark& a, const Mark& b);
  /// What take() takes counts as `account`, whatever it asks for.
  template <class F>
  void count_as(Account account, const F& take) {
    all_as_ = account;
    take();
    all_as_.reset();
  }

  /// Most bytes that were in use at once; of one account, of the allocation alone (the high-water mark in the log).
  std::int64_t bytes(Account account) const { return peak_.of[static_cast<std::size_t>(account)]; }
  std::int64_t placed_bytes() const { return peak_.used; }

 private:
  static constexpr std::int64_t alignment = 256;
  template <class T>
  T* take(Index n, Account account) {
    return reinterpret_cast<T*>(take_bytes(n * static_cast<std::int64_t>(sizeof(T)), account));
  }
  std::byte* take_bytes(std::int64_t bytes, Account account);

  bool places_ = false;
  std::optional<Account> all_as_;
  Mark now_, peak_;
  Vector<std::byte> memory_;
};

/// A P in memory of its own: P(arena, arguments...) is made to be measured, then with memory.
template <class P>
class Placed {
 public:
  template <class... A>
  explicit Placed(const char* label, A&&... arguments)
      : arena_(measured(label, arguments...)), object_(arena_, arguments...) {}
  P& operator*() { return object_; }
  const P& operator*() const { return object_; }
  P* operator->() { return &object_; }
  const P* operator->() const { return &object_; }
  const Arena& arena() const { return arena_; }

 private:
  template <class... A>
  static Arena measured(const char* label, A&&... arguments) {
    Arena arena;
    { const P unplaced(arena, arguments...); }
    arena.place(label);
    return arena;
  }
  Arena arena_;
  P object_;
};

}  // namespace switchyard
