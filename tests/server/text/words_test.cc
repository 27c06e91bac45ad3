#include "server/text/words.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "folded:bytes" of each word.
std::vector<std::string> Words(std::string_view text) {
  auto reader = WordReader::Create();
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::vector<std::string> words;
  const absl::Status status =
      reader->Read(text, [&](std::string_view folded, int64_t begin, int64_t end) {
        words.push_back(std::string(folded) + ":" + std::string(text.substr(begin, end - begin)));
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  return words;
}

TEST(WordReader, GivesWordsAndNumbers_Folded_WithTheirPlaces) {
  EXPECT_THAT(Words("The Court's 42nd ruling -- (1990)."),
              ElementsAre("the:The", "court's:Court's", "42nd:42nd", "ruling:ruling", "1990:1990"));
}

TEST(WordReader, FormsThatReadAlike_AreOneWord) {
  EXPECT_THAT(
      Words("Straße STRASSE ﬁle ＦＩＬＥ İ"),
      ElementsAre("strasse:Straße", "strasse:STRASSE", "file:ﬁle", "file:ＦＩＬＥ", "i\xcc\x87:İ"));
  // A letter with its mark, in one code point or in two.
  EXPECT_THAT(
      Words("\xc3\xa9t\xc3\xa9 e\xcc\x81te\xcc\x81"),
      ElementsAre("\xc3\xa9t\xc3\xa9:\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9:e\xcc\x81te\xcc\x81"));
}

TEST(WordReader, ReadsAllScripts) {
  EXPECT_THAT(Words("Тёплый ΣΊΣΥΦΟΣ"), ElementsAre("тёплый:Тёплый", "σίσυφοσ:ΣΊΣΥΦΟΣ"));
  EXPECT_FALSE(Words("東京都に住む").empty());
}

TEST(WordReader, WhatHoldsNoLetterAndNoDigit_IsNoWord) {
  EXPECT_THAT(Words(" ... -- !? \xe2\x80\x94 \n\t"), IsEmpty());
  EXPECT_THAT(Words(""), IsEmpty());
}

TEST(WordReader, DataIsNoWord) {
  EXPECT_THAT(Words(std::string(kLongestWordBytes + 1, 'a') + " b"), ElementsAre("b:b"));
}

TEST(WordReader, ReadsOneTextAfterTheOther) {
  auto reader = WordReader::Create();
  ASSERT_TRUE(reader.ok());
  int words = 0;
  for (const char* text : {"one two", "", "three"})
    EXPECT_TRUE(
        reader->Read(text, [&](std::string_view, int64_t, int64_t) { return ++words > 0; }).ok());
  EXPECT_EQ(words, 3);
}

}  // namespace
}  // namespace longspan
