#include "server/batching/call_order.h"

#include <gmock/gmock.h>

#include <iterator>
#include <map>
#include <random>
#include <vector>

namespace longspan {
namespace {

using ::testing::ElementsAre;

// Calls in the order of their ends, served one whole call after the other.
class Calls {
 public:
  void Arrive(int number, double cost) {
    waiting_.emplace(order_.Arrive(cost, cost).end, Call{number, cost});
  }
  int Serve() {
    const Call call = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    order_.Serve(call.cost);
    return call.number;
  }
  std::vector<int> ServeAll() {
    std::vector<int> numbers;
    while (!waiting_.empty()) numbers.push_back(Serve());
    return numbers;
  }

 private:
  struct Call {
    int number = 0;
    double cost = 0;
  };
  CallOrder order_;
  std::multimap<double, Call> waiting_;
};

// The example of the class comment.
TEST(CallOrder, ASmallCallGoesBeforeABacklogOfLargeOnes) {
  CallOrder order;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(order.Arrive(10, 10).end, 10);
  order.Serve(6);
  EXPECT_DOUBLE_EQ(order.Arrive(1, 1).end, 3);
}

TEST(CallOrder, CallsOfOneSizeEndInTheOrderOfTheirArrival) {
  Calls calls;
  for (int i = 0; i < 5; ++i) calls.Arrive(i, 2);
  EXPECT_EQ(calls.Serve(), 0);
  for (int i = 5; i < 8; ++i) calls.Arrive(i, 2);
  EXPECT_THAT(calls.ServeAll(), ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

TEST(CallOrder, HowManyItemsACallHasDoesNotMatter) {
  CallOrder whole, parted;
  whole.Arrive(10, 10);
  whole.Arrive(4, 4);
  for (int i = 0; i < 5; ++i) parted.Arrive(2, 10);
  parted.Arrive(4, 4);
  for (int served = 0; served < 13; ++served) {
    EXPECT_NEAR(whole.Arrive(1, 1).end, parted.Arrive(1, 1).end, 1e-9) << served;
    whole.Serve(1);
    parted.Serve(1);
  }
}

TEST(CallOrder, WhatLeavesIsNotReckonedWith) {
  CallOrder order;
  const auto gone = order.Arrive(5, 10);
  order.Arrive(10, 10);
  const auto late = order.Arrive(2, 2);
  order.Leave(gone);
  order.Serve(6);
  EXPECT_DOUBLE_EQ(order.Arrive(0, 0).end, 4) << "2 s beside the call that ended, and 2 s alone";
  order.Leave(late);  // it has ended in the reckoning already
  EXPECT_DOUBLE_EQ(order.Arrive(0, 0).end, 4);
}

// Against the definition: the calls are served side by side in small steps, and the order is that
// of their ends. Call 0 goes on all the time.
TEST(CallOrder, IsTheOrderOfTheEndsOfCallsServedSideBySide) {
  constexpr double kStep = 1.0 / 64;
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    CallOrder order;
    std::map<int, double> left;  // what each call still needs
    std::vector<double> ends;    // ours, in the order of the definition
    std::vector<double> places;  // ours, of each call
    while (places.size() <= 20 || left.size() > 1) {
      if (places.size() <= 20 && random() % 64 == 0) {
        const double cost = places.empty() ? 1e9 : 1 + random() % 16;
        left[static_cast<int>(places.size())] = cost;
        places.push_back(order.Arrive(cost, cost).end);
      }
      order.Serve(kStep * static_cast<double>(left.size()));
      for (auto call = left.begin(); call != left.end();) {
        call->second -= kStep;
        if (call->second <= 0) ends.push_back(places[call->first]);
        call = call->second <= 0 ? left.erase(call) : std::next(call);
      }
    }
    ASSERT_EQ(ends.size(), 20u);
    for (size_t i = 1; i < ends.size(); ++i) EXPECT_GT(ends[i], ends[i - 1] - 4 * kStep) << i;
  }
}

}  // namespace
}  // namespace longspan
