// Admission: says yes or no to a request before it costs anything, and counts what has been let in until it is done.
// Checks in this order: bytes, estimated tokens, (after the tokenizer) exact tokens, predicted wait against the limit and the
// deadline. A refusal is RESOURCE_EXHAUSTED with the time after which the backlog has made room (error_details.h:
// RetryAfterOf), or with the reason DEADLINE_UNREACHABLE where waiting and computing would take longer than the caller has;
// UNAVAILABLE once draining.
//
// What is let in is held by AdmissionPermits and given back by their destruction: a permit cannot leak.
// An idle server takes any text that its other limits allow, however small the queue limits: they bound what waits behind it.
//
// The predicted wait of a lane, whose own backlog is b seconds: b + sum over other lanes of min(their backlog, b' * weight
// ratio) with b' = b + own cost, divided by the number of replicas: a long text does not make short ones look late.
//
// Thread safety: all methods may be called from any thread. Must outlive its permits.
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
  int64_t max_queue_bytes = 256 << 20;                // text bytes let in and not yet done
  int64_t max_queue_tokens = 4 << 20;                 // tokens let in and not yet done
  absl::Duration max_queue_wait = absl::Seconds(60);  // --max-queue-seconds: predicted wait of a lane
  int64_t max_token_vector_bytes = int64_t{2} << 30;  // token vectors computed or being computed and not yet sent
  int num_replicas = 1;                               // workers that share the backlog
  LaneOptions lanes;                                  // as the scheduler's
};

// What one text will cost.
struct AdmissionClaim {
  int64_t bytes = 0;       // of the text, or 4 per token id
  int64_t tokens = 0;      // exact number where known; 0 = estimate from bytes
  int64_t max_tokens = 0;  // most that will be read of it (truncation); 0 = all
};

// What an admitted text holds. Move only; the destructor gives it back.
class AdmissionPermit {
 public:
  AdmissionPermit() = default;  // holds nothing
  AdmissionPermit(AdmissionPermit&& other) noexcept;
  AdmissionPermit& operator=(AdmissionPermit&& other) noexcept;
  ~AdmissionPermit();

  void Release();  // gives everything back now
  bool held() const { return admission_ != nullptr; }
  int64_t tokens() const { return tokens_; }
  double seconds() const { return seconds_; }

 private:
  friend class Admission;
  Admission* admission_ = nullptr;
  int64_t bytes_ = 0;
  int64_t tokens_ = 0;
  double seconds_ = 0;
  Lane lane_ = Lane::kShort;
};

// Room for the token vectors of one text. Move only; the destructor gives it back.
class OutputReservation {
 public:
  OutputReservation() = default;
  OutputReservation(OutputReservation&& other) noexcept;
  OutputReservation& operator=(OutputReservation&& other) noexcept;
  ~OutputReservation();

  void Shrink(int64_t bytes);  // gives back so many of them
  int64_t bytes() const { return bytes_; }

 private:
  friend class Admission;
  Admission* admission_ = nullptr;
  int64_t bytes_ = 0;
};

class Admission {
 public:
  // Predicted seconds of one text of so many tokens (CostModel::TextSeconds).
  using TextSeconds = std::function<double(int64_t num_tokens)>;

  Admission(AdmissionOptions options, TextSeconds text_seconds, const Clock* clock);
  ~Admission();  // CHECKs that all permits are back

  // All texts of a request or none: one permit per claim, in order.
  absl::StatusOr<std::vector<AdmissionPermit>> TryAcquire(std::span<const AdmissionClaim> claims, absl::Time deadline);
  absl::StatusOr<AdmissionPermit> TryAcquire(const AdmissionClaim& claim, absl::Time deadline);

  // After the tokenizer: the exact token counts of the pieces (one per text of the encoder). Grows or shrinks the permit, checks
  // the limits and the deadline again; on refusal the permit is unchanged. `bytes` of the text teach the estimate.
  absl::Status Resize(AdmissionPermit& permit, std::span<const int64_t> piece_tokens, absl::Time deadline);

  absl::StatusOr<OutputReservation> ReserveOutput(int64_t bytes);

  // Drain: every TryAcquire is UNAVAILABLE from now on; permits that are out stay good.
  void StopAdmitting();
  // Waits until nothing that was let in is left, or the deadline; true = nothing left. Returns at once after Shutdown of the
  // rest.
  bool AwaitIdle(absl::Time deadline) const;

  struct Backlog {
    int64_t texts = 0;
    int64_t bytes = 0;
    int64_t tokens = 0;
    int64_t token_vector_bytes = 0;
    double seconds = 0;  // predicted, sum over lanes
    std::array<double, kNumLanes> lane_seconds = {};
  };
  Backlog backlog() const;
  // Predicted wait of a text of that many tokens that came now.
  absl::Duration PredictedWait(int64_t num_tokens) const;

 private:
  friend class AdmissionPermit;
  friend class OutputReservation;

  struct Cost {
    int64_t texts = 0;
    int64_t bytes = 0;
    int64_t tokens = 0;
    std::array<double, kNumLanes> lane_seconds = {};
  };
  int64_t EstimateTokensLocked(const AdmissionClaim& claim) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  AdmissionPermit PriceLocked(const AdmissionClaim& claim) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  double WaitSecondsLocked(Lane lane, double own_seconds) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status CheckLocked(const Cost& more, Lane last_lane, absl::Time deadline) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Add(const AdmissionPermit& permit, int sign) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GiveBack(const AdmissionPermit& permit);
  void GiveBackOutput(int64_t bytes);

  // constant after construction
  const AdmissionOptions options_;
  const TextSeconds text_seconds_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  Backlog backlog_ ABSL_GUARDED_BY(mu_);
  double bytes_per_token_ ABSL_GUARDED_BY(mu_) = 3.5;  // running mean of what the tokenizer made of texts
  bool admitting_ ABSL_GUARDED_BY(mu_) = true;
};

}  // namespace longspan
