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
  const auto take = [&](const TextSegment& segment) {
    segments.push_back(segment);
    return true;
  };
  const absl::Status status = for_each(text, take, {});
  EXPECT_TRUE(status.ok()) << status;
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

std::vector<std::string> Paragraphs(const std::string& text) {
  return Texts(text, SplitParagraphs(text));
}
std::vector<std::string> Sentences(const std::string& text) {
  return Texts(text, SplitSentences(text));
}

// --- Markdown ---

TEST(TextSegmentsTest, AHeadingIsAParagraphAndASentence) {
  const std::string text = "# Dr. No. A film\nIt is old. It is good.\n## Next #\nMore.";
  EXPECT_THAT(Paragraphs(text),
              ElementsAre("# Dr. No. A film", "It is old. It is good.", "## Next #", "More."));
  EXPECT_THAT(Sentences(text),
              ElementsAre("# Dr. No. A film", "It is old.", "It is good.", "## Next #", "More."));
  EXPECT_THAT(Paragraphs("#hash is\nno heading"), ElementsAre("#hash is\nno heading"));
  EXPECT_THAT(Paragraphs("####### seven\nmarks"), ElementsAre("####### seven\nmarks"));
}

TEST(TextSegmentsTest, AnUnderlinedLineIsAHeading) {
  EXPECT_THAT(Sentences("A. Title\n========\nOne. Two.\n\nPart. B\n---\nThree."),
              ElementsAre("A. Title\n========", "One.", "Two.", "Part. B\n---", "Three."));
  EXPECT_THAT(Paragraphs("a\nb\nc\n-----\nd"), ElementsAre("a\nb\nc", "-----", "d"))
      << "a paragraph of three lines is none";
  EXPECT_THAT(Paragraphs("a\n\n---\n\nb"), ElementsAre("a", "---", "b"));
}

TEST(TextSegmentsTest, CodeStaysWhole) {
  const std::string code = "```cpp\nf(). Then.\n\n# no heading\n- x\n```";
  EXPECT_THAT(Paragraphs("Text.\n" + code + "\nMore."), ElementsAre("Text.", code, "More."));
  EXPECT_THAT(Sentences("Text.\n" + code + "\nMore."), ElementsAre("Text.", code, "More."));
  EXPECT_THAT(Sentences("~~~~\na. B\n~~~\nc. D\n~~~~~\nE."),
              ElementsAre("~~~~\na. B\n~~~\nc. D\n~~~~~", "E."));
  EXPECT_THAT(Sentences("```\na. B\n\nc. D"), ElementsAre("```\na. B\n\nc. D"))
      << "never closed: to the end";
  EXPECT_THAT(Sentences("```code. Yes``` is. Here."),
              ElementsAre("```code.", "Yes``` is.", "Here."))
      << "code in one line is no fence";
}

TEST(TextSegmentsTest, EachItemOfAListIsAParagraph) {
  EXPECT_THAT(
      Paragraphs("Buy:\n- eggs\n- milk\n  and more\n* tea\n\n1. First\n2. Second\n10) Tenth"),
      ElementsAre("Buy:", "- eggs", "- milk\n  and more", "* tea", "1. First", "2. Second",
                  "10) Tenth"));
  EXPECT_THAT(Sentences("1. First do this. Then that.\n2. Rest."),
              ElementsAre("1. First do this.", "Then that.", "2. Rest."));
  EXPECT_THAT(Paragraphs("It was in\n1990. Then\nmore"), ElementsAre("It was in\n1990. Then\nmore"))
      << "only 1 begins a list within prose";
  EXPECT_THAT(Paragraphs("• one\n• two"), ElementsAre("• one", "• two"));
}

TEST(TextSegmentsTest, QuotesAreSetApart) {
  EXPECT_THAT(Paragraphs("He said:\n> One is\n> here. Two.\n>\n> Three.\nAnswer."),
              ElementsAre("He said:", "> One is\n> here. Two.\n>", "> Three.", "Answer."));
  EXPECT_THAT(Sentences("> One is\n> here. Two\n> is. Three."),
              ElementsAre("> One is\n> here.", "Two\n> is.", "Three."));
  EXPECT_THAT(Sentences("> One.\n> Two."), ElementsAre("> One.", "> Two."));
}

