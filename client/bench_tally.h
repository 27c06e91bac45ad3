// BenchTally: what came of the requests of one measurement. Latencies count from the moment a
// request was due, so that a generator that falls behind shows as lateness of its own
// (`generator_lateness_ms`) and never as a fast server.
//
// A window [begin, end) is measured: percentiles and counts are those of the requests due in it,
// rates those of the answers that arrived in it (under overload the two differ by what waits at
// both ends).
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

namespace longspan {

class BenchTally {
 public:
  BenchTally(absl::Time begin, absl::Time end) : begin_(begin), end_(end) {}

  // How a request ended.
  struct Answer {
    absl::Status status;
    int64_t tokens = 0;     // read by the server
    v1::Timings timings;    // of an OK answer
    absl::Time due, ended;  // when it should have left, when its answer was there
  };
  void Sent(absl::Time due, absl::Time sent);
  void Answered(const Answer& answer);
  // Until every request sent is answered.
  void AwaitAll();

  struct Progress {
    int64_t sent = 0, answered = 0, errors = 0;
  };
  Progress progress() const;

  // Of all answers, in the window or not.
  struct Totals {
    int64_t good = 0, good_tokens = 0;
    std::map<std::string, int64_t> errors;  // by code
    absl::Time last = absl::InfinitePast();
  };
  Totals totals() const;

  nlohmann::ordered_json Report() const;

  // Upper bounds of the length classes, in tokens.
  static constexpr std::array<int64_t, 5> kClassBounds = {128, 512, 4096, 32768, INT64_MAX};

 private:
  using Samples = std::vector<double>;  // ms
  nlohmann::ordered_json ClassesLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const absl::Time begin_, end_;

  mutable absl::Mutex mu_;
  Progress progress_ ABSL_GUARDED_BY(mu_);
  int64_t requests_ ABSL_GUARDED_BY(mu_) = 0;       // due in the window
  int64_t good_ ABSL_GUARDED_BY(mu_) = 0;           // of these, answered OK
  int64_t window_good_ ABSL_GUARDED_BY(mu_) = 0;    // OK answers that arrived in the window
  int64_t window_tokens_ ABSL_GUARDED_BY(mu_) = 0;  // likewise
  double batch_texts_ ABSL_GUARDED_BY(mu_) = 0;     // sum over OK answers
  Totals totals_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> errors_ ABSL_GUARDED_BY(mu_);
  std::array<Samples, kClassBounds.size()> latencies_ ABSL_GUARDED_BY(mu_);
  Samples lateness_ ABSL_GUARDED_BY(mu_);
  Samples refusals_ ABSL_GUARDED_BY(mu_);
  Samples tokenize_ ABSL_GUARDED_BY(mu_), queue_ ABSL_GUARDED_BY(mu_),
      compute_ ABSL_GUARDED_BY(mu_), beyond_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
