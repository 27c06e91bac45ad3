#include "server/text/lexical_preparation.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error_details.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LexicalPreparationTest : public ::testing::Test {
 protected:
  LexicalPreparationTest() {
    input_.field = "inputs[0]";
    input_.lexical = LexicalOptions{.language = "none", .k1 = 1e9, .b = 0};
    prepared_.tokens_total = prepared_.tokens_used = 10;
  }

  absl::Status Add(const std::string& text) {
    input_.text = text;
    if (prepared_.tokens_used == prepared_.tokens_total)
      prepared_.used_text = {{0, static_cast<int64_t>(text.size())}};
    return AddLexicalVectors(input_, stop_, &prepared_);
  }
  void AddSpan(int64_t begin, int64_t end) {
    PreparedSpan span;
    span.bytes = span.characters = {begin, end};
    prepared_.spans.push_back(span);
  }
  void Truncate(const std::vector<TextRange>& used) {
    prepared_.tokens_used = 5;
    prepared_.used_text = used;
  }
  // How often the vector has the word: with k1 = 1e9 the weight is the count.
  static float Count(const LexicalVector& vector, std::string_view word) {
    for (size_t i = 0; i < vector.indices.size(); ++i)
      if (vector.indices[i] == WordId(word)) return vector.values[i];
    return 0;
  }
  float Count(std::string_view word) const { return Count(*prepared_.lexical, word); }

  EncodeInput input_;
  PreparedText prepared_;
  StopCheck stop_;
};

TEST_F(LexicalPreparationTest, WhereNoneIsWanted_NothingIsAdded) {
  input_.lexical.reset();
  ASSERT_TRUE(Add("a text").ok());
  EXPECT_EQ(prepared_.lexical, nullptr);
}

TEST_F(LexicalPreparationTest, WordsAreFoldedAndCounted) {
  ASSERT_TRUE(Add("The court -- THE Court's (1990) \"straße\", STRASSE.").ok());
  EXPECT_EQ(prepared_.lexical->size(), 5);
  EXPECT_FLOAT_EQ(Count("the"), 2);
  EXPECT_FLOAT_EQ(Count("court"), 1);
  EXPECT_FLOAT_EQ(Count("court's"), 1);
  EXPECT_FLOAT_EQ(Count("1990"), 1);
  EXPECT_FLOAT_EQ(Count("strasse"), 2);
  EXPECT_TRUE(std::is_sorted(prepared_.lexical->indices.begin(), prepared_.lexical->indices.end()));
}

TEST_F(LexicalPreparationTest, TheTypographicApostropheIsThatOfKeyboards) {
  ASSERT_TRUE(Add("don\xe2\x80\x99t don't").ok());
  EXPECT_FLOAT_EQ(Count("don't"), 2);
}

TEST_F(LexicalPreparationTest, FormsOfAWordAreOne_InTheLanguageThatIsAskedFor) {
  input_.lexical->language = "";  // english
  ASSERT_TRUE(Add("ruling rulings ruled").ok());
  EXPECT_FLOAT_EQ(Count("rule"), 3);
  input_.lexical->language = "german";
  ASSERT_TRUE(Add("Häuser Häusern").ok());
  EXPECT_EQ(prepared_.lexical->size(), 1);
}

TEST_F(LexicalPreparationTest, StopWordsCountNothing_NotForTheLengthEither) {
  *input_.lexical = {.language = "none", .stop_words = {"The", "DON'T", "of it"}, .k1 = 1, .b = 1};
  input_.lexical->average_length = 1;
  ASSERT_TRUE(Add("the court don\xe2\x80\x99t of It").ok());
  EXPECT_THAT(prepared_.lexical->indices, ElementsAre(WordId("court")));
  EXPECT_THAT(prepared_.lexical->values, ElementsAre(1));  // 1 * 2 / (1 + length)
}

TEST_F(LexicalPreparationTest, AText_HasTheWordsThatBeginInWhatIsRead) {
  //                  0123456789012345678901
  const char text[] = "one two three four five";
  Truncate({{0, 5}, {15, 23}});
  ASSERT_TRUE(Add(text).ok());
  EXPECT_EQ(prepared_.lexical->size(), 3);
  EXPECT_FLOAT_EQ(Count("two"), 1) << "it begins there";
  EXPECT_FLOAT_EQ(Count("four"), 0) << "byte 14 is not read";
  EXPECT_FLOAT_EQ(Count("five"), 1);
  EXPECT_FLOAT_EQ(Count("one"), 1);
}

