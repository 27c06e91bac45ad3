// That records come out in the order in which they went in, whoever is done first, and that no more
// is held than may be.
#include "client/bulk/ordered_window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace longspan {
namespace {

Record Numbered(uint64_t number, size_t bytes = 1) {
  Record record;
  record.number = number;
  record.text = std::string(bytes, 'x');
  return record;
}

v1::Encoding Answer(uint64_t tokens) {
  v1::Encoding encoding;
  encoding.set_tokens_used(tokens);
  return encoding;
}

TEST(OrderedWindowTest, ManyWorkers_KeepTheOrder) {
  constexpr uint64_t kRecords = 5000;
  OrderedWindow window({.records = 100, .text_bytes = 1000, .answer_bytes = 1000});
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (uint64_t i = 0; i < kRecords; ++i) ASSERT_TRUE(window.Put(Numbered(i, i % 37)));
    window.Close();
  });
  for (int worker = 0; worker < 4; ++worker)
    threads.emplace_back([&, worker] {
      std::mt19937 random(worker);
      while (const auto job = window.Take()) {
        if (random() % 50 == 0) absl::SleepFor(absl::Microseconds(300));
        window.Done(job->ticket, Answer(job->record->number));
      }
    });
  for (uint64_t i = 0; i < kRecords;) {
    const auto result = window.Next(absl::Seconds(10));
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->record.number, i);
    EXPECT_EQ(result->encoding->tokens_used(), i);
    EXPECT_TRUE(result->record.text.empty());
    ++i;
  }
  EXPECT_TRUE(window.is_empty_and_closed());
  for (std::thread& thread : threads) thread.join();
}

// Whether Put of the record waits.
bool Waits(OrderedWindow* window, Record record) {
  std::atomic<bool> done = false;
  std::thread thread([&] {
    window->Put(std::move(record));
    done = true;
  });
  absl::SleepFor(absl::Milliseconds(100));
  const bool waits = !done;
  window->Stop();
  thread.join();
  return waits;
}

TEST(OrderedWindowTest, PutWaits_WhileThereIsNoRoom) {
  OrderedWindow by_records({.records = 2, .text_bytes = 100, .answer_bytes = 100});
  ASSERT_TRUE(by_records.Put(Numbered(0)) && by_records.Put(Numbered(1)));
  EXPECT_TRUE(Waits(&by_records, Numbered(2)));

  OrderedWindow by_texts({.records = 10, .text_bytes = 100, .answer_bytes = 100});
  ASSERT_TRUE(by_texts.Put(Numbered(0, 500)));  // a single one may be larger
  EXPECT_TRUE(Waits(&by_texts, Numbered(1)));

  OrderedWindow by_answers({.records = 10, .text_bytes = 100, .answer_bytes = 5});
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(by_answers.Put(Numbered(i)));
  by_answers.Take();  // the first one takes its time
  for (uint64_t i = 1; i < 3; ++i) by_answers.Done(by_answers.Take()->ticket, Answer(1 << 20));
  EXPECT_TRUE(Waits(&by_answers, Numbered(3)));

  OrderedWindow with_room({.records = 10, .text_bytes = 100, .answer_bytes = 5});
  ASSERT_TRUE(with_room.Put(Numbered(0)));
  EXPECT_FALSE(Waits(&with_room, Numbered(1)));
}

TEST(OrderedWindowTest, AfterStop_NobodyWaits_AndWhatIsDoneComesOut) {
  OrderedWindow window({.records = 10, .text_bytes = 100, .answer_bytes = 100});
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(window.Put(Numbered(i)));
  const auto first = window.Take(), second = window.Take();
  window.Stop();
  EXPECT_FALSE(window.Put(Numbered(3)));
  EXPECT_FALSE(window.Take().has_value());
  window.Done(second->ticket, Answer(1));
  EXPECT_FALSE(window.Next(absl::Seconds(10)).has_value());
  window.Done(first->ticket, Answer(0));
  EXPECT_EQ(window.Next(absl::ZeroDuration())->record.number, 0u);
  EXPECT_EQ(window.Next(absl::ZeroDuration())->record.number, 1u);
  EXPECT_FALSE(window.Next(absl::ZeroDuration()).has_value());
}

}  // namespace
}  // namespace longspan
