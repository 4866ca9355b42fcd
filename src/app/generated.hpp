// What the commands about generated tokens share.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace switchyard {

/// Samples have three tokens, which the head of a shard counts in an int32.
constexpr std::int64_t max_samples = std::numeric_limits<std::int32_t>::max() / 3;

/// First line of a table, a comment: what made it.
std::string made_by(const std::vector<std::string>& command_line, std::uint64_t seed);

}  // namespace switchyard
