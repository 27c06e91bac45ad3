#include "server/batching/fair_queue.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using ::testing::ElementsAre;

// Items are their own costs.
double Itself(int& item) { return item; }

std::string Turns(FairQueue<int>& queue, const std::map<int, char>& names, int turns) {
  std::string taken;
  for (int i = 0; i < turns; ++i) {
    queue.BeginService();
    taken += names.at(queue.Take(Itself));
  }
  return taken;
}

// The example of the class comment.
TEST(FairQueue, Take_SharesCostsAmongClients) {
  FairQueue<int> queue;
  for (int i = 0; i < 10; ++i) queue.Push(1, "A");
  std::string turns = Turns(queue, {{1, 'A'}}, 2);
  for (int i = 0; i < 10; ++i) queue.Push(2, "B");
  turns += Turns(queue, {{1, 'A'}, {2, 'B'}}, 5);
  EXPECT_EQ(turns, "AABAABA");
}

TEST(FairQueue, WhoComesWhileAServiceLasts_HasNotHadPartOfIt) {
  FairQueue<int> queue;
  for (int i = 0; i < 100; ++i) queue.Push(1, "backlog");
  queue.BeginService();
  for (int i = 0; i < 10; ++i) queue.Take(Itself);
  queue.Push(3, "late");
  EXPECT_EQ(queue.TimeOf("late"), 0);
  EXPECT_EQ(queue.TimeOf("backlog"), 10);
  EXPECT_EQ(queue.TimeOf("stranger"), 0);
  queue.BeginService();
  EXPECT_EQ(queue.Take(Itself), 3);
}

TEST(FairQueue, IdleTimeIsNotSavedUp) {
  FairQueue<int> queue;
  queue.Push(1, "idle");
  queue.BeginService();
  queue.Take(Itself);
  for (int i = 0; i < 100; ++i) queue.Push(1, "steady");
  Turns(queue, {{1, 's'}}, 50);
  for (int i = 0; i < 10; ++i) queue.Push(2, "idle");
  const std::string turns = Turns(queue, {{1, 's'}, {2, 'i'}}, 12);
  EXPECT_LE(std::count(turns.begin(), turns.end(), 'i'), 5) << turns;
}

TEST(FairQueue, TakeFirst_LooksAsFarAsItsReach) {
  FairQueue<int> queue;
  for (const int item : {1, 2, 3}) queue.Push(item, "A");
  for (const int item : {4, 5, 6}) queue.Push(item, "B");
  const auto is = [](int wanted) { return [wanted](int item) { return item == wanted; }; };
  EXPECT_EQ(queue.TakeFirst({.items_of_each = 1}, is(2), Itself), std::nullopt);
  EXPECT_EQ(queue.TakeFirst({.clients = 1}, is(4), Itself), std::nullopt);
  EXPECT_EQ(queue.TakeFirst({}, is(5), Itself), 5);
  EXPECT_EQ(queue.TimeOf("B"), 5);
  EXPECT_EQ(queue.TakeFirst({.clients = 1}, is(4), Itself), std::nullopt) << "A's turn came first";
  EXPECT_EQ(queue.TakeFirst({.clients = 1}, is(2), Itself), 2);
}

// An item of 7 in a call of 7 goes before three of 1 in one of 10.
TEST(FairQueue, InsideAClient_SmallCallsGoFirst) {
  FairQueue<int> queue;
  for (int i = 0; i < 10; ++i) queue.Push(1, "proxy", {.item = 1, .call = 10});
  EXPECT_EQ(Turns(queue, {{1, 'L'}, {7, 's'}}, 2), "LL");
  queue.Push(7, "proxy", {.item = 7, .call = 7});
  EXPECT_EQ(Turns(queue, {{1, 'L'}, {7, 's'}}, 9), "sLLLLLLLL");
}

// However many small calls come, each when the last was taken.
TEST(FairQueue, InsideAClient_ALargeCallWaitsForNoMoreThanItsOwnCost) {
  FairQueue<int> queue;
  for (int i = 0; i < 2; ++i) queue.Push(25, "proxy", {.item = 25, .call = 50});
  std::vector<int> taken;
  int small = 0;
  while (taken.size() < 2) {
    queue.Push(1, "proxy", {.item = 1, .call = 1});
    queue.BeginService();
    const int item = queue.Take(Itself);
    small += item == 1;
    if (item != 1) taken.push_back(item);
    ASSERT_LE(small, 2 * 51);
  }
  EXPECT_GE(small, 50);
}

TEST(FairQueue, RemoveIf_ChargesNobody_AndLeavesTheOthersInOrder) {
  FairQueue<int> queue;
  for (const int item : {1, 2, 3, 4}) queue.Push(item, "A");
  queue.Push(5, "gone");
  std::vector<int> removed, rest;
  queue.RemoveIf([](int item) { return item % 2 == 1; },
                 [&](int item) { removed.push_back(item); });
  EXPECT_THAT(removed, ElementsAre(1, 3, 5));
  EXPECT_EQ(queue.TimeOf("A"), 0);
  EXPECT_FALSE(queue.OthersWait("A"));
  while (!queue.empty()) rest.push_back(queue.Take(Itself));
  EXPECT_THAT(rest, ElementsAre(2, 4));
}

}  // namespace
}  // namespace longspan
