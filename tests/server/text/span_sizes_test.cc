// Short spans are merged and long ones divided as span_sizes.h says. A token is a word here; words
// that begin with a hyphen go on with the word before them ("long-word" is two tokens).
#include "server/text/span_sizes.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "server/text/text_segments.h"
#include "server/text/wanted_spans.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

TokenLayout LayoutOf(const std::string& text) {
  TokenLayout layout;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find_first_not_of(" \n", at);
    if (begin == std::string::npos) break;
    at = std::min(text.find_first_of(" \n-", begin + 1), text.size());
    layout.tokens.ids.push_back(1);
    layout.tokens.special.push_back(0);
    layout.tokens.bytes.push_back({static_cast<int64_t>(begin), static_cast<int64_t>(at)});
    layout.tokens.characters.push_back(
        {CountCharacters(text.substr(0, begin)), CountCharacters(text.substr(0, at))});
  }
  layout.body = {0, layout.size()};
  return layout;
}

class SpanSizesTest : public ::testing::Test {
 protected:
  std::vector<PreparedSpan> Spans(SpanPolicy policy, int64_t least, int64_t most,
                                  const std::string& text) {
    EncodeInput input;
    input.field = "input";
    input.text = text;
    input.span_policy = policy;
    input.span_min_tokens = least;
    input.span_max_tokens = most;
    layout_ = LayoutOf(text);
    const auto spans = WantedSpans(input, layout_, 1'000'000);
    EXPECT_TRUE(spans.ok()) << spans.status();
    return spans.value_or(std::vector<PreparedSpan>{});
  }
  std::vector<std::string> Texts(SpanPolicy policy, int64_t least, int64_t most,
                                 const std::string& text) {
    std::vector<std::string> texts;
    for (const PreparedSpan& span : Spans(policy, least, most, text)) {
      texts.push_back(text.substr(span.bytes.begin, span.bytes.end - span.bytes.begin));
      EXPECT_EQ(CountCharacters(text.substr(0, span.bytes.begin)), span.characters.begin);
      EXPECT_EQ(CountCharacters(text.substr(0, span.bytes.end)), span.characters.end);
      EXPECT_EQ(layout_.tokens.bytes[span.tokens.begin].begin, span.bytes.begin);
      EXPECT_EQ(layout_.tokens.bytes[span.tokens.end - 1].end, span.bytes.end);
    }
    return texts;
  }
  std::vector<std::string> Sentences(int64_t least, int64_t most, const std::string& text) {
    return Texts(SpanPolicy::kSentences, least, most, text);
  }
  std::vector<std::string> Paragraphs(int64_t least, int64_t most, const std::string& text) {
    return Texts(SpanPolicy::kParagraphs, least, most, text);
  }

  TokenLayout layout_;
};

TEST_F(SpanSizesTest, WithoutSizes_SpansAreAsTheyAreFound) {
  EXPECT_THAT(Sentences(0, 0, "One. Two is. Three."), ElementsAre("One.", "Two is.", "Three."));
}

// --- min_tokens ---

TEST_F(SpanSizesTest, AShortSpanTakesInWhatFollows_UntilItIsLongEnough) {
  EXPECT_THAT(Sentences(3, 0, "One. Two. Three. Four is it. Five."),
              ElementsAre("One. Two. Three.", "Four is it. Five."));
  EXPECT_THAT(Paragraphs(4, 0, "# Head\n\nText is here.\n\n# Next\n\nMore of it."),
              ElementsAre("# Head\n\nText is here.", "# Next\n\nMore of it."));
}

TEST_F(SpanSizesTest, TheLastSpanJoinsTheOneBeforeIt) {
  EXPECT_THAT(Sentences(2, 0, "One is. Two is. Three."), ElementsAre("One is.", "Two is. Three."));
  EXPECT_THAT(Sentences(9, 0, "One."), ElementsAre("One.")) << "there is none";
}

TEST_F(SpanSizesTest, NoMergedSpanPassesMax) {
  EXPECT_THAT(Sentences(2, 3, "One. Two is it. Three."),
              ElementsAre("One.", "Two is it.", "Three."))
      << "neither neighbour has room";
  EXPECT_THAT(Sentences(2, 3, "One is. Two. Three is it."),
              ElementsAre("One is. Two.", "Three is it."))
      << "only the one before has room";
}

// --- max_tokens ---

TEST_F(SpanSizesTest, ALongParagraphIsDividedBetweenSentences) {
  EXPECT_THAT(Paragraphs(0, 6, "One is here, he says. Two is there too. Three."),
              ElementsAre("One is here, he says.", "Two is there too. Three."));
}