TEST(TextSegmentsTest, ATableIsAParagraph_AndEachRowASentence) {
  const std::string text =
      "Sizes. Here:\n| a. B | c |\r\n|---|:-:|\r\n| 1. X | 2 |\r\n| 3 | 4 |\nText.";
  EXPECT_THAT(Paragraphs(text),
              ElementsAre("Sizes. Here:", "| a. B | c |\r\n|---|:-:|\r\n| 1. X | 2 |\r\n| 3 | 4 |",
                          "Text."));
  EXPECT_THAT(Sentences(text), ElementsAre("Sizes.", "Here:", "| a. B | c |\r\n|---|:-:|",
                                           "| 1. X | 2 |", "| 3 | 4 |", "Text."));
}

TEST(TextSegmentsTest, LinesMayEndInAnyWay) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const std::string line(end);
    EXPECT_THAT(Paragraphs("# A" + line + "b" + line + "c" + line + line + "d"),
                ElementsAre("# A", "b" + line + "c", "d"));
  }
}

// --- HTML ---

TEST(TextSegmentsTest, TagsOfBlocksDivideParagraphs) {
  EXPECT_THAT(Paragraphs("<p>One.</p><p>Two</p>"), ElementsAre("<p>One.</p>", "<p>Two</p>"));
  EXPECT_THAT(
      Paragraphs("<h1>Title</h1>Text <b>bold</b>.<ul><li>a</li>\n<LI class=\"x\">b</LI></ul>End"),
      ElementsAre("<h1>Title</h1>", "Text <b>bold</b>.", "<ul><li>a</li>",
                  "<LI class=\"x\">b</LI></ul>", "End"));
  EXPECT_THAT(Paragraphs("a<br>b<br><br/>c<hr>d"), ElementsAre("a<br>b<br><br/>", "c<hr>", "d"));
  EXPECT_THAT(Paragraphs("<div><p>One</p></div><div><p>Two</p></div>"),
              ElementsAre("<div><p>One</p></div>", "<div><p>Two</p></div>"));
  EXPECT_THAT(Paragraphs("a < b and <x> and p> <p"), ElementsAre("a < b and <x> and p> <p"));
}

TEST(TextSegmentsTest, SentencesEndAtTagsOfBlocks) {
  EXPECT_THAT(Sentences("<p>One. Two.</p><p>three.</p>"),
              ElementsAre("<p>One.", "Two.</p>", "<p>three.</p>"));
  EXPECT_THAT(Sentences("One.<br>Two."), ElementsAre("One.", "<br>Two."));
}

// --- what holds for every text ---

// Pieces that the rules tell apart, put together at random.
std::string RandomText(uint32_t seed) {
  static const std::vector<std::string> pieces = {
      "Word",        "word",     "Dr.",    "U.S.",   "e.g.",   "3.",     "Oktober",
      "1.",          "The",      "(",      ")",      "\"",     "”",      "«",
      ".",           "...",      "!",      "?",      "。",     "！",     "।",
      "؟",           "…",        ";",      "Ναι",    "ф",      "漢",     "ไทย",
      "😀",          "é",        "\u00a0", "\u3000", "\u2028", "\u200b", " ",
      " ",           " ",        "\n",     "\r\n",   "\n\n",   "\t",     "# ",
      "- ",          "> ",       ">",      "```\n",  "---\n",  "===\n",  "| a | b |\n",
      "|---|---|\n", "<p>",      "</p>",   "<br>",   "<li>",   "<",      ">",
      "**",          "_",        "`",      "[1]",    "[",      "]",      std::string(1, '\0'),
      "\x7f",        "\n1990. ", "\n• "};
  std::string text;
  for (int i = 0; i < 60; ++i) {
    seed = seed * 1664525 + 1013904223;
    text += pieces[(seed >> 8) % pieces.size()];
  }
  return text;
}

template <typename ForEach>
void CheckSegments(const ForEach& for_each, const std::string& text) {
  size_t end = 0;
  const auto blank = [&](size_t from, size_t to) {
    return SplitParagraphs(std::string_view(text).substr(from, to - from)).empty();
  };
  for (const TextSegment& segment : All(for_each, text)) {
    const auto begin = static_cast<size_t>(segment.bytes.begin);
    ASSERT_GE(begin, end) << text;
    ASSERT_TRUE(blank(end, begin)) << "between two segments is white space alone: " << text;
    end = static_cast<size_t>(segment.bytes.end);
    ASSERT_GT(end, begin) << text;
    ASSERT_EQ(CountCharacters(text.substr(0, begin)), segment.characters.begin) << text;
    ASSERT_EQ(CountCharacters(text.substr(0, end)), segment.characters.end) << text;
  }
  ASSERT_TRUE(blank(end, text.size())) << text;
}

