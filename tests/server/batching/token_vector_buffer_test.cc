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
    for (int64_t row = 0; row < block->num_rows; ++row)
      all.tokens_per_row.push_back(block->TokensOfRow(row));
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

// Rows of tokens 0 to 11 without token 4, in one piece or many, some of them twice, as in a batch
// that runs again.
TEST(TokenVectorBuffer, Pooled_TheRowsAreTheSame_HoweverTheyCome) {
  std::vector<float> rows;
  for (int i = 0; i < 12; ++i) rows.insert(rows.end(), {i + 0.1F, 1 - i * 0.7F, 3.0F / (i + 1)});
  const auto push = [&](int64_t begin, int64_t end, TokenVectorBuffer& buffer) {
    buffer.Push(begin, end - begin, 3, rows.data() + begin * 3);
  };
  for (const int32_t factor : {2, 4}) {
    TokenVectorBuffer whole(10, nullptr, {.factor = factor, .normalize = true});
    whole.SetReservation({}, /*gap=*/9);
    push(0, 4, whole);
    push(5, 12, whole);
    whole.End();
    whole.End();
    const TokenVectorBuffer::Block wanted = All(whole);
    if (factor == 2) {
      EXPECT_THAT(wanted.tokens_per_row, ElementsAre(2, 2, 2, 2, 2, 1));
    } else {
      EXPECT_THAT(wanted.tokens_per_row, ElementsAre(4, 4, 3));
    }
    EXPECT_THAT(wanted.ranges, ElementsAre(TokenRange{0, 4}, TokenRange{5, 12}));
    for (const int64_t rows_per_block : {1, 2, 100}) {
      for (const bool reads : {false, true}) {
        TokenVectorBuffer pieces(rows_per_block, nullptr, {.factor = factor, .normalize = true});
        pieces.SetReservation({}, /*gap=*/9);
        std::vector<float> values;
        const auto read = [&] {
          while (const auto block = reads ? pieces.TryPop() : std::nullopt) {
            EXPECT_LE(block->num_rows, rows_per_block);
            values.insert(values.end(), block->values.begin(), block->values.end());
          }
        };
        for (const int64_t last : {1, 3, 4}) {
          push(0, last, pieces);
          read();
        }
        for (int64_t token = 5; token < 8; ++token) push(token, token + 1, pieces);
        read();
        push(0, 4, pieces);  // the batch runs again
        push(5, 10, pieces);
        read();
        push(10, 12, pieces);
        pieces.End();
        const std::vector<float> rest = All(pieces).values;
        values.insert(values.end(), rest.begin(), rest.end());
        EXPECT_EQ(values, wanted.values) << factor << " " << rows_per_block;
      }
    }
  }
}

TEST(TokenVectorBuffer, Pooled_ABlockSaysWhichTokensEachRowStandsFor) {
  TokenVectorBuffer buffer(2, nullptr, {.factor = 2});
  const std::vector<float> rows = {1, 3, 5, 7, 9, 11};
  buffer.Push(0, 3, 1, rows.data());
  buffer.Push(4, 3, 1, rows.data() + 3);
  EXPECT_EQ(buffer.num_rows(), 2) << "the last group may have to wait for more";
  buffer.End();
  EXPECT_EQ(buffer.num_rows(), 3);
  const auto first = buffer.TryPop(), second = buffer.TryPop();
  EXPECT_EQ(first->first_token, 0);
  EXPECT_THAT(first->values, ElementsAre(2, 6));
  EXPECT_THAT(first->ranges, ElementsAre(TokenRange{0, 3}, TokenRange{4, 5}));
  EXPECT_THAT(first->tokens_per_row, ElementsAre(2, 2));
  EXPECT_EQ(second->first_token, 5);
  EXPECT_THAT(second->values, ElementsAre(10));
  EXPECT_THAT(second->ranges, ElementsAre(TokenRange{5, 7}));
  EXPECT_EQ(buffer.TryPop(), std::nullopt);
}

TEST(TokenVectorBuffer, Pooled_TakesEachRowOnce_WhereverMemoryRunsOut) {
  const std::vector<float> rows = {1, 3, 5, 7, 9, 11, 13};
  int faults = 0;
  for (int number = 0; number < 40; ++number) {
    TokenVectorBuffer buffer(2, nullptr, {.factor = 2});
    faults += RunsOutOfMemory(number, 0, rows, buffer);
    EXPECT_LE(buffer.num_rows(), 3);
    buffer.Push(0, 7, 1, rows.data());  // the batch runs again
    buffer.End();
    const TokenVectorBuffer::Block all = All(buffer);
    EXPECT_THAT(all.values, ElementsAre(2, 6, 10, 13)) << number;
    EXPECT_THAT(all.tokens_per_row, ElementsAre(2, 2, 2, 1)) << number;
    EXPECT_THAT(all.ranges, ElementsAre(TokenRange{0, 7})) << number;
  }
  EXPECT_GE(faults, 8);
}

TEST(TokenVectorBuffer, Pooled_GivesBackTheRoomOfItsRows_AndNothingAfterClose) {
  FakeClock clock;
  Admission admission({.max_token_vector_bytes = 100}, MillisecondPerToken, &clock);
  TokenVectorBuffer buffer(1, nullptr, {.factor = 2});
  buffer.SetReservation(*admission.ReserveOutput(8));
  const std::vector<float> rows = {1, 2, 3};
  buffer.Push(0, 3, 1, rows.data());
  buffer.TryPop();
  EXPECT_EQ(admission.backlog().token_vector_bytes, 4);
  buffer.Close();
  EXPECT_EQ(admission.backlog().token_vector_bytes, 0);
  buffer.End();
  EXPECT_EQ(buffer.TryPop(), std::nullopt);
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
