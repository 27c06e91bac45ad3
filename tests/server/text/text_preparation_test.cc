#include "server/text/text_preparation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error_details.h"
#include "server/text/text_segments.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kCls = 1, kSep = 2;

// Makes one token of each word, whose id is the word's length + 100, between [CLS] and [SEP].
absl::StatusOr<Tokenization> Words(std::string_view text) {
  Tokenization out;
  const auto add = [&](int32_t id, int64_t begin, int64_t end, bool special) {
    out.ids.push_back(id);
    out.bytes.push_back({begin, end});
    out.characters.push_back(
        {CountCharacters(text.substr(0, begin)), CountCharacters(text.substr(0, end))});
    out.special.push_back(special);
  };
  add(kCls, 0, 0, true);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find_first_not_of(" \n", at);
    if (begin == std::string_view::npos) break;
    at = std::min(text.find_first_of(" \n", begin), text.size());
    add(static_cast<int32_t>(100 + at - begin), static_cast<int64_t>(begin),
        static_cast<int64_t>(at), false);
  }
  add(kSep, 0, 0, true);
  return out;
}

class TextPreparationTest : public ::testing::Test {
 protected:
  TextPreparationTest() {
    model_.token_dimensions = 4;
    model_.supports_global_attention = true;
    input_.field = "inputs[0]";
    input_.text = "a bb ccc dddd eeeee ffffff";  // ids 101..106, n = 8 with the special tokens
  }
  absl::StatusOr<PreparedText> Prepare(int64_t max_tokens = 0) {
    return PrepareText(input_, {.model = &model_,
                                .tokenize = Words,
                                .prefix_ids = {kCls},
                                .suffix_ids = {kSep},
                                .max_tokens = max_tokens});
  }

  ModelInfo model_;
  EncodeInput input_;
};

class TokenTypesTest : public TextPreparationTest {
 protected:
  // [CLS] has type 0, the text type 1, [SEP] type 2.
  absl::StatusOr<PreparedText> Prepare(int64_t max_tokens = 0) {
    const Tokenizer::TokenTypes types{.prefix = {0}, .text = 1, .suffix = {2}};
    return PrepareText(input_, {.model = &model_,
                                .tokenize =
                                    [](std::string_view text) {
                                      auto tokens = Words(text);
                                      tokens->types.assign(tokens->ids.size(), 1);
                                      tokens->types.front() = 0;
                                      tokens->types.back() = 2;
                                      return tokens;
                                    },
                                .prefix_ids = {kCls},
                                .suffix_ids = {kSep},
                                .types = has_types_ ? types : Tokenizer::TokenTypes{},
                                .max_tokens = max_tokens});
  }
  bool has_types_ = true;
};

TEST_F(TokenTypesTest, EachWindowHasTheTypesOfItsTokens) {
  input_.truncation = Truncation::kWindows;
  const auto prepared = Prepare(5);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces.size(), 2u);
  for (const TextPiece& piece : prepared->pieces)
    EXPECT_THAT(piece.token_types, ElementsAre(0, 1, 1, 1, 2));
}

TEST_F(TokenTypesTest, AnIndependentSpanHasTypesOfItsOwn) {
  input_.span_policy = SpanPolicy::kGiven;
  input_.spans = {{0, 4}};
  input_.independent_spans = true;
  input_.options.document_vector = false;
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces.size(), 1u);
  EXPECT_THAT(prepared->pieces[0].token_types, ElementsAre(0, 1, 1, 2));
}

TEST_F(TokenTypesTest, IdsOfTheCallerHaveTheTypesOfSuchAText) {
  input_.text.clear();
  input_.token_ids = {kCls, 7, 8, kSep};
  EXPECT_THAT(Prepare()->pieces[0].token_types, ElementsAre(0, 1, 1, 2));
  input_.token_ids = {7, 8, kSep};
  EXPECT_THAT(Prepare()->pieces[0].token_types, ElementsAre(1, 1, 1));
}

TEST_F(TokenTypesTest, AModelWithoutTypesIsGivenNone) {
  has_types_ = false;
  EXPECT_TRUE(Prepare()->pieces[0].token_types.empty());
}

TEST_F(TextPreparationTest, WhatFitsIsLeftAlone) {
  const auto prepared = Prepare(8);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces.size(), 1u);
  EXPECT_THAT(prepared->pieces[0].token_ids, ElementsAre(kCls, 101, 102, 103, 104, 105, 106, kSep));
  EXPECT_EQ(prepared->tokens_used, prepared->tokens_total);
  EXPECT_THAT(prepared->used_text, ElementsAre(TextRange{0, 26}));
}

