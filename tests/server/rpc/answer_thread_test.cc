#include "server/rpc/answer_thread.h"

#include <gtest/gtest.h>

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
