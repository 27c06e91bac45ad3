// Admission: says yes or no to a request before it costs anything, and counts what was let in until
// it is done. It checks, in this order: bytes; tokens (estimated from the bytes, exact after the
// tokenizer); the predicted wait against the limit; wait and computing time against the deadline.
//
// A refusal carries the limit that refused as its reason (ReasonOf: MAX_QUEUE_BYTES, ...) and is
//   RESOURCE_EXHAUSTED with the time after which the backlog will have made room (RetryAfterOf in
//                      core/error_details.h),
//   RESOURCE_EXHAUSTED with the reason DEADLINE_UNREACHABLE where waiting and computing would take
//                      longer than the caller has, or
//   UNAVAILABLE        once the server drains.
// Where the request's own size is what takes so long, there is no time to try again, and the
// message says what helps.
//
// What is let in is held by AdmissionPermits and given back by their destruction, so that a permit
// cannot leak.
//
// An idle server takes any text that its other limits allow, however small the limits of the queue
// are: they bound what waits behind it. Nor does it trust a prediction alone: a request that finds
// the server idle is DEADLINE_UNREACHABLE only where its predicted time is more than 4 times what
// it has left. The 4 is how far a warm-up on a busy machine may be off. If the request expires
// after all, only idle time is lost, and the pass teaches the cost model.
//
// Predicted wait of a text of own cost c, whose client has a backlog of a seconds in the text's
// lane: a, plus for each other client of the lane the smaller of its backlog and a + c. That sum is
// b, in a lane of weight w. Plus for each other lane of weight w' the smaller of its backlog and
// (b + c) * w' / w, all divided by the number of replicas. This is what the fair shares of
// lane_queue.h and lanes.h let pass before the text. With the weights 8 for short and 1 for bulk,
// behind 60 s of bulk and 0.4 s of its own short texts, a short text of 0.1 s waits
// 0.4 + min(60, 0.5 / 8) = 0.46 s, not 60.4 s; and behind 30 s of another client's short texts
// alone it waits 0.1 s.
//
// What one client has in the queue must not keep the others out: the limits of the queue are a
// quarter higher for a client that holds, with the request, no more than a sixteenth of them.
//
// Proven by admission_test.
//
// Thread safety: all methods may be called from any thread. Must outlive its permits and
// reservations.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/text_shape.h"
#include "server/batching/call_size.h"
#include "server/batching/clock.h"
#include "server/batching/lanes.h"

namespace longspan {

class Admission;

// Limits of what is let in; without a value there is no limit. The server's own defaults are in
// ServerOptions.
struct AdmissionOptions {
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

  int64_t max_queue_bytes = kNoLimit;                        // text bytes let in and not yet done
  int64_t max_queue_tokens = kNoLimit;                       // tokens let in and not yet done
  absl::Duration max_queue_wait = absl::InfiniteDuration();  // longest predicted wait
  // Token vectors that are being computed, or are computed and not yet sent.
  int64_t max_token_vector_bytes = kNoLimit;
  // One answer, as serialised. All answers together may take twice as much (ReserveAnswer).
  int64_t max_answer_bytes = kNoLimit;
  int num_replicas = 1;  // workers that share the backlog
  LaneOptions lanes;     // the same as those of the scheduler
};

// What one text will cost.
struct AdmissionClaim {
  int64_t bytes = 0;         // of the text and its prompt, or 4 per token id
  int64_t span_bytes = 0;    // of its spans and global positions, from which no tokens come
  int64_t tokens = 0;        // exact number where known; 0 = estimate from bytes
  int64_t max_tokens = 0;    // most that will be read of it (truncation); 0 = all
  int64_t piece_tokens = 0;  // longest piece that it is cut into (windows); 0 = one piece
  int64_t vectors = 1;       // pooled from its rows, as far as the request tells
  int64_t hashes = 0;        // rounds of LSH attention; 0 = the model's own number
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
  CallSize size() const { return {.bytes = cost_.bytes, .seconds = cost_.seconds}; }

 private:
  friend class Admission;
  struct Cost {
    int64_t bytes = 0;       // of the text and of its spans
    int64_t text_bytes = 0;  // of the text alone
    int64_t tokens = 0;
    double seconds = 0;          // predicted, of all pieces
    double longest_seconds = 0;  // of the longest piece, which no second replica makes shorter
    Lane lane = Lane::kShort;    // of the longest piece
    bool found_idle = false;     // nothing else was let in when its request came
    double sibling_seconds = 0;  // predicted, of the other texts of its request in its lane
  };
  // What one client has let in and not yet done.
  struct Share {
    int64_t tasks = 0;
    int64_t bytes = 0;
    int64_t tokens = 0;
    std::array<double, kNumLanes> lane_seconds = {};
  };
  using Shares = std::map<std::string, Share>;
  Admission* admission_ = nullptr;
  Shares::iterator client_;  // where admission_ is set
  Cost cost_;
};

// Room for the token vectors of one text. Move only; the destructor gives it back.
class OutputReservation {
 public:
  OutputReservation() = default;  // holds nothing
  OutputReservation(OutputReservation&& other) noexcept;
  OutputReservation& operator=(OutputReservation&& other) noexcept;
  ~OutputReservation() { Shrink(bytes_); }

