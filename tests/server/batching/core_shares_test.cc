#include "server/batching/core_shares.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

namespace longspan {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
const absl::Time kLater = kNow + absl::Seconds(1);

CoreOptions Following(int workers, int threads) {
  return {.workers = workers, .threads = threads, .follow_load = true};
}

TEST(CoreShares, FixedTeams_AlwaysHaveTheirThreads) {
  CoreShares cores({.workers = 2, .threads = 3});
  for (int pass = 0; pass < 5; ++pass) {
    EXPECT_TRUE(cores.CanBegin() && cores.AllFree());
    EXPECT_EQ(cores.CouldBegin(7), 7);
    EXPECT_EQ(cores.Begin(100, 7), 3);
  }
  EXPECT_EQ(cores.BeginWithAll(), 3);
  EXPECT_EQ(cores.AtSeam(3, false, kLater), 3);
  EXPECT_EQ((CoreOptions{.workers = 2, .threads = 3}.Part(3)), 1);
}

TEST(CoreShares, ALoneText_HasAllCores_AndNobodyBeginsBesideIt) {
  CoreShares cores(Following(4, 2));
  EXPECT_EQ(cores.Begin(1, 3), 8);
  EXPECT_FALSE(cores.CanBegin());
  EXPECT_EQ(cores.CouldBegin(3), 0);
  cores.End(8, kNow);
  EXPECT_TRUE(cores.CanBegin() && cores.AllFree());
}

TEST(CoreShares, ABacklog_HasOnePassAWorker) {
  CoreShares cores(Following(4, 2));
  for (int idle = 3; idle >= 0; --idle) {
    ASSERT_TRUE(cores.CanBegin());
    EXPECT_EQ(cores.CouldBegin(idle + 1), idle + 1);
    EXPECT_EQ(cores.Begin(100, idle), 2);
  }
  EXPECT_FALSE(cores.CanBegin());
  EXPECT_EQ(cores.busy(), 8);
}

TEST(CoreShares, FewTexts_ShareTheCoresAmongTheirPasses) {
  CoreShares cores(Following(8, 1));
  EXPECT_EQ(cores.Begin(2, 7), 4);
  EXPECT_EQ(cores.Begin(1, 6), 4);
}

TEST(CoreShares, APassWithAllCores_WaitsForTheOthers) {
  CoreShares cores(Following(2, 1));
  EXPECT_EQ(cores.Begin(2, 1), 1);
  EXPECT_TRUE(cores.CanBegin());
  EXPECT_FALSE(cores.AllFree());
  cores.End(1, kNow);
  EXPECT_EQ(cores.BeginWithAll(), 2);
}

TEST(CoreShares, APassGrows_OnceTheOtherCoresHaveBeenIdle) {
  CoreShares cores(Following(2, 1));
  cores.Begin(2, 1);
  cores.Begin(1, 0);
  EXPECT_EQ(cores.AtSeam(1, false, kNow), 1) << "no core is free";
  cores.End(1, kNow);
  EXPECT_EQ(cores.AtSeam(1, false, kNow + absl::Milliseconds(1)), 1) << "the next text may come";
  EXPECT_EQ(cores.AtSeam(1, true, kNow + absl::Milliseconds(15)), 1) << "a text has come";
  EXPECT_EQ(cores.AtSeam(1, false, kNow + absl::Milliseconds(20)), 1);
  EXPECT_EQ(cores.AtSeam(1, false, kNow + absl::Milliseconds(30)), 2);
  EXPECT_FALSE(cores.CanBegin());
  cores.End(2, kLater);
  EXPECT_TRUE(cores.AllFree());
}

TEST(CoreShares, PassesThatGrow_LeaveEachOtherTheirPart) {
  CoreShares cores(Following(4, 2));
  for (int idle = 3; idle >= 0; --idle) cores.Begin(100, idle);
  cores.End(2, kNow);
  cores.End(2, kNow);
  EXPECT_EQ(cores.AtSeam(2, false, kLater), 4);
  EXPECT_EQ(cores.AtSeam(2, false, kLater), 4);
  EXPECT_EQ(cores.AtSeam(4, false, kLater), 4);
}

// Whatever happens, no core is given twice and none is lost.
TEST(CoreShares, EachCoreIsGivenOnce_InRandomRuns) {
  std::mt19937 random(7);
  for (int run = 0; run < 200; ++run) {
    const CoreOptions options =
        Following(1 + static_cast<int>(random() % 8), 1 + static_cast<int>(random() % 5));
    CoreShares cores(options);
    std::vector<int> passes;
    absl::Time now = kNow;
    for (int step = 0; step < 300; ++step) {
      now += absl::Milliseconds(random() % 8);
      const auto idle = options.workers - static_cast<int>(passes.size());
      if (random() % 3 == 0 && idle > 0 && cores.CanBegin()) {
        passes.push_back(random() % 5 == 0 && cores.AllFree()
                             ? cores.BeginWithAll()
                             : cores.Begin(1 + random() % 10, cores.CouldBegin(idle) - 1));
        EXPECT_GE(passes.back(), options.threads);
      } else if (!passes.empty() && random() % 2 == 0) {
        const size_t one = random() % passes.size();
        const int before = passes[one];
        passes[one] = cores.AtSeam(before, random() % 2 == 0, now);
        EXPECT_GE(passes[one], before);
      } else if (!passes.empty()) {
        cores.End(passes.back(), now);
        passes.pop_back();
      }
      int busy = 0;
      for (const int threads : passes) busy += threads;
      EXPECT_EQ(cores.busy(), busy);
      EXPECT_LE(busy, options.cores());
      EXPECT_EQ(cores.AllFree(), passes.empty());
    }
  }
}

}  // namespace
}  // namespace longspan
