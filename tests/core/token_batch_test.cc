#include "core/token_batch.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using ::testing::ElementsAre;

TEST(TokenBatch, Add_MarksSeamsAndShiftsGlobals) {
  const std::vector<int32_t> first = {7, 8, 9}, second = {4, 5};
  const std::vector<int32_t> globals = {0, 1};
  TokenBatch batch;
  EXPECT_EQ(batch.Add({.token_ids = first}), 0);
  EXPECT_EQ(batch.Add({.token_ids = second, .global_positions = globals}), 1);
  EXPECT_THAT(batch.token_ids(), ElementsAre(7, 8, 9, 4, 5));
  EXPECT_THAT(batch.cu_seqlens(), ElementsAre(0, 3, 5));
  EXPECT_THAT(batch.globals(), ElementsAre(3, 4));
  EXPECT_THAT(batch.cu_globals(), ElementsAre(0, 0, 2));
  EXPECT_EQ(batch.length(0), 3);
  EXPECT_EQ(batch.length(1), 2);
  EXPECT_TRUE(batch.attention_mask().empty());
}

TEST(TokenBatch, Add_FillsTheMaskOfTextsThatHaveNone) {
  const std::vector<int32_t> ids = {1, 2};
  const std::vector<uint8_t> hole = {1, 0};
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  batch.Add({.token_ids = ids, .attention_mask = hole});
  batch.Add({.token_ids = ids});
  EXPECT_THAT(batch.attention_mask(), ElementsAre(1, 1, 1, 0, 1, 1));
}

TEST(TokenBatch, Add_GivesTypeZeroToTextsThatHaveNoTypes) {
  const std::vector<int32_t> ids = {1, 2};
  const std::vector<int32_t> types = {0, 1};
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  EXPECT_TRUE(batch.token_types().empty());
  batch.Add({.token_ids = ids, .token_types = types});
  batch.Add({.token_ids = ids});
  EXPECT_THAT(batch.token_types(), ElementsAre(0, 0, 0, 1, 0, 0));
}

}  // namespace
}  // namespace longspan
