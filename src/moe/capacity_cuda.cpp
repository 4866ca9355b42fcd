// The heaviest choices of a group on a GPU: every choice counts those of its group that come before it.
#include "moe/capacity.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::moe {
namespace {

/// How many of n members are heavier than choice i, or as heavy and of an earlier token; keys order NaN too.
KOKKOS_INLINE_FUNCTION Index before(const Choice& choice, const std::int32_t* member, Index n, std::int32_t i) {
  const std::int32_t key = ordered_bits(choice.weight(i));
  Index count = 0;
  for (Index m = 0; m < n; ++m) {
    const std::int32_t other = ordered_bits(choice.weight(member[m]));
    count += other > key || (other == key && member[m] < i);
  }
  return count;
}

struct KeepHeavy {
  Choice choice;
  ChoiceGroups groups;
  Index piece;
  std::int64_t rows;
  KOKKOS_INLINE_FUNCTION void operator()(Index /*token*/, Index i) const {
    const std::int32_t e = choice.expert(i);
    const Index n = groups.count(piece, e);
    const std::int32_t* member = groups.member.data() + groups.first(piece, e);
    choice.kept(i) = n <= rows || before(choice, member, n, static_cast<std::int32_t>(i)) < rows;
  }
};

}  // namespace

void keep_heaviest(const Queue& queue, std::int64_t rows, const Cut& cut, const ChoiceGroups& groups,
                   const Choice& choice) {
  Cut tokens = cut;
  tokens.unit_tokens = 1;
  Kokkos::parallel_for(
      "switchyard::moe::capacity::keep_heaviest", queue.range(tokens.units()), KOKKOS_LAMBDA(Index unit) {
        for_choices(tokens, choice, unit, KeepHeavy{choice, groups, unit / tokens.units_of_piece(), rows});
      });
}

}  // namespace switchyard::moe
