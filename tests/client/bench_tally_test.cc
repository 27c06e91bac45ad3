#include "client/bench_tally.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace longspan {
namespace {

const absl::Time kBegin = absl::FromUnixSeconds(1000);
const absl::Time kEnd = kBegin + absl::Seconds(10);

BenchTally::Answer Answer(absl::Duration due, absl::Duration latency, int64_t tokens = 100,
                          absl::Status status = absl::OkStatus()) {
  return {.status = std::move(status),
          .tokens = tokens,
          .due = kBegin + due,
          .ended = kBegin + due + latency};
}

void Count(BenchTally* tally, const BenchTally::Answer& answer) {
  tally->Sent(answer.due, answer.due);
  tally->Answered(answer);
}

TEST(BenchTallyTest, PercentilesAreThoseOfEachLengthClass) {
  BenchTally tally(kBegin, kEnd);
  for (int i = 1; i <= 100; ++i)
    Count(&tally, Answer(absl::Seconds(1), absl::Milliseconds(i), 128));
  Count(&tally, Answer(absl::Seconds(1), absl::Milliseconds(900), 129));
  const auto classes = tally.Report()["classes"];
  ASSERT_EQ(classes.size(), 2u);
  EXPECT_EQ(classes[0]["tokens_up_to"], 128);
  EXPECT_EQ(classes[0]["answers"], 100);
  EXPECT_NEAR(classes[0]["latency_ms"]["p50"].get<double>(), 51, 1e-6);
  EXPECT_NEAR(classes[0]["latency_ms"]["p99"].get<double>(), 100, 1e-6);
  EXPECT_EQ(classes[1]["tokens_up_to"], 512);
  EXPECT_NEAR(classes[1]["latency_ms"]["max"].get<double>(), 900, 1e-6);
}

TEST(BenchTallyTest, LengthClassesAreThoseOfTheContract_TheLastWithoutABound) {
  BenchTally tally(kBegin, kEnd);
  for (const int64_t bound : kLengthClassBounds)
    Count(&tally, Answer(absl::Seconds(1), absl::Milliseconds(1), bound));
  Count(&tally, Answer(absl::Seconds(1), absl::Milliseconds(1), kLengthClassBounds.back() + 1));
  const auto report = tally.Report();
  std::vector<nlohmann::ordered_json> bounds;
  for (const auto& row : report["classes"]) {
    EXPECT_EQ(row["answers"], 1);
    bounds.push_back(row["tokens_up_to"]);
  }
  const std::vector<nlohmann::ordered_json> want = {128,   512,    2048,   8192,
                                                    32768, 131072, 524288, nullptr};
  EXPECT_EQ(bounds, want);
}

TEST(BenchTallyTest, RatesCountWhatArrivedInTheWindow_PercentilesWhatWasDueInIt) {
  BenchTally tally(kBegin, kEnd);
  // Due in the warm-up, arrived in the window.
  Count(&tally, Answer(absl::Seconds(-1), absl::Seconds(2)));
  // Due in the window, arrived after it.
  Count(&tally, Answer(absl::Seconds(9), absl::Seconds(2)));
  // Due and arrived before the window.
  Count(&tally, Answer(absl::Seconds(-2), absl::Seconds(1)));
  // Due and arrived after the window.
  Count(&tally, Answer(absl::Seconds(10), absl::Seconds(1)));
  // Due and arrived in the window.
  Count(&tally, Answer(absl::Seconds(5), absl::Seconds(1), 50));
  const auto report = tally.Report();
  EXPECT_EQ(report["requests"], 2);
  EXPECT_EQ(report["good"], 2);
  EXPECT_DOUBLE_EQ(report["goodput_per_second"], 0.2);
  EXPECT_DOUBLE_EQ(report["tokens_per_second"], 15);
}

TEST(BenchTallyTest, ErrorsAreCountedByCode_AndNeverGood) {
  BenchTally tally(kBegin, kEnd);
  Count(&tally,
        Answer(absl::Seconds(1), absl::Milliseconds(3), 0, absl::ResourceExhaustedError("full")));
  Count(&tally,
        Answer(absl::Seconds(1), absl::Milliseconds(4), 0, absl::ResourceExhaustedError("full")));
  Count(&tally,
        Answer(absl::Seconds(1), absl::Milliseconds(5000), 0, absl::DeadlineExceededError("late")));
  const auto report = tally.Report();
  EXPECT_EQ(report["good"], 0);
  EXPECT_EQ(report["errors"]["RESOURCE_EXHAUSTED"], 2);
  EXPECT_EQ(report["errors"]["DEADLINE_EXCEEDED"], 1);
  // A deadline that passed is not a refusal.
  EXPECT_NEAR(report["refusal_ms"]["max"].get<double>(), 4, 1e-6);
  EXPECT_TRUE(report["classes"].empty());
}

TEST(BenchTallyTest, ALateGeneratorIsNamed_AndItsLatenessIsInTheLatency) {
  BenchTally tally(kBegin, kEnd);
  BenchTally::Answer answer = Answer(absl::Seconds(1), absl::Milliseconds(260));
  tally.Sent(answer.due, answer.due + absl::Milliseconds(250));
  tally.Answered(answer);
  const auto report = tally.Report();
  EXPECT_TRUE(report["generator_too_late"].get<bool>());
  EXPECT_NEAR(report["generator_lateness_ms"]["p99"].get<double>(), 250, 1e-6);
  EXPECT_NEAR(report["classes"][0]["latency_ms"]["p50"].get<double>(), 260, 1e-6);
}

TEST(BenchTallyTest, WhatIsBeyondTokenizingAndComputingIsTheRestOfTheLatency) {
  BenchTally tally(kBegin, kEnd);
  BenchTally::Answer answer = Answer(absl::Seconds(1), absl::Milliseconds(10));
  answer.timings.set_tokenize_ns(1'000'000);
  answer.timings.set_queue_ns(500'000);
  answer.timings.set_compute_ns(7'000'000);
  Count(&tally, answer);
  const auto report = tally.Report();
  EXPECT_NEAR(report["queue_ms"]["p50"].get<double>(), 0.5, 1e-6);
  EXPECT_NEAR(report["beyond_tokenize_and_compute_ms"]["p50"].get<double>(), 2, 1e-6);
}

TEST(BenchTallyTest, TotalsAreOfAllAnswers_InTheWindowOrNot) {
  BenchTally tally(kBegin, kEnd);
  BenchTally::Answer late = Answer(absl::Hours(1), absl::Milliseconds(10));
  late.tokens = 70;
  Count(&tally, late);
  BenchTally::Answer refused = Answer(absl::Seconds(1), absl::Milliseconds(10));
  refused.status = absl::ResourceExhaustedError("full");
  Count(&tally, refused);
  const BenchTally::Totals totals = tally.totals();
  EXPECT_EQ(totals.good, 1);
  EXPECT_EQ(totals.good_tokens, 70);
  EXPECT_EQ(totals.last, late.ended);
  EXPECT_EQ(totals.errors.at("RESOURCE_EXHAUSTED"), 1);
}

TEST(BenchTallyTest, NothingMeasuredIsNull) {
  const auto report = BenchTally(kBegin, kEnd).Report();
  EXPECT_TRUE(report["refusal_ms"].is_null());
  EXPECT_FALSE(report["generator_too_late"].get<bool>());
  EXPECT_EQ(report["requests"], 0);
}

}  // namespace
}  // namespace longspan
