// Steps in parts on a pool that helps, is busy, or is shut down.
#include "server/search/shared_parts.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <set>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace longspan {
namespace {

std::vector<int> CountsOf(TokenizerPool& pool, int64_t helpers, int64_t parts) {
  std::vector<std::atomic<int>> counts(parts);
  ForEachPartOn(&pool, "client", helpers, parts, [&](int64_t part) { ++counts[part]; });
  return {counts.begin(), counts.end()};
}

TEST(SharedPartsTest, EachPartOnce) {
  TokenizerPool pool(3);
  for (const int64_t parts : {0, 1, 2, 100}) {
    for (const int64_t helpers : {0, 1, 2, 9})
      EXPECT_EQ(CountsOf(pool, helpers, parts), std::vector<int>(parts, 1));
  }
}

TEST(SharedPartsTest, OthersHelp) {
  TokenizerPool pool(2);
  absl::Notification other_came;
  // The first part waits for the second, which only a helper can take meanwhile.
  ForEachPartOn(&pool, "client", 1, 2, [&](int64_t part) {
    if (part == 0) {
      EXPECT_TRUE(other_came.WaitForNotificationWithTimeout(absl::Seconds(60)));
    } else {
      other_came.Notify();
    }
  });
}

TEST(SharedPartsTest, ABusyPool_IsNotWaitedFor) {
  TokenizerPool pool(1);
  absl::Notification go_on, began;
  pool.Submit("other", 0, [&](const absl::Status&) {
    began.Notify();
    go_on.WaitForNotification();
  });
  began.WaitForNotification();
  EXPECT_EQ(CountsOf(pool, 4, 50), std::vector<int>(50, 1));
  go_on.Notify();
}

TEST(SharedPartsTest, APoolThatIsShutDown_HelpsNobody) {
  TokenizerPool pool(2);
  pool.Shutdown();
  EXPECT_EQ(CountsOf(pool, 4, 50), std::vector<int>(50, 1));
}

TEST(SharedPartsTest, FromAThreadOfThePool) {
  TokenizerPool pool(1);
  absl::Notification done;
  std::vector<int> counts;
  pool.Submit("client", 0, [&](const absl::Status&) {
    counts = CountsOf(pool, 4, 50);
    done.Notify();
  });
  done.WaitForNotification();
  EXPECT_EQ(counts, std::vector<int>(50, 1));
}

TEST(SharedPartsTest, WhatAPartThrows_IsThrown_OnceAllHaveEnded) {
  TokenizerPool pool(3);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> running{0};
    EXPECT_THROW(ForEachPartOn(&pool, "client", 2, 20,
                               [&](int64_t part) {
                                 ++running;
                                 if (part == 3) {
                                   --running;
                                   throw std::bad_alloc();
                                 }
                                 --running;
                               }),
                 std::bad_alloc);
    EXPECT_EQ(running, 0);
  }
}

TEST(SharedPartsTest, AfterAThrow_NoPartBegins) {
  TokenizerPool pool(1);
  int begun = 0;
  EXPECT_THROW(ForEachPartOn(&pool, "client", 0, 20,
                             [&](int64_t part) {
                               ++begun;
                               if (part == 3) throw std::bad_alloc();
                             }),
               std::bad_alloc);
  EXPECT_EQ(begun, 4);
}

}  // namespace
}  // namespace longspan
