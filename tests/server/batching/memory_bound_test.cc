#include "server/batching/memory_bound.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TextMemory Linear(int64_t per_token, int64_t beside = 0) {
  return {.pass_bytes = [per_token](int64_t tokens) { return 1000 + per_token * tokens; },
          .bytes_per_token = beside};
}

TEST(MemoryBoundTest, WithoutRoomThatIsKnown_ThereIsNoBound) {
  EXPECT_EQ(LongestTextInMemory(Linear(10), {}), 0);
}

TEST(MemoryBoundTest, TheLongestTextFits_AndOneTokenMoreDoesNot) {
  for (const int64_t room : {1010, 1011, 1999, 2000, 123'456'789}) {
    const int64_t longest = LongestTextInMemory(Linear(10), {.tensor_bytes = room});
    EXPECT_LE(1000 + 10 * longest, room);
    EXPECT_GT(1000 + 10 * (longest + 1), room);
  }
}

TEST(MemoryBoundTest, WhatATextTakesBesideItsTensorsCountsForTheProcess) {
  EXPECT_EQ(LongestTextInMemory(Linear(10, 10), {.tensor_bytes = 2000}), 100);
  EXPECT_EQ(LongestTextInMemory(Linear(10, 10), {.tensor_bytes = 2000, .process_bytes = 2000}), 50);
  EXPECT_EQ(LongestTextInMemory(Linear(10, 10), {.process_bytes = 3000}), 100);
}

TEST(MemoryBoundTest, WithRoomForNothing_TheBoundIsOneTokenAndNotNone) {
  EXPECT_EQ(LongestTextInMemory(Linear(10), {.tensor_bytes = 1}), 1);
}

TEST(MemoryBoundTest, WithRoomForEverything_TheBoundIsBeyondEveryText) {
  EXPECT_GE(LongestTextInMemory(Linear(10), {.tensor_bytes = int64_t{1} << 60}),
            (int64_t{1} << 31) - 1);
}

}  // namespace
}  // namespace longspan
