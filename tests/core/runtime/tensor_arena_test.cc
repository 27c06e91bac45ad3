#include "core/runtime/tensor_arena.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

namespace longspan {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(TensorArena, Allocate_ReusesWhatWasFreed) {
  TensorArena arena;
  void* const first = arena.Allocate(10 * kMiB);
  ASSERT_TRUE(arena.Free(first));
  EXPECT_EQ(arena.Allocate(10 * kMiB), first);
  EXPECT_EQ(arena.stats().num_mappings, 1);
}

TEST(TensorArena, Allocate_TakesTheBestFit) {
  TensorArena arena;
  void* const big = arena.Allocate(12 * kMiB);
  void* const wall = arena.Allocate(kMiB);
  void* const small = arena.Allocate(3 * kMiB);
  void* const end = arena.Allocate(kMiB);
  arena.Free(big);
  arena.Free(small);
  EXPECT_EQ(arena.Allocate(2 * kMiB), small);
  EXPECT_EQ(arena.Allocate(11 * kMiB), big);
  arena.Free(wall);
  arena.Free(end);
}

TEST(TensorArena, Free_MergesNeighboursOnBothSides) {
  TensorArena arena;
  std::vector<void*> blocks;
  // Together they fill the first segment of 32 MiB.
  for (int i = 0; i < 4; ++i) blocks.push_back(arena.Allocate(8 * kMiB));
  for (int i : {0, 2, 1, 3}) EXPECT_TRUE(arena.Free(blocks[i]));
  EXPECT_EQ(arena.Allocate(32 * kMiB), blocks[0]);
  EXPECT_EQ(arena.stats().num_mappings, 1);
}

TEST(TensorArena, Free_RefusesWhatIsNotItsOwn) {
  TensorArena arena;
  int local = 0;
  EXPECT_FALSE(arena.Free(&local));
  void* const block = arena.Allocate(kMiB);
  EXPECT_TRUE(arena.Free(block));
  EXPECT_FALSE(arena.Free(block)) << "freed twice";
}

TEST(TensorArena, Budget_RefusesTheExcess_AndOnlyThat) {
  TensorArena arena;
  arena.SetBudget(10 * kMiB);
  void* const first = arena.Allocate(6 * kMiB);
  EXPECT_EQ(arena.Allocate(5 * kMiB), nullptr);
  EXPECT_EQ(arena.Allocate(SIZE_MAX), nullptr);
  void* const second = arena.Allocate(4 * kMiB);
  EXPECT_NE(second, nullptr);
  arena.Free(first);
  EXPECT_NE(arena.Allocate(5 * kMiB), nullptr);
}

TEST(TensorArena, Allocate_ReturnsNull_WhenTheSystemRefuses) {
  TensorArena arena;
  EXPECT_EQ(arena.Allocate(size_t{1} << 50), nullptr);
  EXPECT_EQ(arena.Allocate(SIZE_MAX), nullptr);
  EXPECT_NE(arena.Allocate(kMiB), nullptr);
}

TEST(TensorArena, Trim_ReturnsFreeMemoryToTheSystem_AndKeepsWhatIsLive) {
  TensorArena arena;
  char* const kept = static_cast<char*>(arena.Allocate(4 * kMiB));
  void* const freed = arena.Allocate(200 * kMiB);
  char* const in_segment = static_cast<char*>(arena.Allocate(20 * kMiB));
  std::memset(kept, 1, 4 * kMiB);
  std::memset(freed, 2, 200 * kMiB);
  std::memset(in_segment, 3, 20 * kMiB);
  const int64_t full = ResidentBytes();
  arena.Free(freed);
  arena.Free(in_segment);
  EXPECT_GT(ResidentBytes(), full - static_cast<int64_t>(4 * kMiB)) << "nothing goes back unasked";
  arena.Trim(0);
  EXPECT_LT(ResidentBytes(), full - static_cast<int64_t>(210 * kMiB));
  for (size_t i = 0; i < 4 * kMiB; i += 4096) ASSERT_EQ(kept[i], 1);
  EXPECT_EQ(arena.stats().live_bytes, static_cast<int64_t>(4 * kMiB));
}

TEST(TensorArena, Trim_KeepsWhatItIsToldTo) {
  TensorArena arena;
  void* const block = arena.Allocate(64 * kMiB);
  arena.Free(block);
  arena.Trim(100 * kMiB);
  EXPECT_EQ(arena.Allocate(64 * kMiB), block);
  EXPECT_EQ(arena.stats().num_mappings, 1);
}

TEST(TensorArena, SameSequenceAgain_MapsNothingMore) {
  TensorArena arena;
  const auto pass = [&](size_t unit) {
    std::vector<void*> live;
    for (size_t size : {3 * unit, unit, unit, 4 * unit, unit / 2})
      live.push_back(arena.Allocate(size));
    arena.Free(live[1]);
    live[1] = arena.Allocate(2 * unit);
    for (void* block : live) arena.Free(block);
  };
  for (int warm_up = 0; warm_up < 3; ++warm_up) pass(20 * kMiB);
  const int64_t mappings = arena.stats().num_mappings;
  for (int i = 0; i < 5; ++i) {
    pass(20 * kMiB);
    pass(kMiB);
    pass(7 * kMiB);
  }
  EXPECT_EQ(arena.stats().num_mappings, mappings);
}

TEST(TensorArena, Peak_IsTheHighestSinceReset) {
  TensorArena arena;
  void* const first = arena.Allocate(3 * kMiB);
  arena.Free(arena.Allocate(5 * kMiB));
  EXPECT_EQ(arena.stats().peak_bytes, static_cast<int64_t>(8 * kMiB));
  arena.ResetPeak();
  EXPECT_EQ(arena.stats().peak_bytes, static_cast<int64_t>(3 * kMiB));
  arena.Free(first);
}

// Blocks never overlap, in whatever order they are used: each is filled with a byte of its own,
// which is checked when the block is freed.
TEST(TensorArena, RandomUse_FromSeveralThreads_NeverOverlaps) {
  TensorArena arena;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&arena, t] {
      std::mt19937 random(t);
      std::vector<std::pair<unsigned char*, size_t>> live;
      for (int step = 0; step < 400; ++step) {
        if (live.size() < 6 && random() % 2 == 0) {
          const size_t size = 1 + random() % (2 * kMiB);
          auto* const block = static_cast<unsigned char*>(arena.Allocate(size));
          ASSERT_NE(block, nullptr);
          std::memset(block, t * 50 + static_cast<int>(live.size()), size);
          live.emplace_back(block, size);
        } else if (!live.empty()) {
          const auto [block, size] = live.back();
          live.pop_back();
          for (size_t i = 0; i < size; i += 97) ASSERT_EQ(block[i], t * 50 + live.size());
          ASSERT_TRUE(arena.Free(block));
        }
        if (step % 100 == 99) arena.Trim(kMiB);
      }
      for (const auto& entry : live) arena.Free(entry.first);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena.stats().live_bytes, 0);
}

}  // namespace
}  // namespace longspan