TEST_F(TextPreparationTest, Reject_NamesFieldCountAndLimit) {
  const absl::Status status = Prepare(5).status();
  EXPECT_EQ(status.message(),
            "inputs[0].text has 8 tokens; this model takes at most 5 (set truncation)");
  EXPECT_EQ(FieldOf(status), "inputs[0].text");
}

TEST_F(TextPreparationTest, TruncationKeepsSpecialTokensAndSaysWhichBytesWereRead) {
  input_.truncation = Truncation::kHead;
  EXPECT_THAT(Prepare(5)->pieces[0].token_ids, ElementsAre(kCls, 101, 102, 103, kSep));
  EXPECT_THAT(Prepare(5)->used_text, ElementsAre(TextRange{0, 8}));
  input_.truncation = Truncation::kTail;
  EXPECT_THAT(Prepare(5)->pieces[0].token_ids, ElementsAre(kCls, 104, 105, 106, kSep));
  EXPECT_THAT(Prepare(5)->used_text, ElementsAre(TextRange{9, 26}));
  input_.truncation = Truncation::kHeadTail;
  EXPECT_THAT(Prepare(5)->pieces[0].token_ids, ElementsAre(kCls, 101, 102, 106, kSep));
  EXPECT_THAT(Prepare(5)->used_text, ElementsAre(TextRange{0, 4}, TextRange{20, 26}));
  EXPECT_EQ(Prepare(5)->tokens_used, 5);
  EXPECT_EQ(Prepare(5)->tokens_total, 8);
}

TEST_F(TextPreparationTest, WindowsOverlapAndWeighTheirTokens) {
  input_.truncation = Truncation::kWindows;
  input_.window_overlap = 1;
  const auto prepared = Prepare(5);  // room for 3: [0 3) [2 5) [4 6)
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces.size(), 3u);
  EXPECT_THAT(prepared->pieces[0].token_ids, ElementsAre(kCls, 101, 102, 103, kSep));
  EXPECT_THAT(prepared->pieces[1].token_ids, ElementsAre(kCls, 103, 104, 105, kSep));
  EXPECT_THAT(prepared->pieces[2].token_ids, ElementsAre(kCls, 105, 106, kSep));
  ASSERT_EQ(prepared->document.size(), 3u);
  EXPECT_EQ(prepared->document[0].weight, 3);
  EXPECT_EQ(prepared->document[2].weight, 2);
  EXPECT_EQ(prepared->tokens_used, 8);
  input_.window_overlap = 2;
  EXPECT_THAT(std::string(Prepare(5).status().message()), HasSubstr("below half the window of 3"));
}

TEST_F(TextPreparationTest, WindowsAreNormalisedOnceAtTheEnd) {
  input_.truncation = Truncation::kWindows;
  model_.normalize = true;
  const auto prepared = Prepare(5);
  EXPECT_TRUE(prepared->normalize_joined);
  EXPECT_EQ(prepared->pieces[0].options.normalize, false);
}

TEST_F(TextPreparationTest, GivenSpansBecomeTokenRanges) {
  input_.span_policy = SpanPolicy::kGiven;
  input_.spans = {{0, 4}, {9, 26}};
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->spans[0].tokens, (TokenRange{1, 3}));
  EXPECT_EQ(prepared->spans[1].tokens, (TokenRange{4, 7}));
  EXPECT_THAT(prepared->pieces[0].options.spans, ElementsAre(TokenRange{1, 3}, TokenRange{4, 7}));
  input_.spans = {{0, 27}};
  EXPECT_THAT(std::string(Prepare().status().message()), HasSubstr("allowed: begin < end <= 26"));
}

TEST_F(TextPreparationTest, ASpanAcrossWindowsIsAMeanOfItsParts) {
  input_.truncation = Truncation::kWindows;
  input_.span_policy = SpanPolicy::kGiven;
  // "ccc dddd eeeee" is the tokens 3..6; windows of 3 without overlap are [1 4) and [4 7).
  input_.spans = {{5, 19}};
  const auto prepared = Prepare(5);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->spans[0].parts.size(), 2u);
  EXPECT_EQ(prepared->spans[0].parts[0].weight, 1);
  EXPECT_EQ(prepared->spans[0].parts[1].weight, 2);
}

TEST_F(TextPreparationTest, ASpanThatTruncationCutOffIsAnError) {
  input_.truncation = Truncation::kHead;
  input_.span_policy = SpanPolicy::kGiven;
  input_.spans = {{20, 26}};
  EXPECT_EQ(FieldOf(Prepare(5).status()), "inputs[0].spans[0]");
}

