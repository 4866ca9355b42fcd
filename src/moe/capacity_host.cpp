// The heaviest choices of a group on a host: a selection in linear time.
#include <algorithm>

#include "moe/capacity.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::moe {

void keep_heaviest(const Queue& queue, std::int64_t rows, const Cut& cut, const ChoiceGroups& groups,
                   const Choice& choice) {
  const Index experts = groups.first.extent(1);
  // A token chooses an expert once, so the order of choices is the order of tokens; keys order NaN too.
  const auto heavier = [=](std::int32_t a, std::int32_t b) {
    const std::int32_t x = ordered_bits(choice.weight(a)), y = ordered_bits(choice.weight(b));
    return x != y ? x > y : a < b;
  };
  Kokkos::parallel_for("switchyard::moe::capacity::keep_heaviest", queue.range(cut.pieces * experts), [=](Index it) {
    const Index piece = it / experts, e = it % experts, n = groups.count(piece, e);
    std::int32_t *begin = groups.member.data() + groups.first(piece, e), *end = begin + n;
    std::int32_t* past = begin + std::min<Index>(rows, n);
    if (past != end) std::nth_element(begin, past, end, heavier);
    std::for_each(begin, past, [&](std::int32_t i) { choice.kept(i) = 1; });
    std::for_each(past, end, [&](std::int32_t i) { choice.kept(i) = 0; });
  });
}

}  // namespace switchyard::moe
