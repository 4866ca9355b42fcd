// Token and evaluation files: layers side by side, choices padded, texts cut between characters.
#include <gtest/gtest.h>

#include "base/check.hpp"
#include "record/record_reader.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;

TEST(TokenFile, ReadsBackInGlobalOrder) {
  const fixtures::Folder folder;
  const Config config = fixtures::small_config();
  const Range part{1, 3};
  const StepRow row = fixtures::row_of(config, 4, 1);
  const auto routing = fixtures::routing_of(config, row, part);
  TokenFile file(folder / TokenFile::name(3), config, 16);
  file.append(4, fixtures::batch_of(config, 4, part), routing);
  file.append(6, fixtures::batch_of(config, 6, part), routing);
  file.close();
  const RecordReader reader(folder / "tokens.r0003.h5");
  ASSERT_EQ(reader.length("sample"), 32);
  const auto sequence = reader.read<std::int64_t>("sequence", 0, 32);
  const auto position = reader.read<std::int32_t>("position", 0, 32);
  const auto expert = reader.read<std::int16_t>("expert", 0, 32);
  const auto weight = reader.read<float>("weight", 0, 32);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(sequence[i], 1 + i / 8);
    EXPECT_EQ(position[i], i % 8);
    for (int l = 0; l < 2; ++l)
      for (int c = 0; c < 2; ++c) {
        EXPECT_EQ(expert[(i * 2 + l) * 2 + c], routing[l].experts[i * 2 + c]);
        EXPECT_EQ(weight[(i * 2 + l) * 2 + c], routing[l].weights[i * 2 + c]);
      }
  }
  EXPECT_EQ(reader.read<std::int64_t>("step", 16, 1)[0], 6);
}

TEST(TokenFile, FewerChoicesThanTheOthersArePadded) {
  const fixtures::Folder folder;
  Config config = fixtures::small_config();
  auto routing = fixtures::routing_of(config, fixtures::row_of(config, 1, 1), {0, 1});
  routing[0] = {std::vector<std::int32_t>(8, 0), std::vector<float>(8, 1.0f), std::vector<std::uint8_t>(8, 1)};
  TokenFile file(folder / "tokens.r0000.h5", config, 8);
  file.append(1, fixtures::batch_of(config, 1, {0, 1}), routing);
  EXPECT_THROW(file.append(2, fixtures::batch_of(config, 1, {0, 2}), routing), Error);
  file.close();
  const auto expert = RecordReader(folder / "tokens.r0000.h5").read<std::int16_t>("expert", 0, 1);
  EXPECT_EQ(expert[0], 0);
  EXPECT_EQ(expert[1], -1);
}

TEST(EvaluationFile, ReadsBack) {
  const fixtures::Folder folder;
  const Config config = fixtures::small_config();
  EvaluationFile file(folder / "evaluation.h5", config, fixtures::held_out(config));
  auto routing = fixtures::evaluation_of(config, 5);
  routing.layers[1].kept[3] = 0;
  file.append(routing);
  file.append(fixtures::evaluation_of(config, 9));
  file.close();
  const RecordReader reader(folder / "evaluation.h5");
  EXPECT_EQ(reader.length("evaluation"), 2);
  EXPECT_EQ(reader.read<std::int64_t>("step", 0, 2), (std::vector<std::int64_t>{5, 9}));
  EXPECT_EQ(reader.read<std::int32_t>("predicted", 1, 1)[7], 9);
  const auto dropped = reader.read<std::uint8_t>("dropped", 0, 1);
  for (std::size_t i = 0; i < dropped.size(); ++i) EXPECT_EQ(dropped[i], i == (1 * 2 + 1) * 2 + 1) << i;
  EXPECT_EQ(std::string(reader.read<char>("token_text", 12, 1).data()), "token 12");
  EXPECT_EQ(hdf5::text_attribute(reader.file().id(), "domains", "file"), "[\"prose\",\"code\"]");
}

TEST(EvaluationFile, TextsAreCutBetweenCharacters) {
  EXPECT_EQ(cut_utf8("short", 16), "short");
  EXPECT_EQ(cut_utf8("aaaaaaaaaaaaaaa\xC3\xA9", 16), "aaaaaaaaaaaaaaa");
  EXPECT_EQ(cut_utf8("\xE2\x82\xAC\xE2\x82\xAC", 3), "\xE2\x82\xAC");
}

}  // namespace
