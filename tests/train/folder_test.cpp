// links: train
// Folders in which other things lie: a new run takes none of them, a begun one is not blocked by odd ones, and one that
// is being written can be read.
#include <sys/stat.h>

#include <functional>

#include "support/program.hpp"

namespace switchyard {
namespace {

class Folders : public Program {
 protected:
  std::string names(const std::string& folder) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / folder)) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    std::string text;
    for (const std::string& name : found) text += name + "\n";
    return text;
  }
};

TEST_F(Folders, ANewRunWantsAnEmptyOne) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  write("sweep.yaml", "configuration: tiny.yaml\nexperts: [2]\ntop_k: [1]\n");
  fs::create_directory(folder_ / "rest");
  fs::copy(folder_ / "r/checkpoints", folder_ / "rest/checkpoints", fs::copy_options::recursive);
  fs::create_directory(folder_ / "linked");
  fs::create_symlink("a.txt", folder_ / "linked/lock");
  for (const auto& [arguments, folder, message] :
       {std::tuple("train tiny.yaml --run rest", "rest", "holds a run already (it has checkpoints)"),
        std::tuple("train tiny.yaml --run corpus", "corpus", "corpus is not empty (it has manifest.json)"),
        std::tuple("train tiny.yaml --run linked", "linked", "linked is not empty (it has lock)"),
        std::tuple("sweep run sweep.yaml --out r", "r", "r is not empty (it has checkpoints)"),
        std::tuple("sweep run sweep.yaml --out corpus", "corpus", "corpus is not empty (it has manifest.json)")}) {
    const std::string before = names(folder);
    const Output o = run(arguments);
    EXPECT_EQ(o.code, 2) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
    EXPECT_EQ(names(folder), before) << arguments;
  }
  fs::create_directories(folder_ / "new/segments");
  write("new/lock", ""), write("new/.note", "of a file manager");
  EXPECT_EQ(run("train tiny.yaml --run new").code, 0);
}

// What cannot be a file of ours is damage: the checkpoint before is taken, a record file is set aside.
TEST_F(Folders, OddThingsDoNotBlockARun) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run whole").code, 0);
  const std::string newest = "r/checkpoints/step-00000004", older = "r/checkpoints/step-00000002";
  const auto folder = [this](const std::string& path) { fs::create_directory(folder_ / path); };
  const auto fifo = [this](const std::string& path) { ASSERT_EQ(mkfifo((folder_ / path).c_str(), 0600), 0); };
  const auto self = [this](const std::string& path) { fs::create_symlink(folder_ / path, folder_ / path); };
  const auto zero = [this](const std::string& path) { fs::create_symlink("/dev/zero", folder_ / path); };
  using Make = std::function<void(const std::string&)>;
  for (const auto& [path, make] : {std::pair<std::string, Make>(newest + "/dense.h5", folder),
                                   {newest + "/state.json", fifo},
                                   {newest + "/manifest.json", zero},
                                   {older + "/manifest.json", self},
                                   {older, self},
                                   {newest, self},
                                   {"r/segments/000/run.h5", fifo},
                                   {"r/segments/000/evaluation.h5", folder},
                                   {"r/segments/000/tokens.r0000.h5", self}}) {
    fs::copy(folder_ / "whole", folder_ / "r", fs::copy_options::recursive);
    fs::remove_all(folder_ / path);
    make(path);
    Output o = run("generate r --prompt l --tokens 1");
    EXPECT_EQ(o.code, 0) << path << ": " << o.err;
    o = run("resume r train.steps=6");
    EXPECT_EQ(o.code, 0) << path << ": " << o.err;
    EXPECT_TRUE(fs::exists(folder_ / "r/checkpoints/step-00000006/manifest.json")) << path;
    fs::remove_all(folder_ / "r");
  }
}

// Checkpoints come and go, chunks are half written: that is no damage.
TEST_F(Folders, AWorkingRunIsSound) {
  make_tiny();
  const std::string verify = "env -i " + binary_.string() + " verify $what >/dev/null 2>>said || echo $what $? >>bad";
  const Output o =
      run("train tiny.yaml --run r train.steps=1000000 train.checkpoint_every=10 model.width=128 model.hidden=512", 0,
          from_step_10("for what in r r 'r --digest' 'r --digest' r r 'r --digest' r/segments/000/run.h5; do " +
                       verify + "; done; kill -TERM $job"));
  EXPECT_EQ(o.code, 75) << o.err;
  EXPECT_FALSE(fs::exists(folder_ / "bad")) << read(folder_ / "bad") << read(folder_ / "said");
}

}  // namespace
}  // namespace switchyard
