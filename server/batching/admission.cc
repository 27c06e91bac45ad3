#include "server/batching/admission.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

// Bounds of the retry time. A client that comes back sooner than in 10 ms only finds the same
// backlog, and one that is sent away for more than a minute misses what becomes free meanwhile.
constexpr double kMinRetrySeconds = 0.01;
constexpr double kMaxRetrySeconds = 60;

// Where the vectors of others take all the room, the predicted backlog says little of when a reader
// will have fetched them: ask for a second at least.
constexpr double kMinOutputRetrySeconds = 1;

// Predictions err, and where nothing waits a wrong refusal is worse than a try in vain. So a
// request that finds the server idle is refused for its deadline only where it would miss it even
// if it took this many times less than predicted. A warm-up on a busy machine may predict too much
// by about such a factor until some batches have corrected it (online_cost_model.h).
constexpr double kIdlePatience = 4;

// Weight of one text in the running mean of bytes per token: 1 / 64, so that one odd text hardly
// moves it, and some hundred texts of another language have replaced what was learned before.
constexpr double kTextsInMean = 64;

// Special tokens in front of and behind a text: most models have one of each.
constexpr int64_t kUsualSpecialTokens = 2;

// The limit of the queue for a client that would hold `held` of it.
int64_t LimitFor(int64_t limit, int64_t held) {
  return held <= limit / 16 && limit < AdmissionOptions::kNoLimit / 2 ? limit + limit / 4 : limit;
}

// For a request whose own size is the wait, or passes a limit of the queue.
constexpr absl::string_view kOwnWait =
    "; the request's own size is the wait: split it or use EncodeStream";
constexpr absl::string_view kOwnSize = ", which its own size passes: split it or use EncodeStream";

std::string Seconds(double seconds) {
  return absl::FormatDuration(absl::Trunc(absl::Seconds(seconds), absl::Milliseconds(1)));
}

}  // namespace

AdmissionPermit::AdmissionPermit(AdmissionPermit&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)),
      client_(other.client_),
      cost_(other.cost_) {}

AdmissionPermit& AdmissionPermit::operator=(AdmissionPermit&& other) noexcept {
  if (this == &other) return *this;
  Release();
  admission_ = std::exchange(other.admission_, nullptr);
  client_ = other.client_;
  cost_ = other.cost_;
  return *this;
}

void AdmissionPermit::Release() {
  if (Admission* admission = std::exchange(admission_, nullptr))
    admission->GiveBack(cost_, client_);
}

OutputReservation::OutputReservation(OutputReservation&& other) noexcept
    : admission_(other.admission_), bytes_(std::exchange(other.bytes_, 0)) {}

