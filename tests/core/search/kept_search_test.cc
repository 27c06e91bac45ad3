// Searches in a collection against Rank over all of its texts.
#include "core/search/kept_search.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <vector>

#include "core/search/kept_lexical.h"
#include "tests/core/search/kept_samples.h"

namespace longspan {
namespace {

constexpr int64_t kWidth = 32, kCell = 8;

uint64_t Stem(int word) { return 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(word); }

void InOrder(int64_t parts, const std::function<void(int64_t)>& part) {
  for (int64_t i = 0; i < parts; ++i) part(i);
}

class KeptSearchTest : public testing::TestWithParam<TokenFormat> {
 protected:
  void Add(int count, int most_rows = 320) {
    for (int i = 0; i < count; ++i) {
      std::vector<int64_t> runs = {20 + static_cast<int64_t>(random_() % (most_rows - 20))};
      if (i % 5 == 0) runs.push_back(30);
      samples_.push_back(MakeSampleText(runs, kWidth, kCell, random_));
      bytes_.push_back(PackText(samples_.back().Parts(GetParam(), kCell)));
    }
    index_ = std::make_unique<KeptIndex>(kWidth, kCell);
    for (const auto& bytes : bytes_) index_->Add(KeptText::Parse(bytes, kWidth).value());
  }
  // Rows of a text with noise: a question whose answer is known.
  KeptQuestion QuestionAt(size_t text, int64_t row, int64_t tokens) {
    std::normal_distribution<float> normal;
    std::vector<float> rows;
    for (int64_t i = 0; i < tokens * kWidth; ++i)
      rows.push_back(samples_[text].values[row * kWidth + i] + 0.3f * normal(random_));
    late_ = std::make_unique<LateQuestion>(rows.data(), tokens, kWidth);
    KeptQuestion question{.rows = late_.get(), .stems = {Stem(3), Stem(77), Stem(11)}};
    question.weights.assign(tokens, 1.0f / static_cast<float>(tokens));
    return question;
  }
  // Rank over the int8 rows of all texts; of int8 that is what is wanted of a collection.
  std::vector<RankedDocument> Expected(const KeptQuestion& question, const RankingOptions& ranking,
                                       std::vector<SearchedDocument>* searched) {
    for (const SampleText& text : samples_) {
      SearchedDocument document;
      int64_t cell = 0;
      std::vector<WordCounts> cells;
      for (const KeptRun& run : text.runs) {
        const auto cosines =
            CellCosines(*question.rows, text.rows, run.first_row, run.end_row, kCell);
        const auto passages =
            ScorePassages(cosines, question.weights, run.first_row, run.end_row, kCell);
        const int64_t count = NumCells(run.end_row - run.first_row, kCell);
        const auto first_block = document.blocks.size();
        for (int64_t block = 0; block < NumBlocks(count); ++block) {
          WordCounts words{.counts = std::vector<int32_t>(question.stems.size())};
          for (const KeptWord& word : text.words) {
            const int64_t at = word.cell - cell - block * kCellsBetweenBlocks;
            if (word.cell - cell >= count || at < 0 || at >= kCellsOfABlock) continue;
            ++words.length;
            for (size_t i = 0; i < question.stems.size(); ++i)
              words.counts[i] += word.stem == question.stems[i] ? 1 : 0;
          }
          document.blocks.push_back(words);
        }
        for (size_t i = 0; i < passages.size(); ++i) {
          document.passages.push_back(passages[i]);
          document.block_of.push_back(first_block + BlockOfPassage(static_cast<int64_t>(i)));
        }
        cell += count;
      }
      searched->push_back(std::move(document));
    }
    return Rank(*searched, ranking);
  }

  void ExpectTextsAsRanked(const KeptQuestion& question, const KeptSearchOptions& options,
                           double tolerance) {
    std::vector<SearchedDocument> searched;
    const auto expected = Expected(question, options.ranking, &searched);
    const auto got = SearchKept(*index_, question, options, InOrder);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].slot, expected[i].document);
      EXPECT_NEAR(got[i].score, expected[i].score, 1e-9);
      EXPECT_EQ(got[i].similarity, expected[i].similarity);
      EXPECT_NEAR(got[i].bm25, expected[i].bm25, 1e-9);
      // What passages are standardised by comes from two of each text.
      EXPECT_NEAR(got[i].passages[0].score, expected[i].passages[0].score, tolerance);
    }
  }

  std::mt19937 random_{7};
  std::vector<SampleText> samples_;
  std::vector<std::vector<std::byte>> bytes_;
  std::unique_ptr<KeptIndex> index_;
  std::unique_ptr<LateQuestion> late_;
};
INSTANTIATE_TEST_SUITE_P(Formats, KeptSearchTest,
                         testing::Values(TokenFormat::kInt8, TokenFormat::kTwoBit));