TEST(TextSegmentsTest, SegmentsAscend_HoldAllButWhiteSpace_AndTheirOffsetsAgree) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    const std::string text = RandomText(seed);
    CheckSegments(ForEachSentence, text);
    CheckSegments(ForEachParagraph, text);
  }
}

TEST(TextSegmentsTest, EachSentenceIsWithinAParagraph) {
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    const std::string text = RandomText(seed);
    const auto paragraphs = SplitParagraphs(text);
    size_t at = 0;
    for (const TextSegment& sentence : SplitSentences(text)) {
      while (at < paragraphs.size() && paragraphs[at].bytes.end <= sentence.bytes.begin) ++at;
      ASSERT_LT(at, paragraphs.size()) << text;
      ASSERT_LE(paragraphs[at].bytes.begin, sentence.bytes.begin) << text;
      ASSERT_GE(paragraphs[at].bytes.end, sentence.bytes.end) << text;
    }
  }
}

TEST(TextSegmentsTest, ASentenceOfProseIsOneSentence) {
  const std::string text =
      "Dr. Smith (of Acme Inc.) came at 5 p.m. He said: \"No.\" Then J. R. R. Tolkien left! Am 3. "
      "Oktober war das. Really? Yes . . . so it was.";
  for (const std::string& sentence : Sentences(text))
    EXPECT_THAT(Sentences(sentence), ElementsAre(sentence));
}

// --- large texts ---

TEST(TextSegmentsTest, NoFurtherSegmentIsLookedFor_OnceNoneIsWanted) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "No! ";
  int64_t seen = 0;
  EXPECT_TRUE(ForEachSentence(text, [&](const TextSegment&) { return ++seen < 10; }).ok());
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(SplitSentences(std::string(200'000, '.')).size(), 1U);
}

TEST(TextSegmentsTest, ATextThatIsNotWantedAnyMoreIsLeft) {
  const std::vector<std::string> texts = {std::string(1'000'000, 'x'), std::string(1'000'000, '.')};
  for (const std::string& text : texts) {
    int asked = 0;
    const auto stop = [&] {
      return ++asked < 3 ? absl::OkStatus() : absl::CancelledError("not wanted");
    };
    const auto none = [](const TextSegment&) { return true; };
    EXPECT_TRUE(absl::IsCancelled(ForEachSentence(text, none, stop)));
    EXPECT_EQ(asked, 3);
  }
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "- a\n";
  int asked = 0;
  const auto stop = [&] { return ++asked < 3 ? absl::OkStatus() : absl::CancelledError("no"); };
  int64_t seen = 0;
  const auto count = [&](const TextSegment&) { return ++seen > 0; };
  EXPECT_TRUE(absl::IsCancelled(ForEachParagraph(lines, count, stop)));
  EXPECT_LT(seen, 30'000);
}

// A block of the splitter ends within these sentences, at every place of them.
TEST(TextSegmentsTest, SentencesAreTheSame_WhereverABlockEnds) {
  const std::string sentence =
      "Dr. Smith (😀, see e.g. Table 2) said “Go! (((((((((((((” to J. R. R. Tolkien in the U.S.";
  for (size_t shift = 0; shift < sentence.size(); ++shift) {
    const std::string first = std::string(shift + 5, 'a') + ". ";
    std::string text = first;
    while (text.size() < 20'000) text += sentence + " He left. ";
    const auto sentences = Sentences(text);
    EXPECT_EQ(sentences.size(), 1 + 2 * ((text.size() - first.size()) / (sentence.size() + 10)));
    for (size_t i = 1; i < sentences.size(); ++i)
      ASSERT_EQ(sentences[i], i % 2 == 1 ? sentence : "He left.") << shift << " " << i;
  }
}

TEST(TextSegmentsTest, ASentenceLongerThanABlock_IsOne) {
  std::string text = "Begin";
  while (text.size() < 200'000) text += " and on";
  EXPECT_EQ(Sentences(text + ". Next one."), (std::vector<std::string>{text + ".", "Next one."}));
  const std::string word(100'000, 'x');
  EXPECT_EQ(Sentences(word + ". Next."), (std::vector<std::string>{word + ".", "Next."}));
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
