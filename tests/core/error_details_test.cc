#include "core/error_details.h"

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

}  // namespace
}  // namespace longspan
