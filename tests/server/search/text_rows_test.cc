// Rows of a text that come piece by piece, in parts, and twice.
#include "server/search/text_rows.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "server/text/text_preparation.h"

namespace longspan {
namespace {

constexpr int64_t kWidth = 3;

absl::StatusOr<Tokenization> Letters(std::string_view text, const StopCheck& = {}) {
  Tokenization out;
  for (size_t i = 0; i < text.size(); ++i) {
    out.ids.push_back(text[i]);
    out.bytes.push_back({static_cast<int64_t>(i), static_cast<int64_t>(i) + 1});
    out.characters.push_back(out.bytes.back());
    out.special.push_back(false);
  }
  return out;
}

class TextRowsTest : public testing::Test {
 protected:
  TextRowsTest() {
    EncodeInput input{.field = "documents[0]", .text = "abcdefghijkl"};
    input.truncation = Truncation::kWindows;
    input.window_overlap = 2;
    input.options.document_vector = false;
    input.wants_token_places = true;
    input.piece_sink = [](int32_t, int64_t, int64_t, const float*) {};
    prepared_ = *PrepareText(input, {.model = &model_, .tokenize = Letters, .max_tokens = 6});
  }
  // What a pass gives for a piece: [id, id + 1, id + 2] of each token.
  std::vector<float> Values(int32_t piece) const {
    std::vector<float> values;
    for (const int32_t id : prepared_.pieces[piece].token_ids) {
      for (int64_t i = 0; i < kWidth; ++i) values.push_back(static_cast<float>(id + i));
    }
    return values;
  }
  void TakeInParts(TextRows& rows, int32_t piece, int64_t part) const {
    const std::vector<float> values = Values(piece);
    const auto count = static_cast<int64_t>(prepared_.pieces[piece].token_ids.size());
    for (int64_t first = 0; first < count; first += part)
      rows.Take(piece, first, std::min(part, count - first), values.data() + first * kWidth);
  }
  std::vector<float> Expected() const {
    std::vector<float> values;
    for (char id = 'a'; id <= 'l'; ++id) {
      for (int64_t i = 0; i < kWidth; ++i) values.push_back(static_cast<float>(id + i));
    }
    return values;
  }

  ModelInfo model_;
  PreparedText prepared_;
};

TEST_F(TextRowsTest, RowsStandInTheOrderOfTheText_HoweverTheyCome) {
  ASSERT_EQ(prepared_.pieces.size(), 3u);
  for (const int64_t part : {1, 2, 4, 6}) {
    TextRows rows(kWidth, TextRows::kFloat32);
    rows.SetPlaces(prepared_.token_places);
    for (const int32_t piece : {2, 0, 1, 0}) TakeInParts(rows, piece, part);
    EXPECT_EQ(rows.values(), Expected()) << part;
  }
}

TEST_F(TextRowsTest, PiecesMayRunAtTheSameTime) {
  for (int round = 0; round < 20; ++round) {
    TextRows rows(kWidth, TextRows::kFloat32);
    rows.SetPlaces(prepared_.token_places);
    std::vector<std::thread> workers;
    for (const int32_t piece : {0, 1, 2})
      workers.emplace_back([&, piece] { TakeInParts(rows, piece, 1); });
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(rows.values(), Expected());
  }
}

TEST_F(TextRowsTest, OfADocument_TheyAreInt8) {
  TextRows rows(kWidth, TextRows::kInt8);
  rows.SetPlaces(prepared_.token_places);
  for (const int32_t piece : {0, 1, 2}) TakeInParts(rows, piece, 4);
  TokenMatrix expected(kWidth);
  expected.Append(Expected().data(), 12);
  ASSERT_EQ(rows.matrix().num_rows(), 12);
  for (int64_t row = 0; row < 12; ++row) {
    EXPECT_EQ(rows.matrix().scales()[row], expected.scales()[row]) << row;
    for (int64_t i = 0; i < kWidth; ++i) {
      const int64_t at = row * expected.row_stride() + i;
      EXPECT_EQ(rows.matrix().rows()[at], expected.rows()[at]) << row;
    }
  }
  EXPECT_EQ(TextRows::BytesOf(12, kWidth, TextRows::kInt8), 12 * (4 + 4));
  rows.Free();
  EXPECT_EQ(rows.matrix().num_rows(), 0);
  EXPECT_EQ(rows.places().num_rows(), 12);
}

}  // namespace
}  // namespace longspan
