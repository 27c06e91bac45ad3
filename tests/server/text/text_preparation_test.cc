#include "server/text/text_preparation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error_details.h"
#include "server/text/kept_tokens.h"
#include "server/text/text_segments.h"
#include "server/text/token_layout.h"
#include "server/text/truncation.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kCls = 1, kSep = 2;

// Makes one token of each word, whose id is the word's length + 100, between [CLS] and [SEP].
absl::StatusOr<Tokenization> Words(std::string_view text, const StopCheck& = {}) {
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

// Queries are filled up to 10 tokens by token 7.
class MultiVectorTest : public TextPreparationTest {
 protected:
  MultiVectorTest() {
    model_.multi_vector.emplace();
    model_.multi_vector->expansion =
        QueryExpansion{.length = 10, .is_fixed = true, .is_attended = true, .token_id = 7};
    input_.options.text_role = TextRole::kQuery;
    input_.options.document_vector = false;
    input_.options.token_sink = [](int64_t, int64_t, const float*) {};
  }
  TextPiece Piece() {
    const auto prepared = Prepare();
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    EXPECT_EQ(prepared.ok() ? prepared->pieces.size() : 0u, 1u);
    return prepared.ok() ? prepared->pieces[0] : TextPiece{};
  }
};

TEST_F(MultiVectorTest, AQueryIsFilledUp_ADocumentIsNot) {
  EXPECT_THAT(Piece().token_ids, ElementsAre(kCls, 101, 102, 103, 104, 105, 106, kSep, 7, 7));
  EXPECT_TRUE(Piece().attention_mask.empty());
  input_.options.text_role = TextRole::kDocument;
  EXPECT_THAT(Piece().token_ids, ElementsAre(kCls, 101, 102, 103, 104, 105, 106, kSep));
}

TEST_F(MultiVectorTest, TokensThatAreNotAttended_AreMasked) {
  model_.multi_vector->expansion->is_attended = false;
  EXPECT_THAT(Piece().attention_mask, ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 2, 2));
  model_.architecture = "longformer";  // whose published form gives such tokens rows of zeros
  EXPECT_THAT(Piece().attention_mask, ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 0, 0));
  model_.dense_up_to = 512;  // a BERT once
  EXPECT_THAT(Piece().attention_mask, ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 2, 2));
}

TEST_F(MultiVectorTest, ALongerQuery_IsRefusedOrCut_WhereItsLengthIsFixed) {
  model_.multi_vector->expansion->length = 6;
  EXPECT_EQ(Prepare().status().message(),
            "inputs[0].text has 8 tokens; a query of this model takes at most 6 (set truncation)");
  EXPECT_FALSE(Prepare(100).ok());
  input_.truncation = Truncation::kHead;
  EXPECT_THAT(Piece().token_ids, ElementsAre(kCls, 101, 102, 103, 104, kSep));
  input_.truncation = Truncation::kReject;
  model_.multi_vector->expansion->is_fixed = false;
  EXPECT_EQ(Piece().token_ids.size(), 8u);
}

TEST_F(MultiVectorTest, AdmissionIsToldOfTheTokensThatAreAdded) {
  int64_t tokens = 0;
  const PreparationControl control{.admit = [&](std::span<const TextShape> shapes, int64_t) {
    tokens = shapes[0].tokens;
    return absl::OkStatus();
  }};
  const auto prepared = PrepareText(
      input_, {.model = &model_, .tokenize = Words, .prefix_ids = {kCls}, .suffix_ids = {kSep}},
      control);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(tokens, 10);
  EXPECT_EQ(prepared->tokens_used, 8);
}