TEST_P(KeptSearchTest, ASmallCollection_IsRankedAsItsTextsAre) {
  Add(30);
  const KeptQuestion question = QuestionAt(4, 10, 6);
  KeptSearchOptions options;
  options.ranking.max_documents = 7;
  std::vector<SearchedDocument> searched;
  const auto expected = Expected(question, options.ranking, &searched);
  const auto got = SearchKept(*index_, question, options, InOrder);
  ASSERT_EQ(got.size(), expected.size());
  // Two bits are near, so that the order of what is alike may differ behind the first.
  const size_t exact = GetParam() == TokenFormat::kInt8 ? got.size() : 1;
  for (size_t i = 0; i < exact; ++i) {
    EXPECT_EQ(got[i].slot, expected[i].document);
    EXPECT_DOUBLE_EQ(got[i].bm25, expected[i].bm25);
    if (GetParam() != TokenFormat::kInt8) continue;
    EXPECT_DOUBLE_EQ(got[i].score, expected[i].score);
    EXPECT_EQ(got[i].similarity, expected[i].similarity);
    ASSERT_EQ(got[i].passages.size(), expected[i].passages.size());
    for (size_t p = 0; p < got[i].passages.size(); ++p) {
      const RankedPassage& passage = expected[i].passages[p];
      EXPECT_EQ(got[i].passages[p].begin,
                searched[expected[i].document].passages[passage.passage].begin);
      EXPECT_DOUBLE_EQ(got[i].passages[p].score, passage.score);
    }
  }
}

// With everything chosen and everything sampled, the steps come to the scores of Rank.
TEST_P(KeptSearchTest, InSteps_WithAllChosen_IsExact) {
  if (GetParam() != TokenFormat::kInt8) GTEST_SKIP() << "exact of int8 alone";
  Add(30);
  ExpectTextsAsRanked(QuestionAt(4, 10, 6),
                      {.exact_rows = 0,
                       .chosen_texts = 30,
                       .chosen_passages = 1000,
                       .sampled_texts = 30,
                       .refined_rows = 0},
                      1.0);
}

TEST_P(KeptSearchTest, InSteps_OfFewTexts_AllIsRefined) {
  if (GetParam() != TokenFormat::kInt8) GTEST_SKIP() << "exact of int8 alone";
  Add(30, 3000);
  ExpectTextsAsRanked(QuestionAt(4, 10, 6),
                      {.ranking = {.max_passages = 1},
                       .exact_rows = 0,
                       .chosen_texts = 30,
                       .chosen_passages = 1,
                       .sampled_texts = 1},
                      2.0);
}

TEST_P(KeptSearchTest, InSteps_FindsWhatItIsAskedFor) {
  Add(400);
  int found = 0;
  for (int i = 0; i < 50; ++i) {
    const size_t text = random_() % samples_.size();
    const int64_t row = static_cast<int64_t>(random_()) % (samples_[text].runs[0].end_row - 6);
    const KeptQuestion question = QuestionAt(text, row < 0 ? -row : row, 6);
    const auto got = SearchKept(*index_, question, {.exact_rows = 0, .chosen_texts = 20}, InOrder);
    ASSERT_FALSE(got.empty());
    EXPECT_TRUE(std::is_sorted(got.begin(), got.end(), [](const KeptFound& a, const KeptFound& b) {
      return a.score > b.score;
    }));
    found += got[0].slot == text ? 1 : 0;
  }
  EXPECT_GE(found, 45);
}

TEST_P(KeptSearchTest, Passages_DoNotOverlap_AndStayInTheirRuns) {
  Add(60);
  const KeptQuestion question = QuestionAt(5, 3, 6);
  for (const int64_t exact_rows : {0, 1 << 20}) {
    for (const KeptFound& found :
         SearchKept(*index_, question, {.exact_rows = exact_rows}, InOrder)) {
      for (size_t i = 0; i < found.passages.size(); ++i) {
        const KeptPassage& one = found.passages[i];
        EXPECT_TRUE(std::any_of(samples_[found.slot].runs.begin(), samples_[found.slot].runs.end(),
                                [&](const KeptRun& run) {
                                  return run.first_row <= one.begin && one.end <= run.end_row;
                                }));
        for (size_t j = 0; j < i; ++j) {
          const KeptPassage& other = found.passages[j];
          EXPECT_TRUE(one.end <= other.begin || other.end <= one.begin);
          EXPECT_GE(other.score, one.score);
        }
      }
    }
  }
}

TEST_P(KeptSearchTest, InReverseParts_TheAnswerIsTheSame) {
  Add(300);
  const KeptQuestion question = QuestionAt(5, 3, 6);
  const auto reversed = [](int64_t parts, const std::function<void(int64_t)>& part) {
    for (int64_t i = parts; i-- > 0;) part(i);
  };
  for (const int64_t exact_rows : {0, 1 << 20}) {
    const KeptSearchOptions options{.exact_rows = exact_rows, .chosen_texts = 10};
    const auto a = SearchKept(*index_, question, options, InOrder);
    const auto b = SearchKept(*index_, question, options, reversed);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].slot, b[i].slot);
      EXPECT_EQ(a[i].score, b[i].score);
    }
  }
}

TEST_P(KeptSearchTest, NoTexts_NoWords_NoPassages) {
  Add(1);
  KeptQuestion question = QuestionAt(0, 0, 4);
  question.stems.clear();
  EXPECT_EQ(SearchKept(*index_, question, {}, InOrder).size(), 1u);
  EXPECT_EQ(SearchKept(*index_, question, {.exact_rows = 0}, InOrder).size(), 1u);
  const KeptIndex none(kWidth, kCell);
  EXPECT_TRUE(SearchKept(none, question, {}, InOrder).empty());
  EXPECT_TRUE(SearchKept(none, question, {.exact_rows = -1}, InOrder).empty());
}

}  // namespace
}  // namespace longspan
