// The benchmarks of exchanges as a user meets them: rows that are counted are those of the closed forms, and every way
// of a message is timed.
#include <cmath>
#include <set>

#include "support/json_lines.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class BenchExchange : public Program {
 protected:
  std::vector<nlohmann::json> lines(const std::string& file) const { return test::json_lines(read(folder_ / file)); }
};

// E = 16, k = 4: of 2 and 4 nodes, with limits where they mean something; 4096 tokens, so that chance is well below 2
// %.
TEST_F(BenchExchange, RowsAreThoseOfTheClosedForms) {
  const Output o = run("bench exchange --experts 16 --top-k 4 --limits 2,3 --tokens 1024 --width 4 --json e.json", 4);
  ASSERT_EQ(o.code, 0) << o.err;
  const auto all = lines("e.json");
  EXPECT_EQ(all.size(), 4u * 3u + 2u) << "2 nodes, 4 nodes and two limits of them, each in three ways, 2 nodes in five";
  for (const auto& line : all) {
    for (int journey = 0; journey < 4; ++journey) {
      const double form = line.at("closed_form")[journey];
      EXPECT_NEAR(line.at("rows")[journey].get<double>(), form, 0.02 * form) << line;
    }
    const double inside = line.at("closed_form_inside");
    EXPECT_NEAR(line.at("inside").get<double>(), inside, 0.05 * inside) << line;  // of straight rows there are few
  }
  // By hand: (M - 1) (1 - C(E - E/M, k) / C(E, k)), and k (M - 1) / M straight.
  const double missed = 8.0 * 7 * 6 * 5 / (16.0 * 15 * 14 * 13);
  EXPECT_DOUBLE_EQ(all[0].at("closed_form")[0], 2.0);
  EXPECT_DOUBLE_EQ(all[1].at("closed_form")[0], 1.0 - missed);
  EXPECT_DOUBLE_EQ(all[1].at("closed_form")[1], 2.0) << "home without sums";
  EXPECT_DOUBLE_EQ(all[2].at("closed_form")[1], 1.0 - missed);
  EXPECT_EQ(all[3].at("way"), "gathered");
  EXPECT_DOUBLE_EQ(all[2].at("closed_form_inside"), 2.0) << "a row a choice, half of them to the other rank";
  EXPECT_DOUBLE_EQ(all[3].at("closed_form_inside"), 2.0 * (1.0 - 12.0 * 11 * 10 * 9 / (16.0 * 15 * 14 * 13)));
}

TEST_F(BenchExchange, EveryWayOfAMessageIsTimed) {
  const Output o = run("bench exchange --transport mpi,window --sizes 4096 65536 --rounds 3 --json t.json", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  const auto all = lines("t.json");
  std::set<std::string> ways;
  for (const auto& line : all) {
    ways.insert(line.at("way"));
    EXPECT_GT(line.at("us").get<double>(), 0.0) << line;
    EXPECT_LE(line.at("us_least"), line.at("us")) << line;
  }
  EXPECT_EQ(all.size(), 2u * ways.size());
  EXPECT_EQ(ways, (std::set<std::string>{"alltoallv", "pairwise, mpi", "pairwise, window", "broadcast"}));
  EXPECT_EQ(run("bench exchange --transport mpi --sizes 100 --rounds 3", 2).code, 2) << "no whole rows";
}

}  // namespace
}  // namespace switchyard
