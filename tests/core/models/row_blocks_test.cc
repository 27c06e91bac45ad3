// ForEachRowBlock takes every row once, whatever the number of rows and threads. A block runs on
// one thread where there are rows enough for all threads. It pauses, and stops where the pass does.
#include "core/models/row_blocks.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "core/token_batch.h"

namespace longspan {
namespace {

class RowBlocksTest : public ::testing::Test {
 protected:
  ~RowBlocksTest() override { at::set_num_threads(threads_before_); }

  // The blocks of a run on so many threads, in the order of their rows.
  std::set<std::pair<int64_t, int64_t>> Blocks(int64_t rows, int threads,
                                               const PackedPass* pass = nullptr) {
    at::set_num_threads(threads);
    std::set<std::pair<int64_t, int64_t>> blocks;
    in_parallel_ = 0;
    ForEachRowBlock(rows, pass, [&](int64_t begin, int64_t end) {
      const std::lock_guard lock(mu_);
      in_parallel_ += at::in_parallel_region() ? 1 : 0;
      EXPECT_TRUE(blocks.emplace(begin, end).second);
    });
    return blocks;
  }

  const int threads_before_ = at::get_num_threads();
  std::mutex mu_;
  int64_t in_parallel_ = 0;  // blocks of the last run that ran inside a parallel region
};

TEST_F(RowBlocksTest, EveryRowIsInOneBlock) {
  for (const int threads : {1, 2, 3, 8}) {
    for (const int64_t rows : {0, 1, 47, 512, 513, 767, 768, 1000, 1025, 2049, 5000}) {
      int64_t next = 0;
      for (const auto& [begin, end] : Blocks(rows, threads)) {
        EXPECT_EQ(begin, next);
        EXPECT_GT(end, begin);
        EXPECT_LE(end - begin, kLayerBlockRows);
        next = end;
      }
      EXPECT_EQ(next, rows) << threads << " threads";
    }
  }
}

TEST_F(RowBlocksTest, ThreadsTakeWholeBlocksOfTheSameSize_WhereThereAreRowsEnough) {
  if (std::getenv("OMP_THREAD_LIMIT") != nullptr) GTEST_SKIP() << "OpenMP may have one thread";
  EXPECT_EQ(Blocks(2 * kFewestRowsPerThread - 1, 2).size(), 2u);
  EXPECT_EQ(in_parallel_, 0) << "the team works on each product";
  for (const int64_t rows : {768, 1000, 1025, 2048, 5000}) {
    const auto blocks = Blocks(rows, 2);
    EXPECT_EQ(in_parallel_, static_cast<int64_t>(blocks.size())) << rows;
    EXPECT_EQ(blocks.size() % 2, 0u) << rows << " rows: one thread has a block more";
  }
  Blocks(5000, 1);
  EXPECT_EQ(in_parallel_, 0);
}

TEST_F(RowBlocksTest, Pauses_AndStopsWithThePass) {
  TokenBatch batch;
  batch.Add({.token_ids = std::vector<int32_t>(5000, 1)});
  int seams = 0, stop_at = 0;
  ForwardOptions options;
  options.at_seam = [&] { ++seams; };
  options.is_dropped = [&](int32_t) { return seams == stop_at; };
  const PackedPass pass(batch, options);
  for (const int threads : {1, 2}) {
    const int64_t rows_per_pause = threads == 1 ? 512 : 2048;
    seams = 0;
    stop_at = -1;
    EXPECT_EQ(Blocks(5000, threads, &pass).rbegin()->second, 5000);
    EXPECT_EQ(seams, threads == 1 ? 9 : 2) << "one less than the parts of 5,000 rows";
    seams = 0;
    stop_at = 2;
    EXPECT_EQ(Blocks(5000, threads, &pass).rbegin()->second, 2 * rows_per_pause)
        << "the rest is left undone";
  }
}

TEST_F(RowBlocksTest, AnErrorInABlockReachesTheCaller) {
  at::set_num_threads(2);
  EXPECT_THROW(ForEachRowBlock(4096, nullptr,
                               [](int64_t begin, int64_t) {
                                 if (begin > 0) throw std::bad_alloc();
                               }),
               std::bad_alloc);
}

}  // namespace
}  // namespace longspan