OutputReservation& OutputReservation::operator=(OutputReservation&& other) noexcept {
  if (this == &other) return *this;
  Shrink(bytes_);
  admission_ = other.admission_;
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void OutputReservation::Shrink(int64_t bytes) {
  bytes = std::min(bytes, bytes_);
  if (bytes <= 0) return;
  bytes_ -= bytes;
  admission_->GiveBackOutput(bytes);
}

Admission::Admission(AdmissionOptions options, TextSeconds text_seconds, const Clock* clock)
    : options_(options), text_seconds_(std::move(text_seconds)), clock_(clock) {}

absl::StatusOr<std::vector<AdmissionPermit>> Admission::TryAcquire(
    std::span<const AdmissionClaim> claims, absl::Time deadline, const std::string& client) {
  std::vector<AdmissionPermit> permits(claims.size());
  absl::MutexLock lock(&mu_);
  if (!admitting_)
    return WithRetryAfter(absl::UnavailableError("the server is draining; try another replica"),
                          absl::Seconds(1));
  std::vector<Cost> costs;
  costs.reserve(claims.size());
  std::array<double, kNumLanes> lane_seconds = {};
  for (const AdmissionClaim& claim : claims) {
    costs.push_back(PriceLocked(claim));
    lane_seconds[static_cast<int>(costs.back().lane)] += costs.back().seconds;
  }
  for (Cost& cost : costs)
    cost.sibling_seconds = lane_seconds[static_cast<int>(cost.lane)] - cost.seconds;
  const auto known = clients_.find(client);
  static const Share kNothing;
  const Share& share = known == clients_.end() ? kNothing : known->second;
  if (absl::Status status = CheckLocked(share, costs, deadline); !status.ok()) return status;
  if (costs.empty()) return permits;
  const auto own = clients_.try_emplace(client).first;
  backlog_.admitted += static_cast<int64_t>(costs.size());
  for (size_t i = 0; i < costs.size(); ++i) {
    CountLocked(costs[i], +1, &own->second);
    permits[i].cost_ = costs[i];
    permits[i].client_ = own;
    permits[i].admission_ = this;
  }
  return permits;
}

absl::StatusOr<AdmissionPermit> Admission::TryAcquire(const AdmissionClaim& claim,
                                                      absl::Time deadline,
                                                      const std::string& client) {
  absl::StatusOr<std::vector<AdmissionPermit>> permits =
      TryAcquire(std::span(&claim, 1), deadline, client);
  if (!permits.ok()) return permits.status();
  return std::move(permits->front());
}

absl::Status Admission::Resize(AdmissionPermit& permit, std::span<const TextShape> pieces,
                               int64_t total_tokens, absl::Time deadline) {
  if (!permit.held() || pieces.empty()) return absl::OkStatus();
  Cost exact{.bytes = permit.cost_.bytes,
             .text_bytes = permit.cost_.text_bytes,
             .found_idle = permit.cost_.found_idle,
             .sibling_seconds = permit.cost_.sibling_seconds};
  int64_t longest = 0;
  for (const TextShape& piece : pieces) {
    const double seconds = text_seconds_(piece);
    exact.tokens += piece.tokens;
    exact.seconds += seconds;
    exact.longest_seconds = std::max(exact.longest_seconds, seconds);
    longest = std::max(longest, piece.length());
  }
  exact.lane = LaneOf(longest, options_.lanes);

  absl::MutexLock lock(&mu_);
  if (total_tokens > 0) {
    const double bytes_per_token = static_cast<double>(exact.text_bytes) / total_tokens;
    bytes_per_token_ += (bytes_per_token - bytes_per_token_) / kTextsInMean;
  }
  Share& client = permit.client_->second;
  CountLocked(permit.cost_, -1, &client);
  const bool grows = exact.tokens > permit.cost_.tokens;
  absl::Status status = grows ? CheckLocked(client, std::span(&exact, 1), deadline)
                              : CheckTimeLocked(client, std::span(&exact, 1), deadline);
  if (status.ok()) permit.cost_ = exact;
  CountLocked(permit.cost_, +1, &client);
  return status;
}

absl::StatusOr<OutputReservation> Admission::ReserveOutput(int64_t bytes) {
  absl::MutexLock lock(&mu_);
  const int64_t limit = options_.max_token_vector_bytes;
  if (bytes > limit) {
    // Never fits, however long the caller waits: not a code that clients retry.
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("the token vectors take ", bytes,
                                                " bytes; this server holds at most ", limit)),
        kReasonMaxTokenVectorBytes);
  }
  if (backlog_.token_vector_bytes + bytes > limit) {
    return Refuse(
        kReasonMaxTokenVectorBytes,
        absl::StrCat("token vectors of ", backlog_.token_vector_bytes, " bytes wait to be sent; ",
                     bytes, " more pass the limit of ", limit),
        std::max(kMinOutputRetrySeconds, backlog_.seconds() / options_.num_replicas));
  }
  backlog_.token_vector_bytes += bytes;
  OutputReservation reservation;
  reservation.admission_ = this;
  reservation.bytes_ = bytes;
  return reservation;
}

absl::Status Admission::ReserveAnswer(const std::string& client, int64_t bytes, int64_t already) {
  absl::MutexLock lock(&mu_);
  const int64_t limit = options_.max_answer_bytes;
  if (bytes > limit - already) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat(
            "asks for an answer of more than ", already + bytes - 1, " bytes; allowed: at most ",
            limit, " (fewer spans, tokens or dimensions, or a shorter vector_format, take less)")),
        kReasonMaxAnswerBytes);
  }
  const auto found = client_answers_.find(client);
  const int64_t held = found == client_answers_.end() ? 0 : found->second;
  if (limit < AdmissionOptions::kNoLimit / 4) {
    const int64_t left_by_others = 2 * limit - (backlog_.answer_bytes - held);
    if (held + bytes > left_by_others / 2) {
      return Refuse(
          kReasonMaxAnswerBytes,
          absl::StrCat("answers of ", held,
                       " bytes to this client are computed or wait to be read; ", bytes,
                       " more pass its share of ", std::max<int64_t>(0, left_by_others / 2)),
          std::max(kMinOutputRetrySeconds, backlog_.seconds() / options_.num_replicas));
    }
  }
  backlog_.answer_bytes += bytes;
  if (found == client_answers_.end()) {
    client_answers_.emplace(client, bytes);
  } else {
    found->second += bytes;
  }
  return absl::OkStatus();
}

