// Admission: says yes or no to a request before it costs anything, and counts what has been let in
// until it is done. Checks in this order: bytes, tokens (estimated from bytes, exact after the
// tokenizer), predicted wait against the limit and the deadline. A refusal is RESOURCE_EXHAUSTED
// with the time after which the backlog will have made room (error_details.h: RetryAfterOf), or
// with the reason DEADLINE_UNREACHABLE where waiting and computing would take longer than the
// caller has; UNAVAILABLE once draining.
//
// What is let in is held by AdmissionPermits and given back by their destruction: a permit cannot
// leak. An idle server takes any text that its other limits allow, however small the queue limits
// are: they bound what waits behind it. Nor does it trust a prediction alone: a request that finds
// the server idle is DEADLINE_UNREACHABLE only where its predicted time is more than 4 times what
// it has left. If it expires after all, only idle time is lost, and the pass teaches the cost
// model.
//
// Predicted wait of a text of own cost c in a lane of weight w whose backlog is b seconds: b + for
// each other lane of weight w' min(its backlog, (b + c) * w' / w), all divided by the replicas:
// what the fair shares of lanes.h let pass before it. With weights short 8, bulk 1: behind 60 s of
// bulk and 0.4 s of short, a short text of 0.1 s waits 0.4 + min(60, 0.5 / 8) = 0.46 s, not 60.4 s.
// Proven by admission_test.
//
// Thread safety: all methods may be called from any thread. Must outlive its permits and
// reservations.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/clock.h"
#include "server/batching/lanes.h"

namespace longspan {

class Admission;

struct AdmissionOptions {
  int64_t max_queue_bytes = 256 << 20;  // text bytes let in and not yet done
  int64_t max_queue_tokens = 4 << 20;   // tokens let in and not yet done
  absl::Duration max_queue_wait =
      absl::Seconds(60);  // --max-queue-seconds: predicted wait of a lane
  int64_t max_token_vector_bytes =
      int64_t{2} << 30;  // token vectors computed or being computed and not yet sent
  int num_replicas = 1;  // workers that share the backlog
  LaneOptions lanes;     // as the scheduler's
};

// What one text will cost.
struct AdmissionClaim {
  int64_t bytes = 0;         // of the text, or 4 per token id
  int64_t tokens = 0;        // exact number where known; 0 = estimate from bytes
  int64_t max_tokens = 0;    // most that will be read of it (truncation); 0 = all
  int64_t piece_tokens = 0;  // longest piece it is cut into (windows); 0 = one piece
};

// What an admitted text holds. Move only; the destructor gives it back.
class AdmissionPermit {
 public:
  AdmissionPermit() = default;  // holds nothing
  AdmissionPermit(AdmissionPermit&& other) noexcept;
  AdmissionPermit& operator=(AdmissionPermit&& other) noexcept;
  ~AdmissionPermit() { Release(); }

  void Release();  // gives everything back now
  bool held() const { return admission_ != nullptr; }
  int64_t tokens() const { return cost_.tokens; }
  double seconds() const { return cost_.seconds; }

 private:
  friend class Admission;
  struct Cost {
    int64_t bytes = 0;
    int64_t tokens = 0;
    double seconds = 0;          // predicted, of all pieces
    double longest_seconds = 0;  // of the longest piece, which no second replica makes shorter
    Lane lane = Lane::kShort;    // of the longest piece
    bool found_idle = false;     // nothing else was there when its request came
  };
  Admission* admission_ = nullptr;
  Cost cost_;
};

// Room for the token vectors of one text. Move only; the destructor gives it back.
class OutputReservation {
 public:
  OutputReservation() = default;  // holds nothing
  OutputReservation(OutputReservation&& other) noexcept;
  OutputReservation& operator=(OutputReservation&& other) noexcept;
  ~OutputReservation() { Shrink(bytes_); }

  void Shrink(int64_t bytes);  // gives back so many of them
  int64_t bytes() const { return bytes_; }

 private:
  friend class Admission;
  Admission* admission_ = nullptr;
  int64_t bytes_ = 0;
};

class Admission {
 public:
  // Predicted seconds of one text of so many tokens (CostModel::TextSeconds). Thread safe.
  using TextSeconds = std::function<double(int64_t num_tokens)>;

  Admission(AdmissionOptions options, TextSeconds text_seconds, const Clock* clock);

  // All texts of a request or none: one permit per claim, in order.
  absl::StatusOr<std::vector<AdmissionPermit>> TryAcquire(std::span<const AdmissionClaim> claims,
                                                          absl::Time deadline);
  absl::StatusOr<AdmissionPermit> TryAcquire(const AdmissionClaim& claim, absl::Time deadline);

  // After the tokenizer: the exact lengths of the pieces. Checks limits and deadline again; on
  // refusal the permit is unchanged. total_tokens: of the whole text, for the estimate of later
  // texts; 0 = ids were given, nothing to learn.
  absl::Status Resize(AdmissionPermit& permit, std::span<const int64_t> piece_tokens,
                      int64_t total_tokens, absl::Time deadline);

  // RESOURCE_EXHAUSTED where max_token_vector_bytes would be passed.
  absl::StatusOr<OutputReservation> ReserveOutput(int64_t bytes);

  // Drain: every TryAcquire is UNAVAILABLE from now on; permits that are out stay good.
  void StopAdmitting();
  // Waits until no permit is out, or the deadline; true = none is. A permit is given back just
  // before its task's `done` runs.
  bool AwaitIdle(absl::Time deadline) const;

  struct Backlog {
    int64_t admitted = 0;  // texts let in so far, those that are done included
    int64_t texts = 0;
    int64_t bytes = 0;
    int64_t tokens = 0;
    int64_t token_vector_bytes = 0;
    std::array<double, kNumLanes> lane_seconds = {};  // predicted
    double seconds() const { return lane_seconds[0] + lane_seconds[1] + lane_seconds[2]; }
  };
  Backlog backlog() const;
  // Predicted wait of a text of that many tokens that came now.
  absl::Duration PredictedWait(int64_t num_tokens) const;
  // As it would be used for a text of that many bytes.
  int64_t EstimateTokens(int64_t bytes) const;

  const AdmissionOptions& options() const { return options_; }

 private:
  friend class AdmissionPermit;
  friend class OutputReservation;
  using Cost = AdmissionPermit::Cost;

  int64_t EstimateLocked(int64_t bytes) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Cost PriceLocked(const AdmissionClaim& claim) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  double WaitSeconds(const Backlog& others, Lane lane, double own_seconds) const;
  absl::Status Check(const Backlog& others, std::span<const Cost> costs, absl::Time deadline) const;
  absl::Status CheckRoom(const Backlog& others, std::span<const Cost> costs) const;
  absl::Status CheckTime(const Backlog& others, std::span<const Cost> costs,
                         absl::Time deadline) const;
  absl::Status Refuse(std::string_view message, double retry_seconds) const;
  static void Count(const Cost& cost, int sign, Backlog* backlog);
  void GiveBack(const Cost& cost);
  void GiveBackOutput(int64_t bytes);

  // constant after construction
  const AdmissionOptions options_;
  const TextSeconds text_seconds_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  Backlog backlog_ ABSL_GUARDED_BY(mu_);
  double bytes_per_token_ ABSL_GUARDED_BY(mu_) =
      3.5;  // running mean of what the tokenizer made of texts
  bool admitting_ ABSL_GUARDED_BY(mu_) = true;
};

}  // namespace longspan
