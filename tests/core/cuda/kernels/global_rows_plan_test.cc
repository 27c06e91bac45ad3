// Which block of the kernel for rows of global tokens takes which rows and queries.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/core/cuda/kernels/cuda_emulation.h"
//
#include "core/cuda/kernels/global_rows.h"

namespace longspan::cuda {
namespace {

struct Batch {
  std::vector<GlobalRowsText> texts;
  int heads = 1;
  int all_globals = 0;
};

// Texts of 0 to 70,000 rows, of which some are not listed.
Batch RandomBatch(std::mt19937& random) {
  Batch batch;
  batch.heads = 1 + static_cast<int>(random() % 16);
  int row = 0;
  const int texts = 1 + static_cast<int>(random() % 5);
  for (int text = 0; text < texts; ++text) {
    const int longest[] = {3, 40, 700, 5000, 70'000};
    const int rows = static_cast<int>(random() % static_cast<unsigned>(longest[random() % 5]));
    const int globals = 1 + static_cast<int>(random() % (random() % 2 == 0 ? 2 : 70));
    const bool is_listed = random() % 4 != 0;
    if (is_listed) {
      batch.texts.push_back({row, row + rows, batch.all_globals, batch.all_globals + globals});
    }
    row += rows;
    batch.all_globals += globals;
  }
  return batch;
}

// The rows of u that a tile has, each with the head and the global that it says.
std::vector<int64_t> QueriesOf(const GlobalRowsTile& tile, const Batch& batch) {
  std::vector<int64_t> queries;
  for (int place = 0; place < tile.count; ++place) {
    queries.push_back(GlobalRowsQuery(tile, place, batch.all_globals));
  }
  return queries;
}

// The queries of a text, [H, G of the text].
std::set<int64_t> QueriesOf(const GlobalRowsText& text, const Batch& batch) {
  std::set<int64_t> queries;
  for (int head = 0; head < batch.heads; ++head) {
    for (int global = text.global_begin; global < text.global_end; ++global) {
      queries.insert(int64_t{head} * batch.all_globals + global);
    }
  }
  return queries;
}

TEST(GlobalRowsPlan, MeetsEachRowWithEachQueryOfItsTextOnce) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 300; ++trial) {
    const Batch batch = RandomBatch(random);
    std::map<int64_t, std::vector<std::pair<int, int>>> rows_of_query;
    for (const GlobalRowsBlock& block : PlanGlobalRows(batch.texts, batch.heads).blocks) {
      ASSERT_GE(block.queries.count, 1);
      ASSERT_LE(block.queries.count, kGlobalRowsQueries);
      for (const int64_t query : QueriesOf(block.queries, batch)) {
        rows_of_query[query].push_back({block.row_begin, block.row_end});
      }
    }
    size_t queries = 0;
    for (const GlobalRowsText& text : batch.texts) {
      for (const int64_t query : QueriesOf(text, batch)) {
        ++queries;
        int row = text.row_begin;
        for (const auto& [begin, end] : rows_of_query[query]) {
          ASSERT_EQ(begin, row) << "chunks come in the order of the rows";
          ASSERT_GE(end, begin);
          row = end;
        }
        ASSERT_EQ(row, text.row_end);
        ASSERT_FALSE(rows_of_query[query].empty()) << "a text without rows has its zeros";
      }
    }
    ASSERT_EQ(rows_of_query.size(), queries) << "queries of texts that are not listed";
  }
}

TEST(GlobalRowsPlan, EachPartIsWrittenAndMergedOnceInTheOrderOfTheRows) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 300; ++trial) {
    const Batch batch = RandomBatch(random);
    const GlobalRowsPlan plan = PlanGlobalRows(batch.texts, batch.heads);
    std::map<int, const GlobalRowsBlock*> writer;
    std::set<int64_t> written;  // queries
    for (const GlobalRowsBlock& block : plan.blocks) {
      if (block.part < 0) {
        for (const int64_t query : QueriesOf(block.queries, batch)) {
          ASSERT_TRUE(written.insert(query).second);
        }
        continue;
      }
      ASSERT_LT(block.part, plan.num_parts);
      ASSERT_TRUE(writer.insert({block.part, &block}).second);
    }
    ASSERT_EQ(writer.size(), static_cast<size_t>(plan.num_parts));
    int parts = 0;
    for (const GlobalRowsMerge& merge : plan.merges) {
      ASSERT_GE(merge.num_parts, 2);
      ASSERT_LE(merge.num_parts, kGlobalRowsMaxParts);
      const std::vector<int64_t> queries = QueriesOf(merge.queries, batch);
      for (const int64_t query : queries) ASSERT_TRUE(written.insert(query).second);
      for (int i = 0; i < merge.num_parts; ++i, ++parts) {
        const GlobalRowsBlock& block = *writer.at(merge.first_part + i);
        ASSERT_EQ(QueriesOf(block.queries, batch), queries);
        if (i == 0) continue;
        ASSERT_EQ(block.row_begin, writer.at(merge.first_part + i - 1)->row_end);
      }
    }
    ASSERT_EQ(parts, plan.num_parts);
  }
}

TEST(GlobalRowsPlan, ATextIsCutAsItIsAlone) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 100; ++trial) {
    const Batch batch = RandomBatch(random);
    const GlobalRowsPlan plan = PlanGlobalRows(batch.texts, batch.heads);
    size_t next = 0;
    for (const GlobalRowsText& text : batch.texts) {
      for (const GlobalRowsBlock& alone : PlanGlobalRows({text}, batch.heads).blocks) {
        ASSERT_LT(next, plan.blocks.size());
        const GlobalRowsBlock& block = plan.blocks[next++];
        ASSERT_EQ(block.row_begin, alone.row_begin);
        ASSERT_EQ(block.row_end, alone.row_end);
        ASSERT_EQ(block.part < 0, alone.part < 0);
        ASSERT_EQ(QueriesOf(block.queries, batch), QueriesOf(alone.queries, batch));
      }
    }
    ASSERT_EQ(next, plan.blocks.size());
  }
}

TEST(GlobalRowsPlan, ALongTextHasLongerChunksInsteadOfMoreParts) {
  EXPECT_EQ(GlobalRowsChunkRows(1, 1), kGlobalRowsChunk);
  EXPECT_EQ(GlobalRowsChunkRows(65'536, 1), kGlobalRowsChunk);
  EXPECT_EQ(GlobalRowsChunkRows(65'537, 1), kGlobalRowsChunk + 32);
  EXPECT_EQ(GlobalRowsChunkRows(524'288, 1), 2048);
  EXPECT_EQ(GlobalRowsChunkRows(4096, 48), 1024);
  EXPECT_EQ(GlobalRowsChunkRows(4096, 1000), 4096);
}

}  // namespace
}  // namespace longspan::cuda
