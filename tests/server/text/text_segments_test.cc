#include "server/text/text_segments.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Texts(const std::string& text, const std::vector<TextSegment>& segments) {
  std::vector<std::string> texts;
  for (const TextSegment& segment : segments)
    texts.push_back(text.substr(segment.bytes.begin, segment.bytes.end - segment.bytes.begin));
  return texts;
}

TEST(TextSegmentsTest, Sentences) {
  const std::string text = "One. Two e.g. three! \"Four?\" Five\n\n six";
  EXPECT_THAT(Texts(text, SplitSentences(text)),
              ElementsAre("One.", "Two e.g. three!", "\"Four?\"", "Five", "six"));
  const std::string wide = "一。二！三";
  EXPECT_THAT(Texts(wide, SplitSentences(wide)), ElementsAre("一。", "二！", "三"));
  EXPECT_EQ(SplitSentences(wide)[1].characters, (TextRange{2, 4}));
  EXPECT_TRUE(SplitSentences(" \n ").empty());
}

TEST(TextSegmentsTest, ParagraphsEndAtBlankLines) {
  const std::string text = "a. b\nc\n\n d \n \n\ne";
  EXPECT_THAT(Texts(text, SplitParagraphs(text)), ElementsAre("a. b\nc", "d", "e"));
}

TEST(TextSegmentsTest, CharactersAreFoundInBytes) {
  const auto located = LocateCharacters("äöü€x", {{1, 3}, {3, 5}});
  ASSERT_TRUE(located.ok());
  EXPECT_EQ((*located)[0].bytes, (TextRange{2, 6}));
  EXPECT_EQ((*located)[1].bytes, (TextRange{6, 10}));
  EXPECT_FALSE(LocateCharacters("ab", {{1, 1}}).ok());
  EXPECT_FALSE(LocateCharacters("ab", {{0, 3}}).ok());
}

}  // namespace
}  // namespace longspan
