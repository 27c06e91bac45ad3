#include "core/error_details.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace longspan {
namespace {

TEST(QuotedTest, ShortTextsStandBetweenQuotes_WithControlCharactersEscaped) {
  EXPECT_EQ(Quoted("query"), "'query'");
  EXPECT_EQ(Quoted(""), "''");
  EXPECT_EQ(Quoted("a\nb'c"), R"('a\nb\'c')");
  EXPECT_EQ(Quoted("Straße"), "'Straße'");
  EXPECT_EQ(Quoted(std::string("a\0b", 3)), R"('a\000b')");
}

TEST(QuotedTest, LongTextsAreCut_AndTheirLengthIsTold) {
  EXPECT_EQ(Quoted(std::string(10 << 20, 'x')),
            "'" + std::string(kMaxQuotedBytes, 'x') + "...' (10485760 bytes)");
}

TEST(QuotedTest, ACutNeverHalvesACharacter) {
  for (const std::string character : {"é", "€", "😀"}) {
    for (size_t before = 0; before < 5; ++before) {
      std::string text(before, 'x');
      while (text.size() < 200) text += character;
      const std::string quoted = Quoted(text);
      const std::string shown = quoted.substr(1, quoted.find("...'") - 1);
      EXPECT_EQ((shown.size() - before) % character.size(), 0u) << quoted;
      EXPECT_LE(shown.size(), kMaxQuotedBytes);
      EXPECT_GT(shown.size(), kMaxQuotedBytes - 4);
    }
  }
}

TEST(QuotedTest, AnyBytesGiveAShortLineWithoutControlCharacters) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 300, '\0');
    for (char& c : text) c = static_cast<char>(random());
    const std::string quoted = Quoted(text);
    EXPECT_LE(quoted.size(), 4 * kMaxQuotedBytes + 40);
    for (const char c : quoted) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

TEST(QuotedNamesTest, NamesTenAtMost) {
  EXPECT_EQ(QuotedNames(std::vector<std::string>{"a", "b"}), "'a', 'b'");
  const std::string many = QuotedNames(std::vector<std::string>(500, std::string(1 << 12, 'n')));
  EXPECT_LT(many.size(), 2000u);
  EXPECT_NE(many.find("and 490 more"), std::string::npos);
}

TEST(ShortMessageTest, IsCutAtItsBound_AndSaysSo) {
  EXPECT_EQ(ShortMessage("fine"), "fine");
  const std::string cut = ShortMessage(std::string(1 << 20, 'x'));
  EXPECT_EQ(cut.size(), kMaxStatusBytes);
  EXPECT_TRUE(cut.ends_with("... (1048576 bytes)")) << cut.substr(cut.size() - 40);
}

TEST(LimitOfTest, IsTheReasonInLowerCase_WhereALimitIsTheReason) {
  const absl::Status status = absl::ResourceExhaustedError("full");
  EXPECT_EQ(LimitOf(WithReason(status, kReasonMaxQueueTokens)), "max_queue_tokens");
  EXPECT_EQ(LimitOf(WithReason(status, kReasonDeadlineUnreachable)), "");
  EXPECT_EQ(LimitOf(status), "");
}

TEST(ReasonsTest, AreDistinct) {
  std::vector<std::string_view> reasons(kReasons.begin(), kReasons.end());
  std::sort(reasons.begin(), reasons.end());
  EXPECT_EQ(std::adjacent_find(reasons.begin(), reasons.end()), reasons.end());
}

TEST(MessageForCallerTest, HasTheInputByPathAndId_TheTextAloneHasNot) {
  const absl::Status at_field =
      WithInput(InvalidField("inputs[3].text", "has 9 tokens"), "inputs[3]", "contract-17");
  EXPECT_EQ(MessageForCaller(at_field), "inputs[3].text (id 'contract-17') has 9 tokens");
  EXPECT_EQ(at_field.message(), "inputs[3].text has 9 tokens");
  EXPECT_EQ(FieldOf(at_field), "inputs[3].text");
  const absl::Status at_path =
      WithInput(absl::ResourceExhaustedError("inputs[3] does not fit"), "inputs[3]", "a");
  EXPECT_EQ(MessageForCaller(at_path), "inputs[3] (id 'a') does not fit");
  const absl::Status anywhere =
      WithInput(absl::DeadlineExceededError("the deadline passed"), "inputs[3]", "a");
  EXPECT_EQ(MessageForCaller(anywhere), "inputs[3] (id 'a'): the deadline passed");
  EXPECT_EQ(anywhere.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(MessageForCallerTest, WithoutAnId_ThePathTellsTheInput_WhereThereAreSeveral) {
  const absl::Status passed = absl::DeadlineExceededError("the deadline passed");
  EXPECT_EQ(MessageForCaller(WithInput(passed, "inputs[3]", "")), "inputs[3]: the deadline passed");
  EXPECT_EQ(MessageForCaller(WithInput(passed, "input", "")), "the deadline passed");
  EXPECT_EQ(MessageForCaller(passed), "the deadline passed");
}

TEST(MessageForCallerTest, AnIdIsShort_AndAnErrorOfTheOptionsHasNone) {
  const absl::Status status = WithInput(InvalidField("inputs[3]", "has no content"), "inputs[3]",
                                        "line\n" + std::string(1000, 'x'));
  EXPECT_THAT(MessageForCaller(status), testing::HasSubstr("(id 'line\\nxxx"));
  EXPECT_LT(MessageForCaller(status).size(), 150u);
  const absl::Status options =
      WithInput(InvalidField("options.pooling", "is 77"), "inputs[3]", "a");
  EXPECT_EQ(MessageForCaller(options), "options.pooling is 77");
  // One path is the beginning of the other's name.
  const absl::Status other = WithInput(InvalidField("inputs[3]", "is bad"), "input", "a");
  EXPECT_EQ(MessageForCaller(other), "inputs[3] is bad");
}

TEST(MessageForCallerTest, TheFirstNoteStaysBehindTheText) {
  const absl::Status status = WithNote(WithNote(absl::DeadlineExceededError("late"), "one"), "two");
  EXPECT_EQ(MessageForCaller(status), "late; one");
  EXPECT_EQ(status.message(), "late");
}

}  // namespace
}  // namespace longspan