void Admission::ReleaseAnswer(const std::string& client, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  backlog_.answer_bytes -= bytes;
  const auto found = client_answers_.find(client);
  if (found == client_answers_.end()) return;
  found->second -= bytes;
  if (found->second <= 0) client_answers_.erase(found);
}

void Admission::StopAdmitting() {
  absl::MutexLock lock(&mu_);
  admitting_ = false;
}

bool Admission::AwaitIdle(absl::Time deadline) const {
  absl::MutexLock lock(&mu_);
  const auto idle = [](const Backlog* backlog) { return backlog->tasks == 0; };
  return clock_->AwaitUntil(mu_, absl::Condition(+idle, &backlog_), deadline);
}

Admission::Backlog Admission::backlog() const {
  absl::MutexLock lock(&mu_);
  return backlog_;
}

int64_t Admission::EstimateTokensLocked(int64_t bytes) const {
  return kUsualSpecialTokens + static_cast<int64_t>(bytes / bytes_per_token_);
}

Admission::Cost Admission::PriceLocked(const AdmissionClaim& claim) const {
  Cost cost{.bytes = claim.bytes + claim.span_bytes,
            .text_bytes = claim.bytes,
            .tokens = claim.tokens > 0 ? claim.tokens : EstimateTokensLocked(claim.bytes)};
  if (claim.max_tokens > 0) cost.tokens = std::min(cost.tokens, claim.max_tokens);
  const int64_t piece =
      claim.piece_tokens > 0 ? std::min(claim.piece_tokens, cost.tokens) : cost.tokens;
  const int64_t full_pieces = cost.tokens / piece;
  const int64_t rest = cost.tokens % piece;
  const auto seconds_of = [&](int64_t tokens, int64_t vectors) {
    TextShape shape(tokens);
    shape.vectors = vectors;
    shape.hashes = claim.hashes;
    return text_seconds_(shape);
  };
  const double plain = seconds_of(piece, 1);
  cost.longest_seconds = seconds_of(piece, claim.vectors);
  cost.seconds = cost.longest_seconds + static_cast<double>(full_pieces - 1) * plain +
                 (rest > 0 ? seconds_of(rest, 1) : 0);
  cost.lane = LaneOf(std::max(piece, claim.vectors), options_.lanes);
  cost.found_idle = backlog_.tasks == 0;
  return cost;
}

double Admission::WaitSecondsLocked(const Share& client, Lane lane, double own_seconds) const {
  const auto& weights = options_.lanes.weights;
  const int own = static_cast<int>(lane);
  // While the client's own work in the lane is done, each other client gets as much at the most.
  const double turn = client.lane_seconds[own] + own_seconds;
  double before = client.lane_seconds[own];
  for (const auto& [name, other] : clients_) {
    if (&other != &client) before += std::min(other.lane_seconds[own], turn);
  }
  before = std::min(before, backlog_.lane_seconds[own]);  // rounding errors aside
  double wait = before;
  for (int other = 0; other < kNumLanes; ++other) {
    if (other == own) continue;
    const double passes = (before + own_seconds) * weights[other] / weights[own];
    wait += std::min(backlog_.lane_seconds[other], passes);
  }
  return wait / options_.num_replicas;
}

absl::Status Admission::CheckLocked(const Share& client, std::span<const Cost> costs,
                                    absl::Time deadline) const {
  if (absl::Status status = CheckRoomLocked(client, costs); !status.ok()) return status;
  return CheckTimeLocked(client, costs, deadline);
}

absl::Status Admission::CheckRoomLocked(const Share& client, std::span<const Cost> costs) const {
  const Backlog& others = backlog_;
  if (others.tasks == 0) return absl::OkStatus();
  int64_t bytes = 0;
  int64_t tokens = 0;
  for (const Cost& cost : costs) {
    bytes += cost.bytes;
    tokens += cost.tokens;
  }
  // The retry time assumes that the backlog shrinks evenly: what is over the limit, as a share of
  // the backlog, is gone after the same share of the backlog's seconds.
  const double seconds = others.seconds() / options_.num_replicas;
  const int64_t max_bytes = LimitFor(options_.max_queue_bytes, client.bytes + bytes);
  if (const int64_t over = others.bytes + bytes - max_bytes; over > 0) {
    return Refuse(
        kReasonMaxQueueBytes,
        absl::StrCat("the queue holds ", others.bytes, " bytes of text; ", bytes,
                     " more pass its limit of ", max_bytes, bytes > max_bytes ? kOwnSize : ""),
        seconds * std::min(1.0, static_cast<double>(over) / std::max<int64_t>(1, others.bytes)));
  }
  const int64_t max_tokens = LimitFor(options_.max_queue_tokens, client.tokens + tokens);
  if (const int64_t over = others.tokens + tokens - max_tokens; over > 0) {
    return Refuse(
        kReasonMaxQueueTokens,
        absl::StrCat("the queue holds ", others.tokens, " tokens; about ", tokens,
                     " more pass its limit of ", max_tokens, tokens > max_tokens ? kOwnSize : ""),
        seconds * std::min(1.0, static_cast<double>(over) / std::max<int64_t>(1, others.tokens)));
  }
  return absl::OkStatus();
}

