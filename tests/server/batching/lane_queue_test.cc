#include "server/batching/lane_queue.h"

#include <gmock/gmock.h>

#include "tests/server/batching/queued_pieces.h"

namespace longspan {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

TEST(LaneQueue, Take_SharesSecondsAmongClients_HoweverManyTextsTheySend) {
  LaneQueue queue(kNobodyLeft);
  for (int i = 0; i < 1000; ++i) queue.Push(Piece(1), "greedy");
  for (int i = 0; i < 10; ++i) queue.Push(Piece(1, 2), "modest");
  int modest = 0;
  for (int i = 0; i < 20; ++i) modest += queue.Take().tokens == 2;
  EXPECT_EQ(modest, 10);
}

TEST(LaneQueue, Take_CountsSecondsNotTexts) {
  LaneQueue queue(kNobodyLeft);
  for (int i = 0; i < 100; ++i) {
    queue.Push(Piece(10, 1), "large");
    queue.Push(Piece(1, 2), "small");
  }
  double large = 0, small = 0;
  for (int i = 0; i < 55; ++i) {
    const QueuedPiece piece = queue.Take();
    (piece.tokens == 1 ? large : small) += piece.seconds;
  }
  EXPECT_THAT(large, DoubleNear(small, 10));
}

// A client that sends one text at a time, each when the last was taken, must not get more than half
// of the seconds beside one other client.
TEST(LaneQueue, Take_GivesNothingForSendingOneAtATime) {
  LaneQueue queue(kNobodyLeft);
  for (int i = 0; i < 1000; ++i) queue.Push(Piece(1, 1), "steady");
  queue.Push(Piece(5, 2), "sly");
  double sly = 0, steady = 0;
  while (sly + steady < 200) {
    const QueuedPiece piece = queue.Take();
    (piece.tokens == 2 ? sly : steady) += piece.seconds;
    if (piece.tokens == 2) queue.Push(Piece(5, 2), "sly");
  }
  EXPECT_THAT(sly, DoubleNear(100, 6));
}

// Nor must it get less: small texts, sent one at a time beside a client with large ones, get their
// half too.
TEST(LaneQueue, Take_TakesNothingForSendingOneAtATime) {
  LaneQueue queue(kNobodyLeft);
  for (int i = 0; i < 1000; ++i) queue.Push(Piece(5, 1), "steady");
  queue.Push(Piece(0.1, 2), "modest");
  double modest = 0, steady = 0;
  while (modest + steady < 200) {
    const QueuedPiece piece = queue.Take();
    (piece.tokens == 2 ? modest : steady) += piece.seconds;
    if (piece.tokens == 2) queue.Push(Piece(0.1, 2), "modest");
  }
  EXPECT_THAT(modest, DoubleNear(100, 6));
}

// A pass is charged as it begins. Who comes while it runs has not had those seconds.
TEST(LaneQueue, TakeFitting_LooksAtTheFirstPieceOfEachClient_InTheOrderOfTheirTurns) {
  LaneQueue queue(kNobodyLeft);
  for (int i = 0; i < 20; ++i) queue.Push(Piece(1, 1), "busy");
  queue.Take();
  for (int i = 1; i < 10; ++i) queue.TakeMore();  // a pass of ten seconds
  for (int i = 0; i < 20; ++i) queue.Push(Piece(2, 2), "late");
  const auto any = [](const QueuedPiece&) { return true; };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.TakeFitting(any)->tokens, 2);
  EXPECT_EQ(queue.TakeFitting(any)->tokens, 1);
  queue.Push(Piece(2, 3), "late");
  EXPECT_EQ(queue.TakeFitting([](const QueuedPiece& piece) { return piece.tokens == 3; }),
            std::nullopt);
  EXPECT_EQ(queue.pieces(), 25);
}

TEST(LaneQueue, Take_TakesTheSmallCallOfAClientFirst) {
  LaneQueue queue(kNobodyLeft);
  QueuedPiece piece = Piece(1, 1);
  piece.call_seconds = 100;
  for (int i = 0; i < 100; ++i) queue.Push(piece, "proxy");
  piece = Piece(2, 2);
  piece.call_seconds = 2;
  queue.Push(piece, "proxy");
  EXPECT_EQ(queue.Take().tokens, 2);
}

TEST(LaneQueue, OthersWait_CountsClientsWithPieces) {
  LaneQueue queue(kNobodyLeft);
  EXPECT_FALSE(queue.OthersWait("one"));
  queue.Push(Piece(1), "one");
  EXPECT_FALSE(queue.OthersWait("one"));
  EXPECT_TRUE(queue.OthersWait("two"));
  queue.Push(Piece(1), "two");
  EXPECT_TRUE(queue.OthersWait("one"));
}

TEST(LaneQueue, Take_IsFirstComeFirstServed_InsideAClient) {
  LaneQueue queue(kNobodyLeft);
  for (int tokens = 1; tokens <= 5; ++tokens) queue.Push(Piece(1, tokens), "one");
  for (int tokens = 1; tokens <= 5; ++tokens) EXPECT_EQ(queue.Take().tokens, tokens);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.seconds(), 0);
  EXPECT_EQ(queue.oldest(), absl::InfiniteFuture());
}

TEST(LaneQueue, Take_ChargesNothingForAbandonedTexts) {
  LaneQueue queue([](const QueuedPiece& piece) { return piece.tokens == 9; });
  for (int i = 0; i < 50; ++i) queue.Push(Piece(1, 9), "unlucky");
  for (int i = 0; i < 5; ++i) {
    queue.Push(Piece(1, 1), "unlucky");
    queue.Push(Piece(1, 2), "other");
  }
  int unlucky = 0, taken = 0;
  while (taken < 6) {
    const QueuedPiece piece = queue.Take();
    if (piece.abandoned) continue;
    ++taken;
    unlucky += piece.tokens == 1;
  }
  EXPECT_EQ(unlucky, 3);
}

TEST(LaneQueue, TakePadded_FindsEqualLengthsBehindOthers) {
  LaneQueue queue(kNobodyLeft);
  for (const int64_t tokens : {64, 128, 64, 192, 64}) queue.Push(Piece(1, tokens), "one");
  queue.Push(Piece(1, 64), "two");
  std::vector<int64_t> taken;
  while (const auto piece = queue.TakePadded(64)) taken.push_back(piece->tokens);
  EXPECT_THAT(taken, ElementsAre(64, 64, 64, 64));
  EXPECT_EQ(queue.pieces(), 2);
}

TEST(LaneQueue, RemoveIf_LeavesTheOthersInOrder) {
  LaneQueue queue(kNobodyLeft);
  for (int tokens = 1; tokens <= 6; ++tokens) queue.Push(Piece(1, tokens, tokens), "one");
  queue.Push(Piece(1, 7, 7), "gone");
  std::vector<QueuedPiece> removed;
  queue.RemoveIf([](const QueuedPiece& piece) { return piece.tokens % 2 == 1; }, &removed);
  EXPECT_EQ(removed.size(), 4u);
  EXPECT_EQ(queue.oldest(), At(2));
  std::vector<int64_t> rest;
  while (!queue.empty()) rest.push_back(queue.Take().tokens);
  EXPECT_THAT(rest, ElementsAre(2, 4, 6));
}

}  // namespace
}  // namespace longspan