class TokenTypesTest : public TextPreparationTest {
 protected:
  // [CLS] has type 0, the text type 1, [SEP] type 2.
  absl::StatusOr<PreparedText> Prepare(int64_t max_tokens = 0) {
    const Tokenizer::TokenTypes types{.prefix = {0}, .text = 1, .suffix = {2}};
    return PrepareText(input_, {.model = &model_,
                                .tokenize =
                                    [](std::string_view text, const StopCheck&) {
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

TEST_F(TextPreparationTest, TheGapThatHeadTailLeaves_IsKnown) {
  input_.truncation = Truncation::kHeadTail;
  EXPECT_EQ(Prepare(5)->gap, 3) << "[CLS] 101 102 and 106";
  EXPECT_EQ(Prepare(3)->gap, 0) << "[CLS] 101 [SEP]";
  EXPECT_EQ(Prepare(8)->gap, 0) << "all of the text";
  for (const auto other : {Truncation::kHead, Truncation::kTail, Truncation::kWindows}) {
    input_.truncation = other;
    EXPECT_EQ(Prepare(5)->gap, 0);
  }
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
absl::StatusOr<Tokenization> BlankBeforeWord(std::string_view text, const StopCheck&) {
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

// Texts of many words, prepared with a tokenizer that counts, and a record of what admission was
// asked.
class PreparationCostTest : public TextPreparationTest {
 protected:
  PreparationCostTest() {
    context_ = {.model = &model_,
                .tokenize =
                    [this](std::string_view text, const StopCheck& stop) {
                      ++tokenized_;
                      bytes_ += static_cast<int64_t>(text.size());
                      return Words(text, stop);
                    },
                .prefix_ids = {kCls},
                .suffix_ids = {kSep},
                .max_tokens = 0,
                .max_global_tokens = 100};
    control_ = {.stop =
                    [this] {
                      return ++asked_ > stop_after_ ? absl::CancelledError("gone")
                                                    : absl::OkStatus();
                    },
                .admit =
                    [this](std::span<const TextShape> shapes, int64_t) {
                      shapes_.assign(shapes.begin(), shapes.end());
                      return admit_;
                    }};
  }
  // "w w w ..."
  void SetWords(int64_t words) {
    input_.text.clear();
    for (int64_t i = 0; i < words; ++i) input_.text += "w ";
  }
  absl::StatusOr<PreparedText> Prepare() { return PrepareText(input_, context_, control_); }
  void ExpectRefused(const std::string& field, const std::string& message) {
    const absl::Status status = Prepare().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(FieldOf(status), "inputs[0]" + field);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }

  PreparationContext context_;
  PreparationControl control_;
  absl::Status admit_;
  std::vector<TextShape> shapes_;  // that admission was asked for
  int64_t tokenized_ = 0;          // calls of the tokenizer
  int64_t bytes_ = 0;              // that it was given
  int64_t asked_ = 0;
  int64_t stop_after_ = int64_t{1} << 40;
};

TEST_F(PreparationCostTest, GlobalSpans_AreMerged_AndCountedBeforeTheyBecomePositions) {
  SetWords(2000);
  for (int64_t i = 0; i < 60'000; ++i) input_.global_spans.push_back({0, 2 + 2 * (i % 1999)});
  ExpectRefused(".global_attention_spans", "make 1999 tokens global; allowed: at most 100");
  EXPECT_TRUE(shapes_.empty());
  input_.global_spans.assign(60'000, {0, 60});
  input_.global_positions.assign(60'000, 7);
  input_.global_positions.push_back(1500);
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->pieces[0].global_positions.size(), 31U);
  EXPECT_EQ(prepared->pieces[0].global_positions.front(), 1);
  EXPECT_EQ(prepared->pieces[0].global_positions.back(), 1500);
  ASSERT_EQ(shapes_.size(), 1U);
  EXPECT_EQ(shapes_[0], TextShape(2002, 31, 1));
}

TEST_F(PreparationCostTest, GlobalRanges_OfManyOverlappingSpans_AreOne) {
  SetWords(20'000);
  for (int64_t i = 0; i < 60'000; ++i)
    input_.global_spans.push_back({i % 100, 20'000 + i % 20'000});
  TokenLayout layout = *ReadTokens(input_, context_);
  const auto ranges = GlobalRanges(input_, layout, 0);
  ASSERT_TRUE(ranges.ok());
  EXPECT_THAT(*ranges, ElementsAre(TokenRange{1, 20'001}));
}

// What they cost together is known from their ranges: nothing but the text itself is tokenised.
TEST_F(PreparationCostTest, IndependentSpans_AreCountedBeforeAnyIsMade) {
  SetWords(5000);
  context_.max_independent_tokens = 100'000;
  input_.span_policy = SpanPolicy::kGiven;
  input_.independent_spans = true;
  for (int64_t i = 0; i < 60'000; ++i) input_.spans.push_back({i % 100, 10'000});
  ExpectRefused(".spans",
                "tokens together, each with prompt and special tokens; allowed where they "
                "are independent: at most 100000");
  EXPECT_EQ(tokenized_, 1);
  EXPECT_TRUE(shapes_.empty());
  // Blanks are bytes without tokens; they are read all the same.
  context_.max_independent_bytes = 1'000'000;
  context_.max_independent_tokens = 0;
  ExpectRefused(".spans", "bytes together");
  EXPECT_EQ(tokenized_, 2);
}

TEST_F(PreparationCostTest, WhatAdmissionRefuses_IsNeverMade) {
  SetWords(1000);
  input_.span_policy = SpanPolicy::kGiven;
  input_.independent_spans = true;
  input_.spans.assign(1000, {0, 1999});
  admit_ = absl::ResourceExhaustedError("too much");
  EXPECT_EQ(Prepare().status(), admit_);
  EXPECT_EQ(tokenized_, 1);
  ASSERT_EQ(shapes_.size(), 1001U);
  EXPECT_EQ(shapes_[0].tokens, 1002);
  EXPECT_EQ(shapes_[1].tokens, 1002);
}

TEST_F(PreparationCostTest, IndependentSpansOfOneToken_CountTheirBytes) {
  input_.text = "a" + std::string(4000, 'x') + " b";
  input_.span_policy = SpanPolicy::kGiven;
  input_.independent_spans = true;
  input_.options.document_vector = false;
  input_.spans.assign(10, {0, 4000});
  ASSERT_TRUE(Prepare().ok());
  ASSERT_EQ(shapes_.size(), 10U);
  EXPECT_EQ(shapes_[0].tokens, 1002);  // a token for four bytes, and two special ones
}

TEST_F(PreparationCostTest, ThePromptAlone_IsTokenisedOnceForAllSpans) {
  SetWords(100);
  model_.pool_prompt = false;
  input_.prompt = "query: ";
  input_.span_policy = SpanPolicy::kGiven;
  input_.independent_spans = true;
  input_.options.document_vector = false;
  input_.spans.assign(50, {0, 9});
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(tokenized_, 1 + 1 + 50);
  EXPECT_EQ(prepared->pieces[49].options.pooling_begin, 2);
}

TEST_F(PreparationCostTest, ATextThatNobodyWaitsFor_EndsBetweenTwoSpans) {
  SetWords(100);
  input_.span_policy = SpanPolicy::kGiven;
  input_.independent_spans = true;
  input_.spans.assign(1000, {0, 9});
  stop_after_ = 20;
  EXPECT_EQ(Prepare().status().code(), absl::StatusCode::kCancelled);
  EXPECT_LE(tokenized_, 21);
  EXPECT_EQ(FieldOf(Prepare().status()), std::nullopt) << "it is no fault of the text's";
}

TEST_F(PreparationCostTest, FixedSpans_AreCountedBeforeTheyAreMade) {
  SetWords(70'000);
  input_.span_policy = SpanPolicy::kFixed;
  input_.span_tokens = 1000;
  input_.span_overlap = 999;
  ExpectRefused(".spans", "are 69001; allowed: at most 65536");
  input_.span_overlap = 998;
  EXPECT_EQ(Prepare()->spans.size(), 34'501U);
  input_.span_tokens = 70'000;
  input_.span_overlap = 69'999;
  EXPECT_EQ(Prepare()->spans.size(), 1U);
}

TEST_F(PreparationCostTest, ManyShortSentences_AreCountedWhileTheyAreFound) {
  input_.text.clear();
  for (int i = 0; i < 70'000; ++i) input_.text += "A! ";
  input_.span_policy = SpanPolicy::kSentences;
  ExpectRefused(".spans", "are more than 65536; allowed: at most 65536");
  input_.text.resize(3 * 1000);
  EXPECT_EQ(Prepare()->spans.size(), 1000U);
}

// A span across windows takes a vector of each: spans x windows.
TEST_F(PreparationCostTest, SpansAcrossWindows_AreBounded) {
  SetWords(2000);
  context_.max_tokens = 12;  // 200 windows
  input_.truncation = Truncation::kWindows;
  input_.span_policy = SpanPolicy::kGiven;
  input_.spans.assign(60'000, {0, 3999});
  ExpectRefused(".spans", "lie in more than 131072 windows together; allowed: at most 131072");
  EXPECT_TRUE(shapes_.empty());
  input_.spans.resize(600);
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->spans[599].parts.size(), 200U);
}

// The parts of a span, by going through all windows.
std::vector<VectorPart> PartsByTrying(const std::vector<KeptTokens>& kept, TokenRange span,
                                      int64_t size) {
  std::vector<VectorPart> parts;
  for (size_t p = 0; p < kept.size(); ++p) {
    const TokenRange mapped = kept[p].Map(span);
    if (mapped.size() == span.size() || (mapped.size() > 0 && kept.size() == 1))
      return {{static_cast<int32_t>(p), -1, static_cast<double>(mapped.size())}};
  }
  for (size_t p = 0; p < kept.size(); ++p) {
    const int64_t begin = p == 0 ? 0 : kept[p].body().begin;
    const int64_t end = p + 1 < kept.size() ? kept[p + 1].body().begin : size;
    const TokenRange owned{std::max(begin, span.begin), std::min(end, span.end)};
    const TokenRange mapped = owned.size() > 0 ? kept[p].Map(owned) : TokenRange{};
    if (mapped.size() > 0)
      parts.push_back({static_cast<int32_t>(p), -1, static_cast<double>(mapped.size())});
  }
  return parts;
}

TEST_F(PreparationCostTest, EverySpan_LiesInTheWindowsThatTryingAllOfThemFinds) {
  input_.text.clear();
  input_.token_ids.assign(40, 7);
  input_.token_ids.front() = kCls;
  input_.token_ids.back() = kSep;
  input_.span_policy = SpanPolicy::kGiven;
  for (int64_t begin = 0; begin < 40; ++begin)
    for (int64_t end = begin + 1; end <= 40; ++end) input_.spans.push_back({begin, end});
  const TokenLayout layout = *ReadTokens(input_, context_);
  for (const auto& [max_tokens, overlap] :
       {std::pair{40, 0}, std::pair{10, 0}, std::pair{10, 3}, std::pair{7, 2}, std::pair{3, 0}}) {
    context_.max_tokens = max_tokens;
    input_.truncation = Truncation::kWindows;
    input_.window_overlap = overlap;
    std::vector<KeptTokens> kept;
    const auto ranges = Truncate(input_, layout, max_tokens);
    ASSERT_TRUE(ranges.ok()) << ranges.status();
    for (const std::vector<TokenRange>& body : *ranges) kept.emplace_back(layout, body);
    const auto prepared = Prepare();
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    ASSERT_EQ(prepared->pieces.size(), kept.size());
    for (const PreparedSpan& span : prepared->spans) {
      const std::vector<VectorPart> want = PartsByTrying(kept, span.tokens, layout.size());
      ASSERT_EQ(span.parts.size(), want.size()) << span.tokens.begin << ".." << span.tokens.end;
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(span.parts[i].piece, want[i].piece);
        EXPECT_EQ(span.parts[i].weight, want[i].weight);
      }
    }
  }
}

// The shapes that admission is asked for are those of the pieces.
TEST_F(PreparationCostTest, TheShapesAskedFor_AreThoseOfThePieces) {
  SetWords(100);
  input_.truncation = Truncation::kWindows;
  input_.window_overlap = 3;
  input_.global_spans = {{0, 10}, {50, 90}, {150, 199}};
  input_.global_positions = {0, 101, 33};
  input_.span_policy = SpanPolicy::kFixed;
  input_.span_tokens = 9;
  input_.span_overlap = 4;
  input_.lsh.num_hashes = 3;
  for (const int64_t max_tokens : {0, 20, 33}) {
    context_.max_tokens = max_tokens;
    const auto prepared = Prepare();
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    ASSERT_EQ(shapes_.size(), prepared->pieces.size());
    int64_t globals = 0;
    for (size_t i = 0; i < shapes_.size(); ++i) {
      EXPECT_EQ(shapes_[i], ShapeOf(prepared->pieces[i], prepared->lsh)) << i;
      globals += shapes_[i].globals;
    }
    EXPECT_GT(globals, 40);
  }
}

TEST_F(TextPreparationTest, ATextWithoutTokenizerIsFailedPrecondition) {
  EXPECT_EQ(PrepareText(input_, {.model = &model_}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// What an input makes, or why it makes nothing, in a form that can be compared.
std::string Outcome(const absl::StatusOr<PreparedText>& prepared) {
  if (!prepared.ok()) {
    return absl::StrCat(absl::StatusCodeToString(prepared.status().code()), " ",
                        FieldOf(prepared.status()).value_or(""), " ",
                        ReasonOf(prepared.status()).value_or(""));
  }
  std::string text = absl::StrCat(prepared->tokens_total, "/", prepared->tokens_used);
  for (const TextPiece& piece : prepared->pieces)
    absl::StrAppend(&text, " [", absl::StrJoin(piece.token_ids, " "), "]");
  for (const TextRange& range : prepared->used_text)
    absl::StrAppend(&text, " ", range.begin, "..", range.end);
  for (const PreparedSpan& span : prepared->spans)
    absl::StrAppend(&text, " ", span.tokens.begin, "-", span.tokens.end, ":", span.parts.size());
  return text;
}

// A request's max_tokens does what that of a server does, whatever the server's own is.
TEST_F(TextPreparationTest, MaxTokensOfTheRequest_IsAsIfTheServersWereSoMany) {
  std::mt19937 random(7);
  int refused = 0, cut = 0;
  for (int round = 0; round < 400; ++round) {
    input_.text.clear();
    for (int words = 1 + static_cast<int>(random() % 30); words > 0; --words)
      absl::StrAppend(&input_.text, std::string(1 + random() % 5, 'w'), words > 1 ? " " : "");
    input_.truncation = static_cast<Truncation>(random() % 5);
    input_.window_overlap = input_.truncation == Truncation::kWindows ? random() % 3 : 0;
    input_.span_policy = random() % 2 == 0 ? SpanPolicy::kNone : SpanPolicy::kFixed;
    input_.span_tokens = 1 + random() % 6;
    input_.independent_spans = random() % 4 == 0;
    const int64_t most = 1 + random() % 20;
    input_.max_tokens = 0;
    const std::string of_server = Outcome(Prepare(most));
    input_.max_tokens = most;
    EXPECT_EQ(Outcome(Prepare()), of_server) << round;
    EXPECT_EQ(Outcome(Prepare(most + random() % 10)), of_server) << round;
    refused += of_server.starts_with("INVALID") ? 1 : 0;
    input_.max_tokens = 0;
    cut += Outcome(Prepare()) != of_server ? 1 : 0;
  }
  EXPECT_GT(refused, 40);
  EXPECT_GT(cut - refused, 40);
}

TEST_F(TextPreparationTest, ATextBeyondTheRequestsMaxTokens_NamesThatField) {
  input_.max_tokens = 5;
  const absl::Status status = Prepare(512).status();
  EXPECT_EQ(status.message(),
            "inputs[0].text has 8 tokens; options.max_tokens takes at most 5 (set truncation)");
}

}  // namespace
}  // namespace longspan
