#include "client/bench_tally.h"

#include <algorithm>
#include <utility>

namespace longspan {
namespace {

// The share `p` (0 to 1) of the samples is below the result.
double Percentile(const std::vector<double>& sorted, double p) {
  return sorted[std::min(sorted.size() - 1,
                         static_cast<size_t>(p * static_cast<double>(sorted.size())))];
}

nlohmann::ordered_json Percentiles(std::vector<double> samples) {
  if (samples.empty()) return nullptr;
  std::sort(samples.begin(), samples.end());
  return {{"p50", Percentile(samples, 0.5)},
          {"p95", Percentile(samples, 0.95)},
          {"p99", Percentile(samples, 0.99)},
          {"max", samples.back()}};
}

double Milliseconds(uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }

}  // namespace

void BenchTally::Sent(absl::Time due, absl::Time sent) {
  absl::MutexLock lock(&mu_);
  ++progress_.sent;
  if (due < begin_ || due >= end_) return;
  ++requests_;
  lateness_.push_back(std::max(0.0, absl::ToDoubleMilliseconds(sent - due)));
}

void BenchTally::Answered(const Answer& answer) {
  absl::MutexLock lock(&mu_);
  ++progress_.answered;
  progress_.errors += answer.status.ok() ? 0 : 1;
  totals_.last = std::max(totals_.last, answer.ended);
  if (answer.status.ok()) {
    ++totals_.good;
    totals_.good_tokens += answer.tokens;
  } else {
    ++totals_.errors[absl::StatusCodeToString(answer.status.code())];
  }
  if (answer.status.ok() && answer.ended >= begin_ && answer.ended < end_) {
    ++window_good_;
    window_tokens_ += answer.tokens;
  }
  if (answer.due < begin_ || answer.due >= end_) return;
  const double latency = absl::ToDoubleMilliseconds(answer.ended - answer.due);
  if (!answer.status.ok()) {
    ++errors_[absl::StatusCodeToString(answer.status.code())];
    if (absl::IsResourceExhausted(answer.status) || absl::IsUnavailable(answer.status))
      refusals_.push_back(latency);
    return;
  }
  ++good_;
  latencies_[LengthClassOf(answer.tokens)].push_back(latency);
  const v1::Timings& timings = answer.timings;
  tokenize_.push_back(Milliseconds(timings.tokenize_ns()));
  queue_.push_back(Milliseconds(timings.queue_ns()));
  compute_.push_back(Milliseconds(timings.compute_ns()));
  beyond_.push_back(latency - tokenize_.back() - compute_.back());
  batch_texts_ += timings.batch_texts();
}

void BenchTally::AwaitAll() {
  absl::MutexLock lock(&mu_);
  const auto all = [](Progress* progress) { return progress->answered == progress->sent; };
  mu_.Await(absl::Condition(+all, &progress_));
}

BenchTally::Progress BenchTally::progress() const {
  absl::MutexLock lock(&mu_);
  return progress_;
}

BenchTally::Totals BenchTally::totals() const {
  absl::MutexLock lock(&mu_);
  return totals_;
}

nlohmann::ordered_json BenchTally::ClassesLocked() const {
  nlohmann::ordered_json classes = nlohmann::ordered_json::array();
  for (size_t c = 0; c < latencies_.size(); ++c) {
    if (latencies_[c].empty()) continue;
    nlohmann::ordered_json row;
    row["tokens_up_to"] = nullptr;  // the last class has no bound
    if (c < kLengthClassBounds.size()) row["tokens_up_to"] = kLengthClassBounds[c];
    row["answers"] = latencies_[c].size();
    row["latency_ms"] = Percentiles(latencies_[c]);
    classes.push_back(std::move(row));
  }
  return classes;
}

nlohmann::ordered_json BenchTally::Report() const {
  absl::MutexLock lock(&mu_);
  const double seconds = absl::ToDoubleSeconds(end_ - begin_);
  nlohmann::ordered_json lateness = Percentiles(lateness_);
  // A generator that is more than a tenth of a second late offers another load than it was asked
  // for. It lacks processor time, and the figures say nothing about the server.
  const bool late = !lateness.is_null() && lateness["p99"].get<double>() > 100;
  return {{"seconds", seconds},
          {"requests", requests_},
          {"good", good_},
          {"goodput_per_second", static_cast<double>(window_good_) / seconds},
          {"tokens_per_second", static_cast<double>(window_tokens_) / seconds},
          {"errors", errors_},
          {"refusal_ms", Percentiles(refusals_)},
          {"classes", ClassesLocked()},
          {"tokenize_ms", Percentiles(tokenize_)},
          {"queue_ms", Percentiles(queue_)},
          {"compute_ms", Percentiles(compute_)},
          {"beyond_tokenize_and_compute_ms", Percentiles(beyond_)},
          {"mean_batch_texts", good_ > 0 ? batch_texts_ / static_cast<double>(good_) : 0.0},
          {"generator_lateness_ms", std::move(lateness)},
          {"generator_too_late", late}};
}

}  // namespace longspan
