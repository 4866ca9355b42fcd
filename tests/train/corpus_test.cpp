// A run and its corpus, as users meet them: another corpus in its place, and text that is not plain.
#include "support/program.hpp"

namespace switchyard {
namespace {

TEST_F(Program, WhatDecodesTokensWantsTheCorpusOfTheRun) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r train.steps=2", 1).code, 0);
  fs::rename(folder_ / "corpus", folder_ / "put-aside");
  const std::string build = "data build a.txt b.txt c.txt --out corpus --validation-share 0.3 --seed 7 ";
  for (const std::string& tokenizer : {std::string("--tokenizer bpe --vocabulary 300"), std::string()}) {
    fs::remove_all(folder_ / "corpus");
    ASSERT_EQ(run(build + tokenizer).code, 0);
    for (const char* command : {"generate r --prompt line", "resume r train.steps=4"}) {
      const Output o = run(command);
      EXPECT_EQ(o.code, 2) << command << ": " << o.err;
      const char* why = tokenizer.empty() ? "/corpus is not the corpus that r was trained on" : "model.vocabulary";
      EXPECT_EQ(count(o.err, why), 1) << command << ": " << o.err;
      EXPECT_EQ(o.out, "") << command;
    }
  }
  fs::remove_all(folder_ / "corpus");
  fs::rename(folder_ / "put-aside", folder_ / "corpus");
  EXPECT_EQ(run("generate r --prompt line --tokens 2").code, 0);
  fs::resize_file(folder_ / "corpus/validation.documents.bin", 8);
  for (const char* command : {"generate r --prompt line", "resume r train.steps=4", "train tiny.yaml --run s",
                              "check tiny.yaml", "data check corpus"}) {
    const Output o = run(command);
    EXPECT_EQ(o.code, 4) << command << ": " << o.err;
    EXPECT_EQ(count(o.err, "validation.documents.bin: sha256"), 1) << command << ": " << o.err;
  }
}

// Nearly every draw is a byte: rows of the model beyond the corpus are never drawn, and NUL is printed like any other.
TEST_F(Program, GeneratesAllBytesAndNothingElse) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r train.steps=2 model.vocabulary=400", 1).code, 0);
  const Output o = run("generate r --prompt 'line ' --tokens 1500 --temperature 100");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find('\0'), std::string::npos);
  EXPECT_GT(o.out.size(), 1480u);
  EXPECT_LE(o.out.size(), 1506u);
}

TEST_F(Program, BuildRefusesOptionsThatItWouldNotHeed) {
  make_tiny();
  for (const char* option : {"--vocabulary 1000", "--tokenizer-bytes 1000"}) {
    const Output o = run(std::string("data build a.txt b.txt --out c --tokenizer bytes ") + option);
    EXPECT_EQ(o.code, 2) << o.err;
    EXPECT_EQ(count(o.err, "has no effect with --tokenizer bytes"), 1) << o.err;
    EXPECT_FALSE(fs::exists(folder_ / "c"));
  }
  Output o = run("data build a.txt b.txt --out c --tokenizer bep --vocabulary 300");
  EXPECT_EQ(count(o.err, "tokenizer 'bep' is neither bytes, bpe nor a file"), 1) << o.err;
  o = run("data build a.txt b.txt --out c");
  EXPECT_EQ(count(o.err, "\n"), 4) << "what was taken, then a line a step: " << o.err;
  EXPECT_EQ(count(o.out, "\n"), 1) << o.out;
}

}  // namespace
}  // namespace switchyard
