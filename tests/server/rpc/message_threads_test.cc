#include "server/rpc/message_threads.h"

#include <gtest/gtest.h>

#include <new>
#include <thread>

#include "absl/synchronization/notification.h"

namespace longspan {
namespace {

std::thread::id ThreadOf(TokenizerPool* pool, int64_t num_values) {
  std::thread::id made_by;
  absl::Notification made;
  OnAnswerThread(pool, "client", num_values, [&] {
    made_by = std::this_thread::get_id();
    made.Notify();
  });
  made.WaitForNotification();
  return made_by;
}

std::thread::id ReaderOf(TokenizerPool* pool, int64_t bytes, absl::Status* status) {
  std::thread::id read_by;
  absl::Notification read;
  const absl::Status handed =
      OnRequestThread(pool, "client", bytes, [&](const absl::Status& given) {
        read_by = std::this_thread::get_id();
        *status = given;
        read.Notify();
      });
  EXPECT_TRUE(handed.ok()) << handed;
  read.WaitForNotification();
  return read_by;
}

TEST(OnRequestThreadTest, ASmallRequest_IsReadWhereItCame) {
  TokenizerPool pool(2);
  absl::Status status = absl::UnknownError("");
  EXPECT_EQ(ReaderOf(&pool, kInlineRequestBytes, &status), std::this_thread::get_id());
  EXPECT_TRUE(status.ok());
}

TEST(OnRequestThreadTest, ALargeRequest_LeavesTheThreadThatReceivedIt) {
  TokenizerPool pool(2);
  absl::Status status = absl::UnknownError("");
  EXPECT_NE(ReaderOf(&pool, kInlineRequestBytes + 1, &status), std::this_thread::get_id());
  EXPECT_TRUE(status.ok());
}

// A text that is being tokenised must not hold up what costs a fraction of it.
TEST(OnRequestThreadTest, TheLargestRequest_DoesNotWaitForLargeTexts) {
  TokenizerPool pool(2);
  absl::Notification tokenised;
  pool.Submit("other", 8 << 20, [&](const absl::Status&) { tokenised.WaitForNotification(); });
  absl::Status status;
  ReaderOf(&pool, 16 << 20, &status);
  EXPECT_TRUE(status.ok());
  tokenised.Notify();
}

TEST(OnRequestThreadTest, AfterThePoolsEnd_TheReasonIsTold) {
  TokenizerPool pool(2);
  pool.Shutdown();
  absl::Status status;
  ReaderOf(&pool, kInlineRequestBytes + 1, &status);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

// A job that cannot be made, as where memory is short.
struct Unmovable {
  Unmovable() = default;
  Unmovable(Unmovable&&) { throw std::bad_alloc(); }
  void operator()(const absl::Status&) { ADD_FAILURE() << "it was handed over"; }
};

TEST(OnRequestThreadTest, WithoutMemory_NothingIsCalledAndTheReasonComesBack) {
  TokenizerPool pool(2);
  Unmovable job;
  const absl::Status handed = OnRequestThread<Unmovable&>(&pool, "client", 1 << 20, job);
  EXPECT_TRUE(absl::IsResourceExhausted(handed)) << handed;
}

TEST(OnAnswerThreadTest, ASmallAnswer_IsMadeWhereItIs) {
  TokenizerPool pool(2);
  EXPECT_EQ(ThreadOf(&pool, kInlineAnswerValues), std::this_thread::get_id());
}

TEST(OnAnswerThreadTest, ALargeAnswer_LeavesTheThreadThatComputedIt) {
  TokenizerPool pool(2);
  EXPECT_NE(ThreadOf(&pool, kInlineAnswerValues + 1), std::this_thread::get_id());
}

TEST(OnAnswerThreadTest, AfterThePoolsEnd_TheAnswerIsMadeAllTheSame) {
  TokenizerPool pool(2);
  pool.Shutdown();
  EXPECT_EQ(ThreadOf(&pool, kInlineAnswerValues + 1), std::this_thread::get_id());
}

TEST(NumValuesTest, CountsTheDocumentsVectorAndThoseOfAllSpans) {
  EncodedDocument document;
  EXPECT_EQ(NumValues(document), 0);
  document.vector.resize(8);
  document.spans.resize(3);
  for (EncodedSpan& span : document.spans) span.vector.resize(8);
  EXPECT_EQ(NumValues(document), 32);
}

}  // namespace
}  // namespace longspan
