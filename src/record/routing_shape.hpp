// Shape of the routing variables of run.h5, checked: what the laws index with.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "record/record_reader.hpp"

namespace switchyard::record {

struct RoutingShape {
  std::int64_t layers, experts, step_tokens, choices;
  std::vector<std::int32_t> layer_experts;  ///< (layers) each within `experts`

  /// Throws Error{corrupt} where a layer has more experts than the file has room for.
  explicit RoutingShape(const RecordReader& file)
      : layers(file.length("layer")),
        experts(file.length("expert")),
        step_tokens(file.attribute("step_tokens")),
        choices(file.attribute("top_k")) {
    if (layers > 0) layer_experts = file.read<std::int32_t>("experts", 0, layers);
    for (const std::int32_t e : layer_experts)
      check(0 < e && e <= experts, Exit::corrupt,
            file.path() + " is damaged (a layer has " + std::to_string(e) + " experts of " + std::to_string(experts) +
                ")");
  }
  /// Throws Error{corrupt} where a file of the same segment has other layers.
  void check_same(const RecordReader& file) const {
    check(file.length("layer") == layers && (layers == 0 || file.length("choice") > 0), Exit::corrupt,
          file.path() + " has other layers than the run.h5 beside it");
  }
};

}  // namespace switchyard::record
