#include "server/batching/token_vector_buffer.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <new>

#include "tests/server/engine/engine_fixture.h"

namespace {

// Allocations until one fails; negative = none does.
thread_local int allocations_left = -1;

void* Allocate(size_t bytes) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* block = std::malloc(bytes > 0 ? bytes : 1)) return block;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes); }
void* operator new[](size_t bytes) { return Allocate(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t /*bytes*/) noexcept { std::free(block); }
void operator delete[](void* block, size_t /*bytes*/) noexcept { std::free(block); }

namespace longspan {
namespace {

using ::testing::ElementsAre;

// All that a buffer gives, as one block.
TokenVectorBuffer::Block All(TokenVectorBuffer& buffer) {
  TokenVectorBuffer::Block all;
  while (const auto block = buffer.TryPop()) {
    all.num_rows += block->num_rows;
    all.values.insert(all.values.end(), block->values.begin(), block->values.end());
    for (const TokenRange& range : block->TokenRanges()) {
      if (all.ranges.empty() || all.ranges.back().end != range.begin) all.ranges.push_back(range);
      all.ranges.back().end = range.end;
    }
  }
  return all;
}

// Whether memory ran out, at allocation `number` of the rows [first, first + values.size()).
bool RunsOutOfMemory(int number, int64_t first, const std::vector<float>& values,
                     TokenVectorBuffer& buffer) {
  allocations_left = number;
  bool failed = false;
  try {
    buffer.Push(first, static_cast<int64_t>(values.size()), 1, values.data());
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  allocations_left = -1;
  return failed;
}

TEST(TokenVectorBuffer, Push_CutsRowsIntoBlocks_InOrder) {
  int ready = 0;
  TokenVectorBuffer buffer(2, [&] { ++ready; });
  const std::vector<float> rows = {1, 1, 2, 2, 3, 3};
  buffer.Push(0, 3, 2, rows.data());
  EXPECT_EQ(ready, 1);
  const auto first = buffer.TryPop(), second = buffer.TryPop();
  EXPECT_EQ(first->first_token, 0);
  EXPECT_EQ(first->num_rows, 2);
  EXPECT_THAT(first->values, ElementsAre(1, 1, 2, 2));
  EXPECT_EQ(second->first_token, 2);
  EXPECT_THAT(second->values, ElementsAre(3, 3));
  EXPECT_EQ(buffer.TryPop(), std::nullopt);
}

TEST(TokenVectorBuffer, Push_TakesRowsThatComeAgainOnce) {
  TokenVectorBuffer buffer(10, nullptr);
  const std::vector<float> rows = {1, 2, 3, 4};
  buffer.Push(0, 2, 1, rows.data());
  buffer.Push(0, 4, 1, rows.data());  // the batch ran again
  EXPECT_THAT(buffer.TryPop()->values, ElementsAre(1, 2));
  const auto rest = buffer.TryPop();
  EXPECT_EQ(rest->first_token, 2);
  EXPECT_THAT(rest->values, ElementsAre(3, 4));
}

TEST(TokenVectorBuffer, Push_JoinsRowsBehindAGap_AndSaysWhichTokensTheyAre) {
  TokenVectorBuffer buffer(4, nullptr);
  const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
  buffer.Push(0, 2, 1, rows.data());
  buffer.Push(3, 1, 1, rows.data() + 2);
  buffer.Push(5, 3, 1, rows.data() + 3);  // one of them fills the block
  buffer.Push(5, 3, 1, rows.data() + 3);  // the batch ran again
  const auto first = buffer.TryPop(), second = buffer.TryPop();
  EXPECT_THAT(first->values, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(first->num_rows, 4);
  EXPECT_THAT(first->TokenRanges(),
              ElementsAre(TokenRange{0, 2}, TokenRange{3, 4}, TokenRange{5, 6}));
  EXPECT_THAT(second->values, ElementsAre(5, 6));
  EXPECT_THAT(second->TokenRanges(), ElementsAre(TokenRange{6, 8}));
  EXPECT_EQ(buffer.TryPop(), std::nullopt);
}

TEST(TokenVectorBuffer, Push_TakesEachRowOnce_WhereverMemoryRunsOut) {
  const std::vector<float> head = {1, 2}, tail = {4, 5, 6, 7, 8, 9};
  int faults = 0;
  for (int number = 0; number < 30; ++number) {
    for (const bool in_head : {true, false}) {
      TokenVectorBuffer buffer(4, nullptr);
      bool failed = in_head && RunsOutOfMemory(number, 0, head, buffer);
      if (!failed) buffer.Push(0, 2, 1, head.data());
      failed = failed || (!in_head && RunsOutOfMemory(number, 3, tail, buffer));
      faults += failed;
      buffer.Push(0, 2, 1, head.data());  // the batch runs again
      buffer.Push(3, 6, 1, tail.data());
      const TokenVectorBuffer::Block all = All(buffer);
      EXPECT_THAT(all.values, ElementsAre(1, 2, 4, 5, 6, 7, 8, 9)) << number;
      EXPECT_THAT(all.ranges, ElementsAre(TokenRange{0, 2}, TokenRange{3, 9})) << number;
    }
  }
  EXPECT_GE(faults, 4);
}

TEST(TokenVectorBuffer, TryPop_GivesRoomBackBlockByBlock_AndCloseTheRest) {
  FakeClock clock;
  Admission admission({.max_token_vector_bytes = 100}, MillisecondPerToken, &clock);
  TokenVectorBuffer buffer(1, nullptr);
  buffer.SetReservation(*admission.ReserveOutput(16));
  const std::vector<float> rows = {1, 2, 3, 4};
  buffer.Push(0, 4, 1, rows.data());
  buffer.TryPop();
  EXPECT_EQ(admission.backlog().token_vector_bytes, 12);
  buffer.Close();
  EXPECT_EQ(admission.backlog().token_vector_bytes, 0);
  buffer.Push(4, 1, 1, rows.data());
  EXPECT_EQ(buffer.TryPop(), std::nullopt);
}

}  // namespace
}  // namespace longspan