TEST_F(LexicalPreparationTest, WhereNothingIsRead_ThereAreNoWords) {
  Truncate({});
  ASSERT_TRUE(Add("one two").ok());
  EXPECT_EQ(prepared_.lexical->size(), 0);
}

TEST_F(LexicalPreparationTest, SpansThatDivideAText_DivideItsWords) {
  const std::string text = "a bb a ccc bb a dddd eeee a a bb";
  for (const int64_t border : {1, 2, 3, 7, 8, 20, 23}) {  // also inside words
    prepared_.spans.clear();
    AddSpan(0, border);
    AddSpan(border, static_cast<int64_t>(text.size()));
    ASSERT_TRUE(Add(text).ok());
    for (const char* word : {"a", "bb", "ccc", "dddd", "eeee"}) {
      EXPECT_FLOAT_EQ(
          Count(*prepared_.spans[0].lexical, word) + Count(*prepared_.spans[1].lexical, word),
          Count(word))
          << word << " " << border;
    }
  }
}

TEST_F(LexicalPreparationTest, ASpan_HasWhatIsReadOfIt_AloneAllOfIt) {
  const std::string text = "one two three four five";
  AddSpan(4, 18);
  Truncate({{0, 5}, {14, 23}});
  ASSERT_TRUE(Add(text).ok());
  EXPECT_EQ(prepared_.spans[0].lexical->size(), 2);
  EXPECT_FLOAT_EQ(Count(*prepared_.spans[0].lexical, "three"), 0);
  EXPECT_FLOAT_EQ(Count(*prepared_.spans[0].lexical, "four"), 1);
  input_.independent_spans = true;
  ASSERT_TRUE(Add(text).ok());
  EXPECT_EQ(prepared_.spans[0].lexical->size(), 3);
}

TEST_F(LexicalPreparationTest, SpansHaveAnAverageLengthOfTheirOwn) {
  *input_.lexical = {
      .language = "none", .k1 = 1, .b = 1, .average_length = 4, .average_span_length = 2};
  AddSpan(0, 3);
  ASSERT_TRUE(Add("a b c d").ok());
  EXPECT_THAT(prepared_.lexical->values, ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(prepared_.spans[0].lexical->values, ElementsAre(1, 1));
}

TEST_F(LexicalPreparationTest, ALongTextReadInParts_HasTheSameWords) {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += i % 2 == 0 ? "word " : "another\n";
  ASSERT_TRUE(Add(text).ok());
  EXPECT_EQ(prepared_.lexical->size(), 2);
  EXPECT_NEAR(Count("word"), 20000, 1);
  EXPECT_NEAR(Count("another"), 20000, 1);
}

TEST_F(LexicalPreparationTest, WordsOfSpansTogether_AreBounded) {
  for (int64_t i = 0; i < kFreeSpanWords / 4; ++i) AddSpan(0, 7);
  EXPECT_TRUE(Add("a b c d").ok());
  AddSpan(0, 1);
  const absl::Status refused = Add("a b c d");
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(refused).value_or(""), "inputs[0].spans");
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("have 65537 words together; allowed with lexical vectors: at most 65536"));
  // A long text may have more.
  prepared_.spans.clear();
  std::string text;
  for (int64_t i = 0; i < kFreeSpanWords; ++i) text += "a ";
  for (int i = 0; i < 16; ++i) AddSpan(0, static_cast<int64_t>(text.size()));
  EXPECT_TRUE(Add(text).ok());
  AddSpan(0, 1);
  EXPECT_FALSE(Add(text).ok());
}

TEST_F(LexicalPreparationTest, WhatNobodyWaitsForEnds) {
  int looks = 0;
  stop_ = [&] { return ++looks < 3 ? absl::OkStatus() : absl::CancelledError("gone"); };
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "word ";
  EXPECT_EQ(Add(text).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(looks, 3);
}

}  // namespace
}  // namespace longspan
