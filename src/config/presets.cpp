#include "config/presets.hpp"

namespace switchyard {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all{
      {"switch",
       "Fedus et al. 2021 (arXiv 2101.03961), section 2.2; the scale of its initial weights (2.4) is not set",
       {{"moe.router", "softmax"},
        {"moe.top_k", "1"},
        {"moe.normalise", "before"},
        {"moe.aux_loss", "0.01"},
        {"moe.capacity_factor", "1.25"},
        {"moe.drop_order", "position"}}},
      {"st-moe",
       "Zoph et al. 2022 (arXiv 2202.08906), sections 3 and 4: two experts, the z-loss beside the auxiliary one",
       {{"moe.router", "softmax"},
        {"moe.top_k", "2"},
        {"moe.normalise", "after"},
        {"moe.aux_loss", "0.01"},
        {"moe.z_loss", "0.001"},
        {"moe.capacity_factor", "1.25"},
        {"moe.drop_order", "position"}}},
      {"mixtral",
       "Jiang et al. 2024 (arXiv 2401.04088), section 2.1; the coefficient is that of its public configuration",
       {{"model.activation", "swiglu"},
        {"moe.experts", "8"},
        {"moe.router", "softmax"},
        {"moe.top_k", "2"},
        {"moe.normalise", "after"},
        {"moe.aux_loss", "0.02"}}},
      {"olmoe",
       "Muennighoff et al. 2024 (arXiv 2409.02060), section 4.1",
       {{"model.activation", "swiglu"},
        {"moe.experts", "64"},
        {"moe.router", "softmax"},
        {"moe.top_k", "8"},
        {"moe.normalise", "before"},
        {"moe.aux_loss", "0.01"},
        {"moe.z_loss", "0.001"}}},
      {"deepseek-v3",
       "DeepSeek-AI 2024 (arXiv 2412.19437), sections 2.1.2 and 4.2: a bias, and a small loss of each sequence",
       {{"model.activation", "swiglu"},
        {"moe.experts", "256"},
        {"moe.first_dense", "3"},
        {"moe.shared_experts", "1"},
        {"moe.router", "sigmoid"},
        {"moe.top_k", "8"},
        {"moe.normalise", "after"},
        {"moe.scale", "2.5"},
        {"moe.groups", "8"},
        {"moe.groups_kept", "4"},
        {"moe.group_score", "top2_sum"},
        {"moe.bias_rule", "sign"},
        {"moe.bias_rate", "0.001"},
        {"moe.aux_loss", "0.0001"},
        {"moe.aux_scope", "sequence"}}},
      {"qwen3",
       "Yang et al. 2025 (arXiv 2505.09388), section 2: loads of the whole batch (Qiu et al. 2025, arXiv 2501.11873)",
       {{"model.activation", "swiglu"},
        {"moe.experts", "128"},
        {"moe.router", "softmax"},
        {"moe.top_k", "8"},
        {"moe.normalise", "after"},
        {"moe.aux_loss", "0.001"},
        {"moe.aux_scope", "batch"}}},
      {"hash",
       "Roller et al. 2021 (arXiv 2106.04426): experts by the token's id, nothing is learned of routing",
       {{"moe.router", "hash"}, {"moe.top_k", "1"}}},
  };
  return all;
}

const Preset* find_preset(const std::string& name) {
  for (const Preset& preset : presets())
    if (preset.name == name) return &preset;
  return nullptr;
}

std::string presets_markdown() {
  std::string text =
      "\n## `preset`: a published recipe\n\n`preset: NAME` at the top of a file, or `preset=NAME` on the command line, "
      "puts these values in the place of the defaults; whatever else is said of them counts, and `show` names where "
      "each value is from.\n\n| preset | values | source |\n|---|---|---|\n";
  for (const Preset& preset : presets()) {
    text += "| `" + preset.name + "` | ";
    for (const auto& [key, value] : preset.values)
      text += (text.ends_with("| ") ? "`" : ", `") + key + "=" + value + "`";
    text += " | " + preset.source + " |\n";
  }
  return text;
}

}  // namespace switchyard
