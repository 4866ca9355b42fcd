// The Kokkos patterns that the program relies on, on the device of this build: when one of them fails, nothing else
// needs to be looked at.
#include <gtest/gtest.h>

#include "tensor/types.hpp"

namespace switchyard {
namespace {

template <class V>
auto host_copy(const V& v) {
  return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), v);
}

void fill_range(const Vector<float>& v) {
  Kokkos::parallel_for(
      "range", Kokkos::RangePolicy<Device>(0, v.extent(0)),
      KOKKOS_LAMBDA(Index i) { v(i) = static_cast<float>(3 * i); });
}

TEST(KokkosPatterns, Range) {
  for (const Index n : {0, 1, 7, 1000}) {
    const auto v = make_view<Vector<float>>("v", n);
    fill_range(v);
    const auto h = host_copy(v);
    for (Index i = 0; i < n; ++i) EXPECT_EQ(h(i), static_cast<float>(3 * i));
  }
}

void fill_range_of_rank_two(const Matrix<float>& m) {
  using Policy = Kokkos::MDRangePolicy<Device, Kokkos::Rank<2>, Kokkos::IndexType<Index>>;
  const auto rows = static_cast<Index>(m.extent(0)), columns = static_cast<Index>(m.extent(1));
  Kokkos::parallel_for(
      "mdrange", Policy({0, 0}, {rows, columns}),
      KOKKOS_LAMBDA(Index i, Index j) { m(i, j) = static_cast<float>(100 * i + j); });
}

TEST(KokkosPatterns, RangeOfRankTwo) {
  const auto m = make_view<Matrix<float>>("m", 13, 37);
  fill_range_of_rank_two(m);
  const auto h = host_copy(m);
  for (int i = 0; i < 13; ++i)
    for (int j = 0; j < 37; ++j) EXPECT_EQ(h.data()[i * 37 + j], static_cast<float>(100 * i + j));
}

void team_sums(const Matrix<float>& m, const Vector<float>& sums) {
  using Team = Kokkos::TeamPolicy<Device>::member_type;
  const int columns = static_cast<int>(m.extent(1));
  Kokkos::parallel_for(
      "team", Kokkos::TeamPolicy<Device>(static_cast<int>(m.extent(0)), Kokkos::AUTO), KOKKOS_LAMBDA(const Team& team) {
        const int row = team.league_rank();
        float sum = 0.0f;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, columns), [&](int j, float& part) { part += m(row, j); }, sum);
        Kokkos::single(Kokkos::PerTeam(team), [&]() { sums(row) = sum; });
      });
}

TEST(KokkosPatterns, TeamReduction) {
  const auto m = make_view<Matrix<float>>("m", 5, 300);
  const auto sums = make_view<Vector<float>>("sums", 5);
  Kokkos::deep_copy(m, 2.0f);
  team_sums(m, sums);
  const auto h = host_copy(sums);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(h(i), 600.0f);
}

Index count_odd(const Vector<int>& v) {
  Index odd = 0;
  Kokkos::parallel_reduce(
      "reduce", Kokkos::RangePolicy<Device>(0, v.extent(0)), KOKKOS_LAMBDA(Index i, Index & part) { part += v(i) % 2; },
      odd);
  return odd;
}

void fill_index(const Vector<int>& v) {
  Kokkos::parallel_for(
      "index", Kokkos::RangePolicy<Device>(0, v.extent(0)), KOKKOS_LAMBDA(Index i) { v(i) = static_cast<int>(i); });
}

TEST(KokkosPatterns, ReductionOfIntegers) {
  const auto v = make_view<Vector<int>>("v", 10001);
  fill_index(v);
  EXPECT_EQ(count_odd(v), 5000);
}

void exclusive_scan(const Vector<int>& v, const Vector<Index>& offsets) {
  const auto n = static_cast<Index>(v.extent(0));
  Kokkos::parallel_scan(
      "scan", Kokkos::RangePolicy<Device>(0, n), KOKKOS_LAMBDA(Index i, Index & sum, bool final) {
        if (final) offsets(i) = sum;
        sum += v(i);
        if (final && i + 1 == n) offsets(n) = sum;
      });
}

TEST(KokkosPatterns, ScanToOffsets) {
  const auto v = make_view<Vector<int>>("v", 1000);
  const auto offsets = make_view<Vector<Index>>("offsets", 1001);
  fill_index(v);
  exclusive_scan(v, offsets);
  const auto h = host_copy(offsets);
  for (Index i = 0; i <= 1000; ++i) EXPECT_EQ(h(i), i * (i - 1) / 2);
}

/// Larger than the 4 KB that CUDA passes as kernel arguments; Kokkos then goes through constant memory.
struct LargeFunctor {
  float table[1500];
  Vector<float> out;
  KOKKOS_INLINE_FUNCTION void operator()(Index i) const { out(i) = table[i]; }
};

TEST(KokkosPatterns, FunctorOverFourKilobytes) {
  LargeFunctor f{{}, make_view<Vector<float>>("out", 1500)};
  for (int i = 0; i < 1500; ++i) f.table[i] = static_cast<float>(i) / 7;
  Kokkos::parallel_for("large", Kokkos::RangePolicy<Device>(0, 1500), f);
  const auto h = host_copy(f.out);
  for (int i = 0; i < 1500; ++i) EXPECT_EQ(h(i), f.table[i]);
}

TEST(KokkosPatterns, CopiesAndParts) {
  const auto v = make_view<Vector<float>>("v", 100), w = make_view<Vector<float>>("w", 100);
  fill_range(v);
  Kokkos::deep_copy(w, 1.0f);
  Kokkos::deep_copy(Kokkos::subview(w, std::make_pair(10, 20)), Kokkos::subview(v, std::make_pair(30, 40)));
  auto h = host_copy(w);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(h(i), i >= 10 && i < 20 ? static_cast<float>(3 * (i + 20)) : 1.0f);
  const Kokkos::View<float*, Device::memory_space, Kokkos::MemoryUnmanaged> part(v.data() + 50, 5);
  Kokkos::deep_copy(part, -1.0f);
  h = host_copy(v);
  EXPECT_EQ(h(49), 147.0f);
  EXPECT_EQ(h(50), -1.0f);
  EXPECT_EQ(h(55), 165.0f);
}

}  // namespace
}  // namespace switchyard
