// BenchTally: counts how the requests of one measurement ended, and makes the report of it.
//
// A latency counts from the moment when the request was due, not from when it left. A load
// generator that falls behind therefore shows as lateness of its own (`generator_lateness_ms`), and
// never as a fast server.
//
// The measured window is [begin, end). Percentiles and counts are those of the requests that were
// due in it. Rates are those of the answers that arrived in it. Under overload these are not the
// same requests: some wait when the window begins, and some still wait when it ends.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "proto/longspan/v1/length_classes.h"

namespace longspan {

class BenchTally {
 public:
  BenchTally(absl::Time begin, absl::Time end) : begin_(begin), end_(end) {}

  // How a request ended.
  struct Answer {
    absl::Status status;
    int64_t tokens = 0;   // that the server read; 0 where the status is an error
    v1::Timings timings;  // of an OK answer
    absl::Time due;       // when the request should have left
    absl::Time ended;     // when its answer was there
  };
  // Each request is reported twice: as sent, and later as answered.
  void Sent(absl::Time due, absl::Time sent);
  void Answered(const Answer& answer);
  // Waits until every request that was sent is answered.
  void AwaitAll();

  // What a progress bar shows: all requests so far, inside the window or not.
  struct Progress {
    int64_t sent = 0;
    int64_t answered = 0;
    int64_t errors = 0;  // of the answered ones
  };
  Progress progress() const;

  // Sums over all answers so far, inside the window or not.
  struct Totals {
    int64_t good = 0;                        // OK answers
    int64_t good_tokens = 0;                 // tokens of the OK answers
    std::map<std::string, int64_t> errors;   // number by status code
    absl::Time last = absl::InfinitePast();  // when the last answer arrived
  };
  Totals totals() const;

  // The report that `longspan bench` prints (times in ms). `classes` has an entry for each length
  // class with an answer: `tokens_up_to` is its bound of length_classes.h, or null where it has
  // none.
  nlohmann::ordered_json Report() const;

 private:
  using Samples = std::vector<double>;  // ms
  nlohmann::ordered_json ClassesLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  // Constant after construction: the measured window.
  const absl::Time begin_, end_;

  mutable absl::Mutex mu_;
  Progress progress_ ABSL_GUARDED_BY(mu_);
  Totals totals_ ABSL_GUARDED_BY(mu_);

  // The answers that arrived in the window.
  int64_t window_good_ ABSL_GUARDED_BY(mu_) = 0;    // OK answers
  int64_t window_tokens_ ABSL_GUARDED_BY(mu_) = 0;  // tokens of the OK answers

  // The requests that were due in the window.
  int64_t requests_ ABSL_GUARDED_BY(mu_) = 0;
  Samples lateness_ ABSL_GUARDED_BY(mu_);                       // from due to sent
  std::map<std::string, int64_t> errors_ ABSL_GUARDED_BY(mu_);  // number by status code
  Samples refusals_ ABSL_GUARDED_BY(mu_);                       // from due to a refusal

  // Of the requests that were due in the window, those that were answered OK.
  int64_t good_ ABSL_GUARDED_BY(mu_) = 0;
  double batch_texts_ ABSL_GUARDED_BY(mu_) = 0;  // sum of the texts in the batch of each
  std::array<Samples, kLengthClassBounds.size() + 1> latencies_ ABSL_GUARDED_BY(mu_);  // by class
  Samples tokenize_ ABSL_GUARDED_BY(mu_);
  Samples queue_ ABSL_GUARDED_BY(mu_);
  Samples compute_ ABSL_GUARDED_BY(mu_);
  Samples beyond_ ABSL_GUARDED_BY(mu_);  // the latency without tokenize_ and compute_
};

}  // namespace longspan