  void Shrink(int64_t bytes);  // gives this many bytes back

 private:
  friend class Admission;
  Admission* admission_ = nullptr;
  int64_t bytes_ = 0;
};

class Admission {
 public:
  // The predicted seconds of one text (BatchCost::text_seconds). Thread safe.
  using TextSeconds = std::function<double(const TextShape& text)>;

  Admission(AdmissionOptions options, TextSeconds text_seconds, const Clock* clock);

  // Lets in all texts of a request or none. Returns one permit per claim, in order; the refusals
  // are those of the class comment. `client`: who asks, by the name that the scheduler shares by.
  absl::StatusOr<std::vector<AdmissionPermit>> TryAcquire(std::span<const AdmissionClaim> claims,
                                                          absl::Time deadline,
                                                          const std::string& client = {});
  absl::StatusOr<AdmissionPermit> TryAcquire(const AdmissionClaim& claim, absl::Time deadline,
                                             const std::string& client = {});

  // After the tokenizer: replaces the estimate by the exact shapes of the pieces. Checks the
  // deadline again, and the limits too where there are more tokens than estimated; on refusal the
  // permit is unchanged. `total_tokens` is the number of tokens of the whole text, from which the
  // estimate for later texts learns; 0 = token ids were given, so there is nothing to learn.
  absl::Status Resize(AdmissionPermit& permit, std::span<const TextShape> pieces,
                      int64_t total_tokens, absl::Time deadline);

  // Room for token vectors. RESOURCE_EXHAUSTED where max_token_vector_bytes would be passed,
  // INVALID_ARGUMENT where the bytes would not even fit into an idle server.
  absl::StatusOr<OutputReservation> ReserveOutput(int64_t bytes);

  // Counts `bytes` more of an answer to `client` of which `already` are counted, before they are
  // computed; the class AnswerRoom (answer_room.h) gives them back. INVALID_ARGUMENT where the
  // answer would be larger than max_answer_bytes. RESOURCE_EXHAUSTED, with a retry time, where the
  // client's answers that wait to be read would take more than half of the room that the answers
  // of all others leave: so a caller that does not read always leaves room for the others, and one
  // that is alone has room for the largest answer.
  absl::Status ReserveAnswer(const std::string& client, int64_t bytes, int64_t already = 0);
  void ReleaseAnswer(const std::string& client, int64_t bytes);

  // Every TryAcquire is UNAVAILABLE from now on; the permits that are out stay good.
  void StopAdmitting();
  // Waits until no permit is out, or until the deadline; true = none is out. A permit is given back
  // just before its task's `done` runs.
  bool AwaitIdle(absl::Time deadline) const;

  struct Backlog {
    int64_t admitted = 0;            // tasks let in so far, those that are done included
    int64_t tasks = 0;               // let in and not yet done
    int64_t bytes = 0;               // of their texts
    int64_t tokens = 0;              // of their pieces, estimated before the tokenizer
    int64_t token_vector_bytes = 0;  // reserved and not yet given back
    int64_t answer_bytes = 0;        // of answers being computed, or not yet taken by their readers
    std::array<double, kNumLanes> lane_seconds = {};  // predicted, of the tasks by lane
    double seconds() const { return lane_seconds[0] + lane_seconds[1] + lane_seconds[2]; }
  };
  Backlog backlog() const;

 private:
  friend class AdmissionPermit;
  friend class OutputReservation;
  using Cost = AdmissionPermit::Cost;
  using Share = AdmissionPermit::Share;
  using Shares = AdmissionPermit::Shares;

  int64_t EstimateTokensLocked(int64_t bytes) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Cost PriceLocked(const AdmissionClaim& claim) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // The checks compare with what is let in; the tasks that are checked do not count in it.
  // `client`: the share of the one who asks, in clients_.
  double WaitSecondsLocked(const Share& client, Lane lane, double own_seconds) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status CheckLocked(const Share& client, std::span<const Cost> costs,
                           absl::Time deadline) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status CheckRoomLocked(const Share& client, std::span<const Cost> costs) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status CheckTimeLocked(const Share& client, std::span<const Cost> costs,
                               absl::Time deadline) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status Refuse(std::string_view reason, std::string_view message,
                      double retry_seconds) const;
  // Where the request itself is too large to be in time: trying again does not help.
  static absl::Status RefuseSize(std::string_view reason, std::string_view message);
  void CountLocked(const Cost& cost, int sign, Share* client) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GiveBack(const Cost& cost, Shares::iterator client);
  void GiveBackOutput(int64_t bytes);

  // Constant after construction.
  const AdmissionOptions options_;
  const TextSeconds text_seconds_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  Backlog backlog_ ABSL_GUARDED_BY(mu_);
  Shares clients_ ABSL_GUARDED_BY(mu_);  // of clients that have something let in
  // Running mean over the texts that were tokenised. It begins with 3.5: a token of English prose
  // takes about 4 bytes with its blank, one of code and of most other languages less.
  double bytes_per_token_ ABSL_GUARDED_BY(mu_) = 3.5;
  bool admitting_ ABSL_GUARDED_BY(mu_) = true;
  // Backlog::answer_bytes by client; one without any has no entry.
  std::map<std::string, int64_t> client_answers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