TEST_F(SpanSizesTest, ALongSentenceIsDividedAtClauses_ElseBetweenWords_ElseBetweenTokens) {
  EXPECT_THAT(Sentences(0, 5, "One two three, four five six seven."),
              ElementsAre("One two three,", "four five six seven."));
  EXPECT_THAT(Sentences(0, 3, "One two three four five"),
              ElementsAre("One two three", "four five"));
  EXPECT_THAT(Sentences(0, 3, "One-two-three four"), ElementsAre("One-two-three", "four"))
      << "a word is not divided where a blank is near";
  EXPECT_THAT(Sentences(0, 2, "One-two-three-four"), ElementsAre("One-two", "-three-four"));
}

TEST_F(SpanSizesTest, PartsAreOfAboutEqualLength) {
  std::string text = "a";
  for (int i = 1; i < 101; ++i) text += " a";
  const auto spans = Spans(SpanPolicy::kSentences, 0, 100, text);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].tokens.size(), 51);
  EXPECT_EQ(spans[1].tokens.size(), 50);
}

TEST_F(SpanSizesTest, CodeAndHeadingsAreDividedToo) {
  EXPECT_THAT(Sentences(0, 3, "```\na b\nc\n```"), ElementsAre("```\na b", "c\n```"));
}

// A byte-level tokenizer makes several tokens of one rare character: they have the same bytes.
TEST_F(SpanSizesTest, ACharacterOfSeveralTokensIsDividedOnlyWhereItMust) {
  EncodeInput input;
  input.text = "ab 😀 cd";
  input.span_policy = SpanPolicy::kSentences;
  input.span_max_tokens = 2;
  TokenLayout layout;
  layout.tokens.ids.assign(4, 1);
  layout.tokens.bytes = {{0, 2}, {3, 7}, {3, 7}, {8, 10}};
  layout.tokens.characters = {{0, 2}, {3, 4}, {3, 4}, {5, 7}};
  layout.body = {0, 4};
  const auto spans = WantedSpans(input, layout, 100);
  ASSERT_TRUE(spans.ok());
  ASSERT_EQ(spans->size(), 3u);
  EXPECT_EQ((*spans)[1].tokens.begin, 1);
  EXPECT_EQ((*spans)[1].tokens.end, 3);
  EXPECT_EQ((*spans)[1].bytes, (TextRange{3, 7}));
  EXPECT_EQ((*spans)[1].characters, (TextRange{3, 4}));
  input.span_max_tokens = 1;
  const auto halves = WantedSpans(input, layout, 100);
  ASSERT_TRUE(halves.ok());
  ASSERT_EQ(halves->size(), 4u);
  EXPECT_EQ((*halves)[1].bytes, (TextRange{3, 7})) << "both halves have its bytes";
  EXPECT_EQ((*halves)[2].bytes, (TextRange{3, 7}));
}

// --- both, over many texts ---

TEST_F(SpanSizesTest, SpansAscend_HoldAllTokens_AndKeepToMax) {
  uint32_t seed = 7;
  const auto below = [&](uint32_t n) { return (seed = seed * 1664525 + 1013904223) / 65536 % n; };
  const std::vector<std::string> words = {"a", "b,", "c.", "D", "E!", "f-g-h", "\n\n", "# x\n"};
  for (int round = 0; round < 2000; ++round) {
    std::string text = "A";
    for (uint32_t i = 0; i < 5 + below(60); ++i) text += " " + words[below(8)];
    const int64_t most = below(9);
    const int64_t least = most == 0 ? below(9) : below(static_cast<uint32_t>(most) + 1);
    const auto policy = below(2) == 0 ? SpanPolicy::kSentences : SpanPolicy::kParagraphs;
    int64_t end = 0, bytes = 0;
    const auto spans = Spans(policy, least, most, text);
    for (const PreparedSpan& span : spans) {
      ASSERT_EQ(span.tokens.begin, end) << text;
      ASSERT_GE(span.bytes.begin, bytes) << text;
      ASSERT_GT(span.bytes.end, span.bytes.begin) << text;
      ASSERT_TRUE(most == 0 || span.tokens.size() <= most) << text;
      ASSERT_TRUE(most > 0 || spans.size() == 1 || span.tokens.size() >= least) << text;
      end = span.tokens.end;
      bytes = span.bytes.end;
    }
    ASSERT_EQ(end, layout_.size()) << text;
  }
}

TEST_F(SpanSizesTest, SpansBeyondTheMostAllowed_AreRefused) {
  EncodeInput input;
  input.field = "input";
  input.text = "A. B is. C is. D is.";
  input.span_policy = SpanPolicy::kSentences;
  input.span_max_tokens = 1;
  const TokenLayout layout = LayoutOf(input.text);
  EXPECT_TRUE(WantedSpans(input, layout, 7).ok());
  EXPECT_EQ(WantedSpans(input, layout, 6).status().message(),
            "input.spans are more than 6; allowed: at most 6");
}

}  // namespace
}  // namespace longspan