absl::Status Admission::CheckTimeLocked(const Share& client, std::span<const Cost> costs,
                                        absl::Time deadline) const {
  std::array<double, kNumLanes> own = {};      // predicted seconds of the request's texts
  std::array<double, kNumLanes> longest = {};  // of its longest piece
  double patience = 1;
  double siblings = 0;  // predicted seconds of other texts of the request that are let in
  for (const Cost& cost : costs) {
    const int lane = static_cast<int>(cost.lane);
    own[lane] += cost.seconds;
    longest[lane] = std::max(longest[lane], cost.longest_seconds);
    if (cost.found_idle) patience = kIdlePatience;
    // Those of a request that comes do not wait for one another yet.
    if (costs.size() == 1) siblings = cost.sibling_seconds;
  }
  const double left = absl::ToDoubleSeconds(deadline - clock_->Now());
  const double limit = absl::ToDoubleSeconds(options_.max_queue_wait);
  for (int lane = 0; lane < kNumLanes; ++lane) {
    if (own[lane] == 0) continue;
    const double wait = WaitSecondsLocked(client, static_cast<Lane>(lane), own[lane]);
    const double of_request = std::min(siblings, client.lane_seconds[lane]) / options_.num_replicas;
    if (wait > limit) {
      const std::string message =
          absl::StrCat("the predicted wait is ", Seconds(wait), "; the limit is ", Seconds(limit));
      if (wait - of_request <= limit) return RefuseSize(kReasonMaxQueueSeconds, message);
      return Refuse(kReasonMaxQueueSeconds, message, wait - limit);
    }
    const double compute = std::max(longest[lane], own[lane] / options_.num_replicas);
    if (wait + compute <= patience * left) continue;
    const std::string message =
        absl::StrCat("waiting ", Seconds(wait), " and computing ", Seconds(compute),
                     " would pass the deadline in ", Seconds(left), "; nothing was started");
    // Where the request alone takes too long, trying again later does not help.
    if (compute > left || wait - of_request + compute <= patience * left)
      return RefuseSize(kReasonDeadlineUnreachable, message);
    return Refuse(kReasonDeadlineUnreachable, message, wait + compute - left);
  }
  return absl::OkStatus();
}

absl::Status Admission::Refuse(std::string_view reason, std::string_view message,
                               double retry_seconds) const {
  const double delay = std::clamp(retry_seconds, kMinRetrySeconds, kMaxRetrySeconds);
  absl::Status status =
      absl::ResourceExhaustedError(absl::string_view(message.data(), message.size()));
  return WithReason(WithRetryAfter(std::move(status), absl::Seconds(delay)), reason);
}

absl::Status Admission::RefuseSize(std::string_view reason, std::string_view message) {
  return WithReason(absl::ResourceExhaustedError(
                        absl::StrCat(absl::string_view(message.data(), message.size()), kOwnWait)),
                    reason);
}

void Admission::CountLocked(const Cost& cost, int sign, Share* client) {
  const auto count = [&](auto* backlog) {
    backlog->tasks += sign;
    backlog->bytes += sign * cost.bytes;
    backlog->tokens += sign * cost.tokens;
    double& seconds = backlog->lane_seconds[static_cast<int>(cost.lane)];
    seconds = std::max(0.0, seconds + sign * cost.seconds);
    if (backlog->tasks == 0) backlog->lane_seconds = {};  // so that no rounding error stays behind
  };
  count(&backlog_);
  count(client);
}

void Admission::GiveBack(const Cost& cost, Shares::iterator client) {
  absl::MutexLock lock(&mu_);
  CountLocked(cost, -1, &client->second);
  if (client->second.tasks == 0) clients_.erase(client);
}

void Admission::GiveBackOutput(int64_t bytes) {
  absl::MutexLock lock(&mu_);
  backlog_.token_vector_bytes -= bytes;
}

}  // namespace longspan
