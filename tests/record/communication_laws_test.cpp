// One law of communication broken at a time, in records that are sound otherwise, changed by HDF5 so that all sums stay
// right.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "edit.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Editor;
using fixtures::Folder;
namespace fs = std::filesystem;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr hsize_t purposes = 11, second = purposes;  // of step 2, row 1

struct Case {
  const char* name;
  std::function<void(const Editor& file)> change;
  std::string words;
};

/// Steps 1 to 12 on two ranks, written once; each case changes a copy.
class CommunicationLaws : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    sound_ = std::make_unique<Folder>();
    RunFolder folder(sound_->path());
    fixtures::write_segment(folder, fixtures::small_config(), 1, 12, 2);
  }
  static void TearDownTestSuite() { sound_.reset(); }

  static std::string problems(const std::function<void(const Editor& file)>& change) {
    const Folder run;
    fs::copy(sound_->path(), run.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    const std::string file = run / "segments/000/run.h5";
    change(Editor(file));
    std::string text = fixtures::joined(verify_path(file).problems);
    const std::string place = run / "segments/000/";
    for (auto at = text.find(place); at != std::string::npos; at = text.find(place)) text.erase(at, place.size());
    return text;
  }
  static void expect(const std::vector<Case>& cases) {
    for (const Case& c : cases) EXPECT_EQ(problems(c.change), c.words) << c.name;
  }

  static std::unique_ptr<Folder> sound_;
};
std::unique_ptr<Folder> CommunicationLaws::sound_;

TEST_F(CommunicationLaws, OfWhatIsSent) {
  const std::string row = "run.h5: row 1: ",
                    part = row + "across_bytes or across_messages are not part of all that is sent\n";
  expect({
      {"sound", [](const Editor&) {}, ""},
      {"more to other nodes than to all", [](const Editor& f) { f.set("across_bytes", second, std::int64_t{101}); },
       part},
      {"below 0", [](const Editor& f) { f.set("across_messages", second, std::int64_t{-1}); }, part},
      {"some of them", [](const Editor& f) { f.set("across_bytes", second, std::int64_t{60}); }, ""},
      {"no message",
       [](const Editor& f) {
         for (const char* name : {"sent_messages", "across_messages"}) f.set(name, second + 6, std::int64_t{0});
       },
       row + "bytes are sent without a message\n"},
      {"other bytes than the plans say", [](const Editor& f) { f.set("sent_bytes", second, std::int64_t{101}); },
       row + "sent_bytes of phase plan sum to 101, phase_bytes are 100\n"},
      {"others that no plan knows", [](const Editor& f) { f.set("sent_bytes", second + 8, std::int64_t{9}); }, ""},
      {"counts beyond all reason",
       [](const Editor& f) { f.set("sent_bytes", second + 6, std::numeric_limits<std::int64_t>::max()); }, part},
  });
}

TEST_F(CommunicationLaws, OfTimes) {
  const std::string row = "run.h5: row 1: ",
                    exposed = row + "communication_exposed is not within 0 and communication_busy\n",
                    hops = row + "hop_p50, hop_p99 and hop_max do not ascend from 0\n",
                    share = row + "hidden_share is not that of communication_busy and communication_exposed\n",
                    of_step = row + "exposed_share is not within 0 and 1\n";
  expect({
      {"more exposed than busy", [](const Editor& f) { f.set("communication_exposed", 1, 0.21); }, exposed},
      {"none", [](const Editor& f) { f.set("communication_busy", 1, nan); }, exposed},
      {"below 0", [](const Editor& f) { f.set("communication_exposed", 1, -1e-12); }, exposed},
      {"another hidden share", [](const Editor& f) { f.set("hidden_share", 1, std::nextafter(0.75, 1.0)); }, share},
      {"more than the step", [](const Editor& f) { f.set("exposed_share", 1, 1.1); }, of_step},
      {"no share", [](const Editor& f) { f.set("exposed_share", 1, nan); }, of_step},
      {"a median above the rest", [](const Editor& f) { f.set("hop_p50", 1, 3e-3); }, hops},
      {"a percentile above the longest", [](const Editor& f) { f.set("hop_max", 1, 1.9e-3); }, hops},
      {"no longest", [](const Editor& f) { f.set("hop_max", 1, nan); }, hops},
      {"below 0", [](const Editor& f) { f.set("hop_p50", 1, -1.0); }, hops},
  });
}

TEST_F(CommunicationLaws, OfTimesByPurpose) {
  constexpr std::size_t reduce = second + 7;
  const std::string row = "run.h5: row 1: ",
                    order = row + "purpose_exposed, purpose_busy and communication_busy do not ascend from 0\n",
                    sums = row + "purpose_busy and purpose_exposed do not sum to those of all communication\n";
  expect({
      {"busy beside others", [](const Editor& f) { f.set("purpose_busy", reduce, 0.2); }, ""},
      {"busier than all", [](const Editor& f) { f.set("purpose_busy", reduce, 0.21); }, order},
      {"not as busy together", [](const Editor& f) { f.set("purpose_busy", reduce, 0.09); }, sums},
      {"less busy than exposed", [](const Editor& f) { f.set("purpose_busy", reduce + 1, 0.01); }, order + sums},
      {"more exposed than all", [](const Editor& f) { f.set("purpose_exposed", reduce, 0.04); }, sums},
      {"below 0",
       [](const Editor& f) { f.set("purpose_exposed", reduce, -0.01), f.set("purpose_exposed", reduce + 1, 0.06); },
       order},
      {"none", [](const Editor& f) { f.set("purpose_exposed", reduce, nan); }, order + sums},
  });
}