TEST_F(TextPreparationTest, PromptStandsInFrontAndOutOfOffsets) {
  input_.prompt = "query: ";
  model_.pool_prompt = false;
  input_.span_policy = SpanPolicy::kGiven;
  input_.spans = {{0, 1}};
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->pieces[0].token_ids[1], 106);  // "query:"
  EXPECT_EQ(prepared->pieces[0].options.pooling_begin, 2);
  EXPECT_EQ(prepared->spans[0].tokens, (TokenRange{2, 3}));
  input_.span_policy = SpanPolicy::kNone;
  input_.truncation = Truncation::kTail;
  EXPECT_THAT(Prepare(5)->pieces[0].token_ids, ElementsAre(kCls, 106, 105, 106, kSep))
      << "the prompt is never cut";
}

// Splits like a byte-level tokenizer: a blank belongs to the token of the word behind it, though
// the token's range leaves the blank out. A blank at the end is a token of its own.
absl::StatusOr<Tokenization> BlankBeforeWord(std::string_view text) {
  Tokenization out;
  const auto add = [&](int32_t id, size_t begin, size_t end, bool special) {
    out.ids.push_back(id);
    out.bytes.push_back({static_cast<int64_t>(begin), static_cast<int64_t>(end)});
    out.characters.push_back(out.bytes.back());  // ASCII only
    out.special.push_back(special);
  };
  add(kCls, 0, 0, true);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin + 1), text.size());
    const bool trimmed = text[begin] == ' ' && end > begin + 1;
    add(static_cast<int32_t>(100 + end - begin), begin + (trimmed ? 1 : 0), end, false);
    begin = end;
  }
  add(kSep, 0, 0, true);
  return out;
}

TEST_F(TextPreparationTest, APromptLeftOutOfPooling_IsCountedAlone_AsSentenceTransformersDoes) {
  input_.prompt = "query: ";
  model_.pool_prompt = false;
  const auto pooling_begin = [&](const std::string& text) {
    input_.text = text;
    const auto prepared = PrepareText(input_, {.model = &model_,
                                               .tokenize = BlankBeforeWord,
                                               .prefix_ids = {kCls},
                                               .suffix_ids = {kSep}});
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    return prepared->pieces[0].options.pooling_begin;
  };
  // Alone the prompt is [CLS] "query:" " " [SEP], so its count is 3. In front of a text the blank
  // joins the first word, which the count takes out of pooling with it.
  EXPECT_EQ(pooling_begin("what is this"), 3);
  EXPECT_EQ(pooling_begin("x"), 3);  // [CLS] "query:" " x" [SEP]: [SEP] alone is pooled
  model_.pool_prompt = true;
  EXPECT_EQ(pooling_begin("what is this"), 0);
}

TEST_F(TextPreparationTest, GlobalSpansAreWidenedToWords) {
  input_.global_spans = {{6, 7}};  // inside "ccc"
  EXPECT_THAT(Prepare()->pieces[0].global_positions, ElementsAre(3));
}

TEST_F(TextPreparationTest, IndependentSpansAreTextsOfTheirOwn) {
  input_.span_policy = SpanPolicy::kFixed;
  input_.span_tokens = 4;
  input_.span_overlap = 1;
  input_.independent_spans = true;
  input_.options.document_vector = false;
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces.size(), 2u);
  EXPECT_THAT(prepared->pieces[1].token_ids, ElementsAre(kCls, 104, 105, 106, kSep));
  EXPECT_TRUE(prepared->document.empty());
}

TEST_F(TextPreparationTest, TokenVectorsAreThoseOfTheDocument_NeverOfIndependentSpans) {
  input_.options.document_vector = false;
  input_.options.token_sink = [](int64_t, int64_t, const float*) {};
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces.size(), 1u);
  EXPECT_TRUE(prepared->pieces[0].options.token_sink);
  EXPECT_TRUE(prepared->document.empty());
  input_.span_policy = SpanPolicy::kFixed;
  input_.span_tokens = 4;
  input_.independent_spans = true;
  const auto with_spans = Prepare();
  ASSERT_TRUE(with_spans.ok()) << with_spans.status();
  ASSERT_EQ(with_spans->pieces.size(), 3u);
  EXPECT_TRUE(with_spans->pieces[0].options.token_sink);
  for (const size_t span : {1, 2}) EXPECT_FALSE(with_spans->pieces[span].options.token_sink);
}

TEST_F(TextPreparationTest, IdsOfTheCallerKeepTheirOwnSpecialTokens) {
  input_.text.clear();
  input_.token_ids = {kCls, 11, 12, 13, 14, kSep};
  input_.truncation = Truncation::kTail;
  EXPECT_THAT(Prepare(4)->pieces[0].token_ids, ElementsAre(kCls, 13, 14, kSep));
}

TEST_F(TextPreparationTest, ATextWithoutTokenizerIsFailedPrecondition) {
  EXPECT_EQ(PrepareText(input_, {.model = &model_}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace longspan
