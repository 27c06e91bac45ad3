// Which rows a text has, and where its pieces put theirs, for every way to cut it.
#include "server/text/token_places.h"

#include <gmock/gmock.h>

#include <string>
#include <tuple>
#include <vector>

#include "server/text/text_preparation.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr int32_t kCls = 1, kSep = 2;

// A token for each letter, whose id is the letter; [CLS] and [SEP] around them.
absl::StatusOr<Tokenization> Letters(std::string_view text, const StopCheck& = {}) {
  Tokenization out;
  const auto add = [&](int32_t id, int64_t begin, int64_t end, bool special) {
    out.ids.push_back(id);
    out.bytes.push_back({begin, end});
    out.characters.push_back({begin, end});
    out.special.push_back(special);
  };
  add(kCls, 0, 0, true);
  for (size_t i = 0; i < text.size(); ++i)
    add(text[i], static_cast<int64_t>(i), static_cast<int64_t>(i) + 1, false);
  add(kSep, 0, 0, true);
  return out;
}

class TokenPlacesTest : public testing::Test {
 protected:
  TokenPlacesTest() {
    model_.token_dimensions = 4;
    input_.field = "documents[0]";
    input_.text = "abcdefghij";
    input_.options.document_vector = false;
    input_.wants_token_places = true;
    input_.piece_sink = [](int32_t, int64_t, int64_t, const float*) {};
  }
  PreparedText Prepare(int64_t max_tokens) {
    auto prepared = PrepareText(input_, {.model = &model_,
                                         .tokenize = Letters,
                                         .prefix_ids = {kCls},
                                         .suffix_ids = {kSep},
                                         .max_tokens = max_tokens});
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    return *std::move(prepared);
  }
  // What each row holds by the pieces that write it, and by the places.
  static void ExpectEachRowOnce(const PreparedText& prepared, const std::string& expected) {
    const TokenPlaces& places = *prepared.token_places;
    std::string by_pieces(places.num_rows(), '?'), by_places;
    for (size_t piece = 0; piece < prepared.pieces.size(); ++piece) {
      for (const TokenPlaces::PieceRows& part : places.rows_of(static_cast<int32_t>(piece))) {
        for (int64_t i = 0; i < part.tokens.size(); ++i) {
          char& row = by_pieces[part.first_row + i];
          EXPECT_EQ(row, '?') << "written twice";
          row = static_cast<char>(prepared.pieces[piece].token_ids[part.tokens.begin + i]);
        }
      }
    }
    for (const int32_t id : places.ids()) by_places.push_back(static_cast<char>(id));
    EXPECT_EQ(by_pieces, expected);
    EXPECT_EQ(by_places, expected);
    ASSERT_EQ(places.places().size(), expected.size());
    for (size_t row = 0; row < expected.size(); ++row)
      EXPECT_EQ(places.places()[row].byte_begin, static_cast<uint32_t>(expected[row] - 'a'));
  }
  static std::vector<std::pair<int64_t, int64_t>> Runs(const PreparedText& prepared) {
    std::vector<std::pair<int64_t, int64_t>> runs;
    for (const auto& run : prepared.token_places->runs())
      runs.emplace_back(run.first_row, run.end_row);
    return runs;
  }

  ModelInfo model_;
  EncodeInput input_;
};

TEST_F(TokenPlacesTest, AWholeText_IsOneRun_WithoutSpecialTokens) {
  const PreparedText prepared = Prepare(0);
  ExpectEachRowOnce(prepared, "abcdefghij");
  EXPECT_THAT(Runs(prepared), ElementsAre(Pair(0, 10)));
  const TokenPlaces& places = *prepared.token_places;
  EXPECT_EQ(places.Bytes(2, 5).begin, 2);
  EXPECT_EQ(places.Bytes(2, 5).end, 5);
  EXPECT_EQ(places.Tokens(2, 5).begin, 3);  // [CLS] counts
  EXPECT_EQ(places.Tokens(2, 5).end, 6);
}

TEST_F(TokenPlacesTest, APrompt_HasNoRows) {
  input_.prompt = "xyz";
  ExpectEachRowOnce(Prepare(0), "abcdefghij");
}

TEST_F(TokenPlacesTest, WhatIsCutOff_HasNoRows) {
  input_.truncation = Truncation::kHead;
  ExpectEachRowOnce(Prepare(6), "abcd");
  input_.truncation = Truncation::kTail;
  const PreparedText tail = Prepare(6);
  ExpectEachRowOnce(tail, "ghij");
  EXPECT_EQ(tail.token_places->Tokens(0, 4).begin, 7);
}

TEST_F(TokenPlacesTest, BeginningAndEnd_AreTwoRuns) {
  input_.truncation = Truncation::kHeadTail;
  const PreparedText prepared = Prepare(6);
  ExpectEachRowOnce(prepared, "abij");
  EXPECT_THAT(Runs(prepared), ElementsAre(Pair(0, 2), Pair(2, 4)));
  EXPECT_EQ(prepared.token_places->Tokens(2, 4).begin, 9);
}

TEST_F(TokenPlacesTest, OfWindows_EachTokenHasOneRow_FromTheWindowThatSeesMoreAroundIt) {
  input_.truncation = Truncation::kWindows;
  for (const int64_t overlap : {0, 1, 2}) {
    input_.window_overlap = overlap;
    const PreparedText prepared = Prepare(7);  // windows of 5
    EXPECT_GE(prepared.pieces.size(), 2u);
    ExpectEachRowOnce(prepared, "abcdefghij");
    EXPECT_THAT(Runs(prepared), ElementsAre(Pair(0, 10)));
  }
  // abcde, defgh, ghij: of "de" the first window has d, the second one e.
  EXPECT_EQ(Prepare(7).token_places->rows_of(1)[0].first_row, 4);
}

TEST_F(TokenPlacesTest, RowsComeFromTheSink_WithThePieceTheyBelongTo) {
  std::vector<std::tuple<int32_t, int64_t, int64_t>> calls;
  input_.piece_sink = [&](int32_t piece, int64_t first, int64_t count, const float*) {
    calls.emplace_back(piece, first, count);
  };
  input_.truncation = Truncation::kWindows;
  const PreparedText prepared = Prepare(7);
  for (const TextPiece& piece : prepared.pieces) piece.options.token_sink(1, 2, nullptr);
  EXPECT_THAT(calls, ElementsAre(std::tuple(0, 1, 2), std::tuple(1, 1, 2)));
}

TEST_F(TokenPlacesTest, WhereNobodyAsks_ThereAreNone) {
  input_.wants_token_places = false;
  EXPECT_EQ(Prepare(0).token_places, nullptr);
}

}  // namespace
}  // namespace longspan
