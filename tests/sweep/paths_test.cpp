// Paths that tasks of a sweep are given, wherever they start.
#include "sweep/paths.hpp"

#include <gtest/gtest.h>

#include <filesystem>

namespace switchyard::sweep {
namespace {

TEST(Paths, OfCorpusPlacementAndMachineBecomeAbsolute) {
  const std::string here = std::filesystem::current_path().string();
  std::vector<std::string> overrides{"data.path=a/../corpus", "layout.placement=p.yaml", "moe.top_k=2",
                                     "layout.exchange=node", "layout.machine=m.yaml"};
  make_absolute(overrides);
  EXPECT_EQ(overrides,
            (std::vector<std::string>{"data.path=" + here + "/corpus", "layout.placement=" + here + "/p.yaml",
                                      "moe.top_k=2", "layout.exchange=node", "layout.machine=" + here + "/m.yaml"}));
  std::vector<std::string> others{"layout.placement=contiguous", "layout.machine=", "data.path=", "data.path=/corpus"};
  const std::vector<std::string> before = others;
  make_absolute(others);
  EXPECT_EQ(others, before);
}

}  // namespace
}  // namespace switchyard::sweep
