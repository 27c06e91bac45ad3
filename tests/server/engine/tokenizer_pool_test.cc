#include "server/engine/tokenizer_pool.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kClient = "client";
constexpr int64_t kSmall = 10, kLarge = TokenizerPool::kLargeBytes + 1;

TEST(TokenizerPool, Submit_RunsJobsInOrder_OnOneThread) {
  TokenizerPool pool(1);
  std::vector<int> order;
  for (int i = 0; i < 5; ++i)
    pool.Submit(kClient, i % 2 == 0 ? kSmall : kLarge,
                [&order, i](const absl::Status&) { order.push_back(i); });
  pool.Drain();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
}

TEST(TokenizerPool, Submit_KeepsAThreadForSmallTexts_BesideLargeOnes) {
  TokenizerPool pool(2);
  absl::Notification release, small_done;
  for (int i = 0; i < 2; ++i)
    pool.Submit(kClient, kLarge, [&](const absl::Status&) { release.WaitForNotification(); });
  pool.Submit(kClient, kSmall, [&](const absl::Status&) { small_done.Notify(); });
  small_done.WaitForNotification();  // hangs where both threads took a large text
  release.Notify();
  pool.Drain();
}

// Also a large one waits only for its client's own texts, and for the one that runs.
TEST(TokenizerPool, Submit_GivesClientsEqualShares_HoweverManyTextsTheySend) {
  for (const int64_t bytes : {kSmall, kLarge}) {
    TokenizerPool pool(1);
    absl::Notification release;
    std::vector<std::string> order;
    pool.Submit("busy", bytes, [&](const absl::Status&) { release.WaitForNotification(); });
    for (int i = 0; i < 100; ++i)
      pool.Submit("busy", bytes, [&](const absl::Status&) { order.push_back("busy"); });
    for (int i = 0; i < 2; ++i)
      pool.Submit("modest", bytes, [&](const absl::Status&) { order.push_back("modest"); });
    release.Notify();
    pool.Drain();
    ASSERT_EQ(order.size(), 102u);
    EXPECT_EQ(std::count(order.begin(), order.begin() + 4, "modest"), 2) << bytes;
  }
}

TEST(TokenizerPool, Submit_RunsSmallCallsOfAClientBeforeItsLargeOnes) {
  constexpr int64_t kBytes = kSmall;  // far below what a turn costs, so that the texts count too
  TokenizerPool pool(1);
  absl::Notification release;
  std::vector<int> order;
  pool.Submit(kClient, kSmall, [&](const absl::Status&) { release.WaitForNotification(); });
  const auto submit = [&](int number, int64_t call_bytes) {
    pool.Submit(
        kClient, kBytes, [&, number](const absl::Status&) { order.push_back(number); }, call_bytes);
  };
  for (const int number : {1, 2, 3}) submit(number, 3 * kBytes);
  submit(4, kBytes);
  release.Notify();
  pool.Drain();
  EXPECT_THAT(order, ElementsAre(4, 1, 2, 3));
}

TEST(TokenizerPool, Submit_RunsLargeTextsBesideOneAnother_OnlyUpToTheirBytes) {
  TokenizerPool pool(8, /*max_running_bytes=*/3 * kLarge);
  std::atomic<int> running = 0, most = 0, alone = 0;
  for (int i = 0; i < 200; ++i) {
    const bool huge = i % 10 == 0;  // above the bound: runs without other large ones
    pool.Submit(kClient, huge ? 4 * kLarge : kLarge, [&, huge](const absl::Status&) {
      const int now = ++running;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
      }
      if (huge && now == 1) ++alone;
      std::this_thread::yield();
      --running;
    });
  }
  pool.Drain();
  EXPECT_LE(most, 3);
  EXPECT_EQ(alone, 20);
}

TEST(TokenizerPool, Drain_RunsWhatWasSubmitted_ThenRefuses) {
  TokenizerPool pool(2);
  std::atomic<int> ran = 0, refused = 0;
  const auto job = [&](const absl::Status& status) { ++(status.ok() ? ran : refused); };
  for (int i = 0; i < 100; ++i) pool.Submit(kClient, i % 3 == 0 ? kLarge : kSmall, job);
  pool.Drain();
  EXPECT_EQ(ran, 100);
  pool.Submit(kClient, kSmall, job);
  EXPECT_EQ(refused, 1);
}

TEST(TokenizerPool, Shutdown_RefusesWhatWaits_AsUnavailable) {
  TokenizerPool pool(1);
  absl::Notification started, release;
  std::vector<absl::StatusCode> codes;
  pool.Submit(kClient, kSmall, [&](const absl::Status&) {
    started.Notify();
    release.WaitForNotification();
  });
  started.WaitForNotification();
  for (const int64_t bytes : {kSmall, kLarge}) {
    pool.Submit(kClient, bytes, [&](const absl::Status& status) {
      codes.push_back(status.code());
      if (codes.size() == 2) release.Notify();  // the running job ends only after both were refused
    });
  }
  EXPECT_THAT(codes, IsEmpty());  // both wait
  pool.Shutdown();
  EXPECT_THAT(codes, ElementsAre(absl::StatusCode::kUnavailable, absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace longspan
