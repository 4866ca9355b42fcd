// From text to a corpus and back: splits, domains, the same bytes twice, and every bad input named with its offset.
#include "data/build.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <set>
#include <utility>

#include "base/files.hpp"
#include "data/check.hpp"
#include "data/corpus.hpp"
#include "data/documents.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

TEST(Build, EveryDocumentIsInOneSplitAndComesBack) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 30));
  std::multiset<std::string> written;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder / "text"))
    if (file.is_regular_file()) written.insert(read_file(file.path().string()));
  EXPECT_EQ(texts_of(corpus), written);
  EXPECT_EQ(corpus.vocabulary(), 257);
  EXPECT_EQ(corpus.domains(), (std::vector<std::string>{"code", "prose"}));
  EXPECT_GE(corpus.documents(Split::validation).size(), 1u);
  EXPECT_GE(corpus.documents(Split::train).size(), 15u);
  EXPECT_TRUE(check_corpus(folder / "corpus").empty());
  EXPECT_EQ(corpus.decode(corpus.encode("ünïcode\n")), "ünïcode\n");
}

TEST(Build, TheSameTextGivesTheSameBytes) {
  const TestFolder one, two_base;
  const std::string first = small_corpus(one, 20);
  BuildOptions options;
  options.inputs = {one / "text"};
  options.out = two_base / "again";
  options.validation_share = 0.2;
  build_corpus(options);
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(first)) {
    EXPECT_EQ(read_file(file.path().string()), read_file(options.out + "/" + file.path().filename().string()));
    ++files;
  }
  EXPECT_EQ(files, 5);  // manifest, two shards, two document tables
  EXPECT_EQ(Corpus::open(first).manifest_sha256(), Corpus::open(options.out).manifest_sha256());
}

TEST(Build, RefusesWhatCannotBecomeACorpus) {
  const TestFolder folder;
  write_file(folder / "one.txt", "alone");
  EXPECT_EQ(build_error(folder, {folder / "one.txt"}).rfind("2: ", 0), 0u);
  std::filesystem::create_directories(folder / "nothing");
  EXPECT_EQ(build_error(folder, {folder / "nothing"}).rfind("2: ", 0), 0u);
  const std::string standing = small_corpus(folder, 5), manifest = read_file(standing + "/manifest.json");
  BuildOptions options;
  options.inputs = {folder / "text"};
  options.out = standing;
  EXPECT_EQ(error_of([&] { build_corpus(options); }).rfind("2: " + standing, 0), 0u);
  EXPECT_EQ(read_file(standing + "/manifest.json"), manifest);
}

TEST(Build, AFolderThatCannotBeMadeIsNamed) {
  const TestFolder folder;
  small_corpus(folder, 5);
  write_file(folder / "file", "text");
  BuildOptions options;
  options.inputs = {folder / "text"};
  options.out = folder / "file/corpus";
  const std::string error = error_of([&] { build_corpus(options); });
  EXPECT_EQ(error.rfind("2: cannot ", 0), 0u) << error;
  EXPECT_NE(error.find(folder / "file/"), std::string::npos) << error;
}

TEST(Build, AFailedTokenizerLeavesNothing) {
  const TestFolder folder;
  small_corpus(folder, 5);
  for (const char* tokenizer : {"neither", "bpe"}) {
    BuildOptions options;
    options.inputs = {folder / "text"};
    options.out = folder / "other";
    options.tokenizer = tokenizer;
    options.vocabulary = 1 << 20;  // more pieces than there is text
    EXPECT_NE(error_of([&] { build_corpus(options); }), "") << tokenizer;
    EXPECT_EQ(names_of(folder.path()), (std::vector<std::string>{"corpus", "text"})) << tokenizer;
  }
}

TEST(Build, TakesAFolderWithASlash) {
  const TestFolder folder;
  write_file(folder / "in/a.txt", "a");
  write_file(folder / "in/b.txt", "b");
  BuildOptions options;
  options.inputs = {folder / "in/"};
  options.out = folder / "corpus/";
  build_corpus(options);
  EXPECT_EQ(Corpus::open(folder / "corpus").domains(), std::vector<std::string>{"in"});
}

/// Exit code of `work` in a child.
int child(const std::function<void()>& work) {
  const pid_t pid = fork();
  if (pid == 0) {
    const std::string error = error_of(work);
    ::_exit(error.empty() ? 0 : std::stoi(error));
  }
  return static_cast<int>(pid);
}

int code_of(int pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Build, OfTwoToOneFolderOneSaysThatItIsInUse) {
  const TestFolder folder;
  write_file(folder / "c.tmp", "mine"), write_file(folder / "c.lock", "mine too");
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += "{\"text\": \"line " + std::to_string(i) + "\"}\n";
  write_file(folder / "a.jsonl", lines);
  BuildOptions options;
  options.inputs = {folder / "a.jsonl"};
  options.out = folder / "c";
  int first[2], second[2];
  ASSERT_EQ(pipe(first) + pipe(second), 0);
  BuildOptions slow = options;  // is at work until the other has ended
  slow.say = [&, told = false](const std::string&) mutable {
    char byte = 0;
    if (std::exchange(told, true)) return;
    EXPECT_EQ(write(first[1], "x", 1) + read(second[0], &byte, 1), 2);
  };
  const int one = child([&] { build_corpus(slow); });
  char byte = 0;
  ASSERT_EQ(read(first[0], &byte, 1), 1);
  EXPECT_EQ(code_of(child([&] { build_corpus(options); })), static_cast<int>(Exit::busy));
  ASSERT_EQ(write(second[1], "x", 1), 1);
  EXPECT_EQ(code_of(one), 0);
  EXPECT_TRUE(check_corpus(options.out).empty());
  EXPECT_EQ(read_file(folder / "c.tmp") + read_file(folder / "c.lock"), "minemine too");
  EXPECT_EQ(names_of(folder.path()), (std::vector<std::string>{"a.jsonl", "c", "c.lock", "c.tmp"}));
}

TEST(Build, WithoutSpaceNothingIsLeft) {
  const TestFolder folder;
  write_file(folder / "a.txt", std::string(100000, 'a')), write_file(folder / "b.txt", "b");
  BuildOptions options;
  options.inputs = {folder / "a.txt", folder / "b.txt"};
  options.out = folder / "above/c";
  EXPECT_EQ(code_of(child([&] {
              std::signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{50000, 50000};
              setrlimit(RLIMIT_FSIZE, &limit);
              const std::string error = error_of([&] { build_corpus(options); });
              EXPECT_NE(error.find("free some space"), std::string::npos) << error;
              EXPECT_EQ(error.find("resume"), std::string::npos) << error;
              if (testing::Test::HasFailure()) ::_exit(1);
              throw Error(error.rfind("5: ", 0) == 0 ? Exit::storage : Exit::internal, error);
            })),
            static_cast<int>(Exit::storage));
  EXPECT_EQ(names_of(folder.path()), (std::vector<std::string>{"a.txt", "b.txt"}));
}

}  // namespace
}  // namespace switchyard::data
