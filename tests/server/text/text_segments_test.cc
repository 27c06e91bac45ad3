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

template <typename ForEach>
std::vector<TextSegment> All(const ForEach& for_each, std::string_view text) {
  std::vector<TextSegment> segments;
  for_each(text, [&](const TextSegment& segment) {
    segments.push_back(segment);
    return true;
  });
  return segments;
}
std::vector<TextSegment> SplitSentences(std::string_view text) {
  return All(ForEachSentence, text);
}
std::vector<TextSegment> SplitParagraphs(std::string_view text) {
  return All(ForEachParagraph, text);
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

TEST(TextSegmentsTest, NoFurtherSegmentIsLookedFor_OnceNoneIsWanted) {
  const std::string stops(200'000, '.');
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "! ";
  int64_t seen = 0;
  ForEachSentence(text, [&](const TextSegment&) { return ++seen < 10; });
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(SplitSentences(stops).size(), 1U);
}

TEST(TextSegmentsTest, RangesAreWidenedToWords_AndMerged) {
  const std::string text = "one two-three 四五 six";
  const auto widen = [&](std::vector<TextRange> ranges) {
    std::vector<std::string> words;
    for (const TextRange& range : WidenToWords(text, std::move(ranges)))
      words.push_back(text.substr(range.begin, range.end - range.begin));
    return words;
  };
  EXPECT_THAT(widen({{1, 2}}), ElementsAre("one"));
  EXPECT_THAT(widen({{5, 6}, {1, 2}}), ElementsAre("one", "two"));
  EXPECT_THAT(widen({{2, 5}}), ElementsAre("one two"));
  EXPECT_THAT(widen({{0, 1}, {2, 3}}), ElementsAre("one"));
  EXPECT_THAT(widen({{4, 5}, {9, 10}}), ElementsAre("two", "three"));
  EXPECT_THAT(widen({{14, 17}}), ElementsAre("四"));
  EXPECT_THAT(widen({{14, 17}, {17, 20}}), ElementsAre("四五"));
  EXPECT_THAT(widen({{3, 4}}), ElementsAre(" "));
  EXPECT_THAT(widen({}), ElementsAre());
}

// However many ranges lie in one word, its letters are looked at once or twice. Counted, not timed.
TEST(TextSegmentsTest, ManyRangesInOneWord_CostTheWordOnce) {
  const std::string text = "a " + std::string(60'000, 'x') + " b";
  std::vector<TextRange> letters;
  for (int64_t i = 0; i < 60'000; i += 2) letters.push_back({2 + i, 3 + i});
  for (int64_t i = 0; i < 300'000; ++i)
    letters.push_back({2 + i % 59'000, 3 + i % 60'000 / 2 + 30'000});
  std::erase_if(letters, [](const TextRange& range) { return range.end <= range.begin; });
  int64_t looked_at = 0;
  const auto widened = WidenToWords(text, letters, &looked_at);
  EXPECT_THAT(widened, ElementsAre(TextRange{2, 60'002}));
  EXPECT_LE(looked_at, 4 * 60'000);
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
