// A config.yaml that lost its end is not filled with defaults.
#include "record/kept_config.hpp"

#include <gtest/gtest.h>

#include "base/check.hpp"
#include "base/files.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;

bool is_whole(RunFolder& run, const std::string& path, const std::string& text) try {
  run.write("config.yaml", text);
  return read_config(path) == text;
} catch (const Error& e) {
  EXPECT_EQ(e.code(), Exit::corrupt);
  return false;
}

TEST(KeptConfig, EveryCutIsSeen) {
  const Folder run;
  RunFolder folder(run.path());
  fixtures::write_segment(folder, fixtures::small_config(), 1, 3, 1);
  const std::string text = dump(fixtures::small_config(), {}) + config_end;
  for (const char* after : {"", "\n", "\r\n", "  \n\n"}) EXPECT_TRUE(is_whole(folder, run.path(), text + after));
  for (std::size_t length = 0; length + 1 < text.size(); ++length)
    if (length < 40 || length > text.size() - 80 || length % 97 == 0) {
      EXPECT_FALSE(is_whole(folder, run.path(), text.substr(0, length))) << length;
    }
  EXPECT_FALSE(is_whole(folder, run.path(), text.substr(0, text.size() - 30) + "x: 1 # end of config.yaml"));
  folder.write("config.yaml", text.substr(0, text.size() / 2));
  try {
    read_config(run.path());
    ADD_FAILURE() << "a cut file was read";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("segments/000/run.h5"), std::string::npos) << e.what();
  }
}

TEST(KeptConfig, EarlierProgramsWroteNoEnd) {
  const Folder run;
  RunFolder folder(run.path());
  const std::string text = dump(fixtures::small_config(), {}), segment = folder.start_segment();
  EXPECT_FALSE(is_whole(folder, run.path(), text));  // nothing tells of an earlier program
  RunFile(segment + "/run.h5", fixtures::small_config(), 1, text, "{}", 0).close();
  EXPECT_TRUE(is_whole(folder, run.path(), text));
}

}  // namespace
