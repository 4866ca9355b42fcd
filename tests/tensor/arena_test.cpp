// Pieces of an arena lie beside each other unless a rewind lets them share, and never beyond what was measured.
#include "tensor/arena.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "support/queue.hpp"
#include "tensor/room.hpp"

namespace switchyard {
namespace {

/// Two pieces that stay and two stages whose pieces share memory.
struct Pieces {
  Pieces(Arena& arena, Index n)
      : first(arena.matrix<float>(n, 3)), second(arena.vector<std::int32_t>(n + 1, Account::gradients)) {
    const Arena::Mark mark = arena.mark();
    one = arena.vector<double>(100, Account::scratch);
    arena.rewind(mark);
    other = arena.vector<double>(7, Account::scratch);
  }
  Matrix<float> first;
  Vector<std::int32_t> second;
  Vector<double> one, other;
};

std::uintptr_t at(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

TEST(Arena, MeasuresWhatItPlaces) {
  Arena arena;
  const Pieces measured(arena, 5);
  EXPECT_EQ(measured.first.data(), nullptr);
  EXPECT_EQ(measured.first.extent(0), 5u);
  EXPECT_EQ(measured.first.extent(1), 3u);
  EXPECT_EQ(arena.bytes(Account::activations), 256) << "15 floats, whole pieces of 256 bytes";
  EXPECT_EQ(arena.bytes(Account::gradients), 256);
  EXPECT_EQ(arena.bytes(Account::scratch), 1024) << "100 doubles, the larger of both stages";
  EXPECT_EQ(arena.bytes(Account::exchange), 0);
  EXPECT_EQ(arena.placed_bytes(), 256 + 256 + 1024);
  arena.place("test::arena");
  const Pieces placed(arena, 5);
  EXPECT_EQ(arena.placed_bytes(), 256 + 256 + 1024);
  EXPECT_EQ(at(placed.second.data()) - at(placed.first.data()), 256u);
  EXPECT_EQ(at(placed.one.data()) - at(placed.second.data()), 256u);
  EXPECT_EQ(placed.one.data(), placed.other.data());
  EXPECT_EQ(at(placed.first.data()) % 64, 0u);
}

TEST(Arena, RefusesPiecesThatWereNotMeasured) {
  Arena arena;
  const Pieces measured(arena, 5);
  arena.place("test::arena");
  EXPECT_ANY_THROW(Pieces(arena, 500));
  EXPECT_ANY_THROW(arena.place("test::arena"));
}

/// Two ways to use one memory, and what lies past both.
struct Either {
  explicit Either(Arena& arena) {
    const Arena::Mark begin = arena.mark();
    one = arena.vector<float>(300, Account::scratch);
    const Arena::Mark end = arena.mark();
    arena.rewind(begin);
    arena.count_as(Account::scratch, [&] { two = arena.vector<float>(100), more = arena.matrix<float>(10, 5); });
    arena.rewind(Arena::past_both(end, arena.mark()));
    last = arena.vector<float>(20);
  }
  Vector<float> one, two, last;
  Matrix<float> more;
};

TEST(Arena, GoesOnPastBothOfTwoThatShareMemory) {
  const Placed<Either> of("test::arena");
  EXPECT_EQ(of->one.data(), of->two.data());
  EXPECT_EQ(of->last.data(), of->one.data() + 320);  // pieces are multiples of 256 bytes
  EXPECT_GE(of->last.data(), of->more.data() + of->more.size());
  EXPECT_EQ(of.arena().bytes(Account::scratch), 320 * 4);
  EXPECT_EQ(of.arena().bytes(Account::activations), 64 * 4) << "what is counted as scratch is that alone";
  EXPECT_EQ(of.arena().placed_bytes(), 384 * 4);
}

TEST(Arena, PlacesAWholeObject) {
  Placed<Pieces> pieces("test::pieces", Index{70});
  Kokkos::deep_copy(pieces->first, 1.0f);
  Kokkos::deep_copy(pieces->second, 2);
  Kokkos::deep_copy(pieces->one, 3.0);
  for (const float v : host_values(pieces->first)) EXPECT_EQ(v, 1.0f);
  for (const std::int32_t v : host_values(pieces->second)) EXPECT_EQ(v, 2);
}

TEST(Room, GrowsByAnEighthMoreThanIsAskedFor) {
  Arena arena;
  Room<float> room(arena, "test::room", Account::exchange, 16);
  EXPECT_EQ(room.data(), nullptr) << "an arena that measures gives none";
  EXPECT_EQ(arena.bytes(Account::exchange), on_host ? 64 : 68) << "a device has the sixteenth more at once";
  EXPECT_EQ(arena.placed_bytes(), 0) << "it is an allocation of its own";
  arena.place("test::arena");
  room = Room<float>(arena, "test::room", Account::exchange, 16);
  const float* before = room.data();
  room.reserve(16);
  EXPECT_EQ(room.data(), before);
  room.reserve(80);
  EXPECT_EQ(room.view().extent(0), 90u);
  before = room.data();
  room.reserve(90);
  EXPECT_EQ(room.data(), before);
}

// What all hold now, and at most: while rows move to larger memory they are in both.
TEST(Room, IsCountedWhileItLives) {
  const std::int64_t before = RoomBytes::now();
  {
    Arena arena;
    arena.place("test::arena");
    Room<float> room(arena, "test::room", Account::scratch, 1 << 20), other;
    EXPECT_EQ(RoomBytes::now() - before, 4 << 20);
    room.reserve(1 << 21);
    EXPECT_EQ(RoomBytes::now() - before, 9 << 20) << "an eighth more than is asked for";
    EXPECT_GE(RoomBytes::most() - before, 9 << 20);
    room.reserve(1 << 22, 1 << 20);
    EXPECT_EQ(RoomBytes::now() - before, 18 << 20);
    EXPECT_GE(RoomBytes::most() - before, 27 << 20);
    other = std::move(room);
    EXPECT_EQ(RoomBytes::now() - before, 18 << 20);
  }
  EXPECT_EQ(RoomBytes::now(), before);
}

TEST(Staged, HasATwinOnTheHostOfItsSize) {
  Staged<std::int32_t> staged;
  for (const Index n : {3, 1000}) {
    staged.reserve(n);
    for (Index i = 0; i < n; ++i) staged.host()[i] = static_cast<std::int32_t>(7 * i);
    staged.to_device(test::queue(), n);
    const auto got = host_values(Vector<std::int32_t>(staged.device(), n));
    for (Index i = 0; i < n; ++i) ASSERT_EQ(got[i], 7 * i);
  }
}

}  // namespace
}  // namespace switchyard
