#include "server/batching/token_vector_buffer.h"

#include <gmock/gmock.h>

#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

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
