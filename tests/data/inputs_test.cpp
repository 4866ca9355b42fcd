// Which files become documents, and every bad place in them named.
#include "data/inputs.hpp"

#include <sys/stat.h>

#include "data/support.hpp"

namespace switchyard::data {
namespace {

TEST(Inputs, ReadsJsonLinesWithDomains) {
  const TestFolder folder;
  write_file(folder / "a.jsonl",
             "{\"text\": \"one\\n\", \"domain\": \"x\"}\n\n{\"text\": \"two\"}\n{\"text\": \"three\"}");
  BuildOptions options;
  options.inputs = {folder / "a.jsonl"};
  options.out = folder / "corpus";
  const BuildReport report = build_corpus(options);
  EXPECT_EQ(report.documents, 3);
  EXPECT_EQ(report.bytes, 12);
  const Corpus corpus = Corpus::open(options.out);
  EXPECT_EQ(texts_of(corpus), (std::multiset<std::string>{"one\n", "three", "two"}));
  EXPECT_EQ(corpus.domains(), (std::vector<std::string>{"x", "a"}));
  EXPECT_EQ(corpus.documents(Split::validation).size(), 1u);  // at least one, whatever the share
}

TEST(Inputs, NamesEveryBadInputWithItsOffset) {
  const TestFolder folder;
  write_file(folder / "in/bad.txt", "good\xff");
  write_file(folder / "in/empty.txt", "");
  write_file(folder / "in/cut.txt", "euro \xe2\x82");
  write_file(folder / "in/json.jsonl",
             "{\"text\": \"fine\"}\n{\"text\": 3}\n{broken\n{\"other\": 1}\n{\"text\": \"\"}\n"
             "{\"text\": \"fine\", \"domain\": 4}\n");
  write_file(folder / "in/raw.jsonl", "{\"text\": \"fine\"}\n{\"text\": \"\xc0\x80\"}\n");
  write_file(folder / "in/blank.jsonl", "\n  \r\n");
  const std::string error = build_error(folder, {folder / "in", folder / "missing"});
  EXPECT_EQ(error.rfind("2: ", 0), 0u) << error;
  const std::string not_utf8 = "not UTF-8; convert it or leave it out", no_text = "holds no text; leave it out";
  for (const std::string& part :
       {"in/bad.txt: byte 4: " + not_utf8, "in/empty.txt: byte 0: " + no_text, "in/blank.jsonl: byte 0: " + no_text,
        "in/cut.txt: byte 5: " + not_utf8, std::string("in/json.jsonl: byte 17: "),
        std::string("in/json.jsonl: byte 29: "), std::string("in/json.jsonl: byte 37: "),
        "in/json.jsonl: byte 50: line 5: " + no_text, std::string("in/json.jsonl: byte 63: line 6: 'domain'"),
        "in/raw.jsonl: byte 27: line 2: " + not_utf8, std::string("missing")})
    EXPECT_NE(error.find(part), std::string::npos) << part << "\n" << error;
}

/// What a folder gives by default, with an ending asked for, and as a whole.
TEST(Inputs, TakesOfAFolderWhatIsAskedForAndSaysSo) {
  const TestFolder folder;
  for (const char* name : {"a.txt", "B.TXT", "e.txt~", "d.csv", "b.json", ".hidden.txt", ".git/config.txt", "none"})
    write_file(folder / (std::string("in/") + name), name);
  for (const char* name : {"c.JSONL", "n.ndjson"})
    write_file(folder / (std::string("in/") + name), std::string("{\"text\": \"") + name + "\"}\n");
  std::filesystem::create_symlink(folder / "in/a.txt", folder / "in/link.txt");
  std::filesystem::create_hard_link(folder / "in/d.csv", folder / "in/x.csv");
  ASSERT_EQ(::mkfifo((folder / "in/pipe.txt").c_str(), 0600), 0);
  std::vector<std::string> said;
  const auto build = [&](const std::vector<std::string>& endings, bool all) {
    said.clear();
    std::filesystem::remove_all(folder / "corpus");
    BuildOptions options;
    options.inputs = {folder / "in", folder / "in/./a.txt"};
    options.endings = endings, options.all = all;
    options.out = folder / "corpus";
    options.say = [&](const std::string& line) { said.push_back(line); };
    build_corpus(options);
    return texts_of(Corpus::open(options.out));
  };
  std::multiset<std::string> wanted{"a.txt", "B.TXT", "c.JSONL", "n.ndjson"};
  EXPECT_EQ(build({}, false), wanted);
  EXPECT_EQ(said.at(0).rfind("took 1 .jsonl, 1 .ndjson, 2 .txt (.jsonl and .ndjson: a document a line; each other file "
                             "a document); 2 given again, taken once; left 2 .csv, 1 .json, 1 .txt~, 1 hidden file(s), "
                             "1 hidden folder(s), 1 not regular file(s), 1 without ending",
                             0),
            0u)
      << said.at(0);
  wanted.insert("d.csv");
  EXPECT_EQ(build({"CSV"}, false), wanted);
  for (const char* name : {"e.txt~", "b.json", ".hidden.txt", ".git/config.txt", "none"}) wanted.insert(name);
  EXPECT_EQ(build({}, true), wanted);
  std::filesystem::remove_all(folder / "corpus");
  std::filesystem::create_directories(folder / "other");
  write_file(folder / "other/d.csv", "text");
  EXPECT_NE(build_error(folder, {folder / "other"}).find("it has 1 .csv: take an ending with --ending"),
            std::string::npos);
}

TEST(Inputs, SaysWhyALineIsBroken) {
  const TestFolder folder;
  const std::string file = folder / "a.jsonl";
  for (const auto& [line, wanted] :
       {std::pair("{\"text\":\"x\",\"y\":NaN}", "column 17 (syntax error"),
        std::pair("{\"text\":\"x\",\"y\":1e999}", "column 21 (number overflow"),
        std::pair("{\"text\":\"\\ud800\"}", "(syntax error"),
        std::pair("{\"text\":\"a\",\"text\":\"b\"}", "'text' is given twice"),
        std::pair("[{\"text\":\"a\"}]", "not a JSON object"), std::pair("3", "not a JSON object"),
        std::pair("{\"y\":{\"text\":\"a\"}}", "no string 'text'"),
        std::pair("{\"text\":{\"text\":\"a\"}}", "no string 'text'")}) {
    write_file(file, std::string("{\"text\":\"fine\",\"y\":[{\"text\":1}]}\n") + line + "\n");
    const std::string error = build_error(folder, {file});
    EXPECT_EQ(error.rfind("2: " + file + ": byte 33: line 2: ", 0), 0u) << error;
    EXPECT_NE(error.find(wanted), std::string::npos) << error;
  }
}

TEST(Inputs, ByteOrderMarksArePartOfNoDocument) {
  const TestFolder folder;
  write_file(folder / "a.txt", "\xef\xbb\xbfone");
  write_file(folder / "b.jsonl", "\xef\xbb\xbf{\"text\": \"two\"}\n");
  BuildOptions options;
  options.inputs = {folder / "a.txt", folder / "b.jsonl"};
  options.out = folder / "corpus";
  std::string said;
  options.say = [&](const std::string& line) { said += line + "\n"; };
  EXPECT_EQ(build_corpus(options).bytes, 6);
  EXPECT_EQ(texts_of(Corpus::open(options.out)), (std::multiset<std::string>{"one", "two"}));
  EXPECT_NE(said.find("left out 2 byte-order mark(s)"), std::string::npos) << said;
}

TEST(Inputs, APipeIsRefused) {
  const TestFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const std::string& input : {folder / "pipe", std::string("/dev/null")})
    EXPECT_NE(build_error(folder, {input}).find(input + ": byte 0: can be read only once"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::data
