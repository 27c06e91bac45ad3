// What is kept of a text against what it was made of, and damaged bytes.
#include "core/search/kept_text.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "core/search/cells.h"
#include "tests/core/search/kept_samples.h"

namespace longspan {
namespace {

constexpr int64_t kWidth = 30, kCell = 4;

class KeptTextTest : public testing::TestWithParam<TokenFormat> {
 protected:
  KeptTextTest() : text_(MakeSampleText({13, 1, 22}, kWidth, kCell, random_)) {
    bytes_ = PackText(text_.Parts(GetParam(), kCell));
  }
  KeptText Parsed() const { return KeptText::Parse(bytes_, kWidth).value(); }

  std::mt19937 random_{7};
  SampleText text_;
  std::vector<std::byte> bytes_;
};
INSTANTIATE_TEST_SUITE_P(Formats, KeptTextTest,
                         testing::Values(TokenFormat::kInt8, TokenFormat::kTwoBit));

TEST_P(KeptTextTest, Counts) {
  const KeptText text = Parsed();
  EXPECT_EQ(text.format(), GetParam());
  EXPECT_EQ(text.cell_tokens(), kCell);
  EXPECT_EQ(text.num_rows(), 36);
  EXPECT_EQ(text.num_cells(), 4 + 1 + 6);
  EXPECT_EQ(text.num_passages(), 3 + 1 + 5);
  EXPECT_EQ(text.num_blocks(), 2 + 1 + 3);
  EXPECT_EQ(text.tokens_total(), 38);
  EXPECT_EQ(text.num_bytes(), bytes_.size());
  EXPECT_EQ(text.runs()[1].first_token, text_.runs[1].first_token);
  EXPECT_EQ(text.used_text()[2].end, text_.used_text[2].end);
}

TEST_P(KeptTextTest, Places_OfAnyRows) {
  const KeptText text = Parsed();
  for (const KeptRun& run : text_.runs) {
    for (int64_t begin = run.first_row; begin < run.end_row; ++begin) {
      for (int64_t end = begin + 1; end <= run.end_row; ++end) {
        EXPECT_EQ(text.Places(begin, end),
                  std::vector<TokenPlace>(text_.places.begin() + begin, text_.places.begin() + end))
            << begin << " " << end;
      }
    }
  }
}

// Words and ids by blocks, counted one by one.
TEST_P(KeptTextTest, WordsAndIds_CountTheBlocksThatHoldThem) {
  const KeptText text = Parsed();
  std::map<uint64_t, std::vector<uint32_t>> cells;
  for (const KeptWord& word : text_.words) cells[word.stem].push_back(word.cell);
  ASSERT_EQ(text.words().size(), cells.size());
  const auto blocks_of = [&](const auto& of_cells) {
    std::set<std::pair<int64_t, int64_t>> blocks;  // run, block
    for (const uint32_t cell : of_cells) {
      for (size_t run = 0; run < text.cell_runs().size(); ++run) {
        const CellRun& one = text.cell_runs()[run];
        const int64_t at = static_cast<int64_t>(cell) - one.first_cell;
        if (at < 0 || at >= one.cells) continue;
        for (int64_t block = 0; block < one.blocks; ++block) {
          const int64_t first = block * kCellsBetweenBlocks;
          if (at >= first && at < first + kCellsOfABlock) blocks.emplace(run, block);
        }
      }
    }
    return blocks.size();
  };
  for (size_t i = 0; i < text.words().size(); ++i) {
    const KeptText::Word& word = text.words()[i];
    const size_t end =
        i + 1 < text.words().size() ? text.words()[i + 1].first_hit : text.hits().size();
    EXPECT_EQ(
        std::vector<uint32_t>(text.hits().begin() + word.first_hit, text.hits().begin() + end),
        cells[word.stem]);
    EXPECT_EQ(word.blocks, blocks_of(cells[word.stem]));
  }
  std::map<int32_t, std::vector<uint32_t>> cells_of_id;
  for (const CellRun& run : text.cell_runs()) {
    for (int64_t row = run.first_row; row < run.end_row; ++row) {
      cells_of_id[text_.ids[row]].push_back(
          static_cast<uint32_t>(run.first_cell + (row - run.first_row) / kCell));
    }
  }
  ASSERT_EQ(text.ids().size(), cells_of_id.size());
  for (const KeptText::Id& id : text.ids()) EXPECT_EQ(id.blocks, blocks_of(cells_of_id[id.id]));
}

TEST_P(KeptTextTest, Rows_AreThoseOfTheMatrixOrNear) {
  const KeptText text = Parsed();
  std::vector<uint8_t> scratch;
  for (const auto& [begin, end] : {std::pair{0, 13}, {4, 9}, {13, 14}, {14, 36}, {18, 30}}) {
    const TokenMatrixView rows = text.Rows(begin, end, &scratch);
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* got = rows.rows + (row - begin) * rows.stride;
      const uint8_t* own = text_.rows.rows() + row * text_.rows.row_stride();
      double cosine = 0;
      for (int64_t i = 0; i < kWidth; ++i) cosine += (got[i] - 128.0) * (own[i] - 128.0);
      cosine *= static_cast<double>(rows.scales[row - begin]) * text_.rows.scales()[row];
      EXPECT_GT(cosine, GetParam() == TokenFormat::kInt8 ? 0.99999 : 0.9) << row;
    }
  }
}

TEST_P(KeptTextTest, MostAndLeastKeptBytes_AreBounds) {
  for (const std::vector<int64_t>& runs :
       std::vector<std::vector<int64_t>>{{1}, {1, 1, 1, 1}, {13, 1, 22}, {500}, {}}) {
    const SampleText text = MakeSampleText(runs, kWidth, kCell, random_);
    const KeptParts parts = text.Parts(GetParam(), kCell);
    const KeptSize size{.rows = static_cast<int64_t>(text.ids.size()),
                        .runs = static_cast<int64_t>(runs.size()),
                        .words = static_cast<int64_t>(text.words.size()),
                        .width = kWidth,
                        .cell_tokens = kCell,
                        .format = GetParam()};
    const auto bytes = static_cast<int64_t>(PackText(parts).size());
    EXPECT_LE(bytes, MostKeptBytes(size));
    EXPECT_GE(bytes, LeastKeptBytes(size));
    EXPECT_EQ(LeastKeptBytes(size), size.rows * CodeBytes(GetParam(), kWidth));
  }
}

TEST_P(KeptTextTest, ATextWithoutTokens) {
  const SampleText empty = MakeSampleText({}, kWidth, kCell, random_);
  const auto bytes = PackText(empty.Parts(GetParam(), kCell));
  const auto text = KeptText::Parse(bytes, kWidth);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->num_passages(), 0);
  EXPECT_EQ(text->num_rows(), 0);
}

TEST_P(KeptTextTest, OfAnotherWidth_IsRefused) {
  EXPECT_TRUE(absl::IsDataLoss(KeptText::Parse(bytes_, kWidth + 1).status()));
}

TEST_P(KeptTextTest, EveryShorterText_IsRefused) {
  for (size_t size = 0; size < bytes_.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(KeptText::Parse(std::span(bytes_).first(size), kWidth).status()))
        << size;
  }
}

// Bytes change one by one; what is still taken must be readable. The sanitizers see the rest.
TEST_P(KeptTextTest, DamagedBytes_AreRefusedOrReadable) {
  std::vector<uint8_t> scratch;
  for (size_t at = 0; at < bytes_.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::vector<std::byte> bytes = bytes_;
      bytes[at] ^= static_cast<std::byte>(flip);
      const auto text = KeptText::Parse(bytes, kWidth);
      if (!text.ok()) continue;
      for (const KeptRun& run : text->runs()) {
        text->Places(run.first_row, run.end_row);
        text->Rows(run.first_row, run.end_row, &scratch);
      }
    }
  }
}

}  // namespace
}  // namespace longspan