TEST_F(CommunicationLaws, OfNames) {
  const std::string hops = "run.h5: hop_task and hop_kind are not the hops of its tasks\n";
  expect({
      {"a purpose of another name", [](const Editor& f) { f.set_text("purpose_name", 8, "norms"); },
       "run.h5: purpose_name has other names than this program\n"},
      {"a hop of another kind", [](const Editor& f) { f.set_text("hop_kind", 1, "near"); }, hops},
      {"a hop of a task that sends nothing", [](const Editor& f) { f.set("hop_task", 2, std::int64_t{0}); }, hops},
  });
}

// Of step 8, the second timeline and the eighth row.
TEST_F(CommunicationLaws, OfHops) {
  constexpr hsize_t hops = 8 + 2, first = hops * 2, of_rank_1 = first + hops;
  const std::string timeline = "run.h5: timeline 1: ",
                    within = timeline + "a hop does not lie within the step of its rank\n";
  expect({
      // four journeys of two mixtures, and two buckets of gradients
      {"nothing that travels",
       [](const Editor& f) {
         for (const char* name : {"hop_start", "hop_end", "hop_waited"}) f.set(name, of_rank_1, 0.0);
       },
       ""},
      {"before the step", [](const Editor& f) { f.set("hop_start", of_rank_1, 0.9e-3); }, within},
      {"after it", [](const Editor& f) { f.set("hop_end", first, 1e3); }, within},
      {"an end before its begin", [](const Editor& f) { f.set("hop_end", of_rank_1, 0.5e-3); }, within},
      {"no end", [](const Editor& f) { f.set("hop_end", first, nan); }, within},
      {"waited for longer than it took", [](const Editor& f) { f.set("hop_waited", first, 1.1e-3); }, within},
      {"no wait", [](const Editor& f) { f.set("hop_waited", first, nan); }, within},
      {"bytes below 0", [](const Editor& f) { f.set("hop_bytes", first, std::int64_t{-1}); },
       timeline + "hop_bytes are negative or beyond all reason\n"},
      {"bytes that were not sent", [](const Editor& f) { f.set("hop_bytes", of_rank_1, std::int64_t{7}); },
       timeline + "hop_bytes for dispatch sum to 7, sent_bytes of its step are 0\n"},
  });
}

TEST_F(CommunicationLaws, OfPairs) {
  constexpr hsize_t pairs = 4, timeline_1 = purposes * pairs, traffic = 7 * pairs;
  const std::string timeline = "run.h5: timeline 1: ",
                    wrong = timeline + "pair_bytes are negative, beyond all reason, or of a rank to itself\n",
                    rows = " are not the rows of traffic, of 512 bytes each\n";
  const auto sums = [&](const std::string& unit) {
    return timeline + "pair_" + unit + " do not sum to sent_" + unit + " of the step\n" + timeline + "pair_" + unit +
           " do not sum to across_" + unit + " of the step\n";
  };
  expect({
      {"one more", [](const Editor& f) { f.set("pair_bytes", timeline_1 + 2, std::int64_t{1}); }, sums("bytes")},
      {"a message less", [](const Editor& f) { f.set("pair_messages", timeline_1 + 1, std::int64_t{1}); },
       sums("messages")},
      {"below 0", [](const Editor& f) { f.set("pair_bytes", timeline_1 + 2, std::int64_t{-1}); }, wrong},
      {"to itself", [](const Editor& f) { f.set("pair_bytes", timeline_1 + 3, std::int64_t{1}); }, wrong},
      {"on one node", [](const Editor& f) { f.set("rank_node", 1, std::int64_t{0}); },
       "run.h5: timeline 0: pair_bytes do not sum to across_bytes of the step\n"
       "run.h5: timeline 0: pair_messages do not sum to across_messages of the step\n"
       "run.h5: timeline 1: pair_bytes do not sum to across_bytes of the step\n"
       "run.h5: timeline 1: pair_messages do not sum to across_messages of the step\n"
       "run.h5: timeline 2: pair_bytes do not sum to across_bytes of the step\n"
       "run.h5: timeline 2: pair_messages do not sum to across_messages of the step\n"},
      {"rows that did not travel",
       [](const Editor& f) {
         const std::int64_t kept = 2 * 64 - 2;  // of step 8
         f.set("traffic", traffic, kept - 1), f.set("traffic", traffic + 1, std::int64_t{1});
       },
       timeline + "pair_bytes for dispatch" + rows + timeline + "pair_bytes for combine" + rows + timeline +
           "pair_bytes for combine_back" + rows + timeline + "pair_bytes for dispatch_back" + rows},
  });
}

}  // namespace
