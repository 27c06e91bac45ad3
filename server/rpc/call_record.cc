#include "server/rpc/call_record.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/error_details.h"
#include "server/batching/encode_task.h"
#include "server/rpc/caller_metadata.h"
#include "server/wire/response_encoder.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

// When a caller that comes before the model is loaded should try again.
constexpr absl::Duration kRetryStarting = absl::Seconds(1);

std::string NewRequestId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return absl::StrFormat("%016x", random());
}

double Seconds(absl::Duration duration) { return absl::ToDoubleSeconds(duration); }

absl::Duration TimeLeft(absl::Duration patience, const ServerOptions& options) {
  return patience == absl::InfiniteDuration() ? options.default_deadline
                                              : std::min(patience, options.max_deadline);
}

}  // namespace

CallRecord::CallRecord(RpcMethod method, const ServiceParts* parts, const Caller& caller)
    : parts_(parts),
      arrival_(parts->clock->Now()),
      asked_(caller.patience),
      deadline_(parts->clock->FromTimeout(TimeLeft(asked_, *parts->options))),
      address_(ClientOf(caller.peer)),
      client_(address_),
      request_id_(PlainOrNothing(caller.request_id, kMaxRequestIdBytes)),
      traceparent_(PlainOrNothing(caller.traceparent, kMaxTraceparentBytes)) {
  outcome_.method = method;
  if (request_id_.empty()) request_id_ = NewRequestId();
}

absl::Status CallRecord::CheckPhase() const {
  if (parts_->lifecycle->answering()) return absl::OkStatus();
  return parts_->lifecycle->draining()
             ? DrainingStatus()
             : WithRetryAfter(absl::UnavailableError("the server is still loading its model"),
                              kRetryStarting);
}

std::string CallRecord::DeadlineNote(bool of_item) const {
  const std::string usual = absl::FormatDuration(parts_->options->default_deadline);
  const std::string most = absl::FormatDuration(parts_->options->max_deadline);
  if (of_item) {
    return absl::StrCat(
        "the deadline of each item of a stream is the server's --default-deadline, ", usual,
        " (--max-deadline: ", most, ")");
  }
  if (asked_ == absl::InfiniteDuration()) {
    return absl::StrCat("the caller set no deadline, so it is the server's --default-deadline, ",
                        usual, "; a caller may set one of up to ", most, " (--max-deadline)");
  }
  const std::string asked = absl::FormatDuration(absl::Trunc(asked_, absl::Milliseconds(1)));
  if (asked_ > parts_->options->max_deadline) {
    return absl::StrCat("the caller's deadline of ", asked, " was cut to the server's ",
                        "--max-deadline, ", most, " (--default-deadline: ", usual, ")");
  }
  return absl::StrCat("the deadline of ", asked, " is the caller's own; the server allows up to ",
                      most, " (--max-deadline), and sets ", usual,
                      " (--default-deadline) where a call brings none");
}

absl::Status CallRecord::WithDeadlineNote(const absl::Status& status, bool of_item) const {
  const bool of_deadline =
      absl::IsDeadlineExceeded(status) || ReasonOf(status) == kReasonDeadlineUnreachable;
  return of_deadline ? WithNote(status, DeadlineNote(of_item)) : status;
}

void CallRecord::SetKey(std::string name) {
  key_name_ = std::move(name);
  if (!key_name_.empty()) client_ = absl::StrCat(address_, " ", key_name_);
}

absl::StatusOr<std::string> CallRecord::CollectionOwner() const {
  if (!key_name_.empty() || parts_->options->auth_keys_file.empty()) return key_name_;
  return AtField(
      absl::FailedPreconditionError("cannot be used: collections are of a key's name, and this key "
                                    "has none (a name before it in --auth-keys-file)"),
      "collection");
}

absl::Status CallRecord::CheckSize(int64_t bytes) {
  request_bytes_ = bytes;
  if (bytes <= parts_->options->max_request_bytes) return absl::OkStatus();
  parts_->metrics->OnMessageTooLarge();
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat("Received message larger than max (", bytes,
                                                " vs. ", parts_->options->max_request_bytes, ")")),
      kReasonMaxRequestBytes);
}

void CallRecord::NoteTimings(const StageTimings& timings) {
  MaxTimings(timings, &outcome_.timings);
}

void CallRecord::NoteInput(const EncodeInput& input) {
  ++outcome_.texts;
  text_bytes_ +=
      static_cast<int64_t>(input.text.empty() ? 4 * input.token_ids.size() : input.text.size());
  outcome_.tokenized = outcome_.tokenized || !input.text.empty();
}

void CallRecord::NoteText(const absl::StatusOr<EncodedDocument>& result,
                          const StageTimings& timings) {
  MaxTimings(timings, &outcome_.timings);
  if (!result.ok()) return;
  outcome_.tokens += result->tokens_used;
  outcome_.longest_text = std::max(outcome_.longest_text, result->tokens_used);
  outcome_.truncated_texts += result->truncated ? 1 : 0;
  parts_->metrics->OnText(result->tokens_used, timings);
}

std::shared_ptr<TaskTimer> CallRecord::NewTimer(absl::Time arrival) {
  auto timer = std::make_shared<TaskTimer>(parts_->clock, arrival);
  absl::MutexLock lock(&timers_mu_);
  had_tasks_ = true;
  // A stream goes on for ever: what its ended items took has been noted by NoteText.
  if (timers_.size() >= sweep_at_) {
    std::erase_if(timers_, [](const auto& known) { return known->ended(); });
    sweep_at_ = 2 * std::max<size_t>(8, timers_.size());
  }
  timers_.push_back(timer);
  return timer;
}

// The stage is the furthest that any text without an answer is in; where all have one, the answers
// wait to be taken.
void CallRecord::NoteUnfinished() {
  absl::MutexLock lock(&timers_mu_);
  Stage stage = had_tasks_ ? Stage::kSend : Stage::kReceive;
  bool all_answered = true;
  for (const std::shared_ptr<TaskTimer>& timer : timers_) {
    const StageTimings timings = timer->Read();
    MaxTimings(timings, &outcome_.timings);
    if (timings.stage == Stage::kSend) continue;
    stage = all_answered ? timings.stage : std::max(stage, timings.stage);
    all_answered = false;
  }
  outcome_.timings.stage = stage;
}

void CallRecord::CountItem(const absl::StatusOr<EncodedDocument>& result,
                           const StageTimings& timings) {
  outcome_.itemised = true;
  ++items_by_code_[CodeIndex(result.status().code())];
  CallOutcome item{.method = outcome_.method,
                   .status = result.status(),
                   .total = timings.total,
                   .texts = 1,
                   .timings = timings,
                   .tokenized = outcome_.tokenized};
  if (result.ok()) {
    item.tokens = item.longest_text = result->tokens_used;
    item.truncated_texts = result->truncated ? 1 : 0;
  }
  parts_->metrics->OnStreamItem(item);
}

// A caller that gives up at its deadline resets the stream, which may come before the deadline is
// over here: gRPC rounds the timeout that it sends up by as much as one in a hundred, and the time
// that the request took to arrive is not known.
absl::Status CallRecord::WhyCancelled() const {
  const absl::Duration early = absl::Milliseconds(100) + (deadline_ - arrival_) / 20;
  return parts_->clock->Now() + early >= deadline_ ? DeadlinePassed("", predicted_seconds_)
                                                   : absl::CancelledError("the caller went away");
}

void CallRecord::Record(const absl::Status& status) {
  outcome_.status = status;
  if (!status.ok()) NoteUnfinished();
  outcome_.total = parts_->clock->Now() - arrival_;
  parts_->metrics->OnCall(outcome_);
  WriteLog(status, outcome_.total);
}

void CallRecord::WriteLog(const absl::Status& status, absl::Duration total) const {
  Log::Fields fields = {{"method", RpcMethodName(outcome_.method)},
                        {"code", CodeName(status.code())},
                        {"request_id", request_id_},
                        {"client", address_},
                        {"request_bytes", request_bytes_},
                        {"texts", outcome_.texts},
                        {"text_bytes", text_bytes_},
                        {"tokens", outcome_.tokens},
                        {"total_seconds", Seconds(total)},
                        {"tokenize_seconds", Seconds(outcome_.timings.tokenize)},
                        {"queue_seconds", Seconds(outcome_.timings.queue)},
                        {"compute_seconds", Seconds(outcome_.timings.compute)},
                        {"batch_texts", outcome_.timings.batch_pieces},
                        {"batch_tokens", outcome_.timings.batch_tokens}};
  if (!key_name_.empty()) fields["key"] = key_name_;
  if (!traceparent_.empty()) fields["traceparent"] = traceparent_;
  if (outcome_.truncated_texts > 0) fields["truncated_texts"] = outcome_.truncated_texts;
  if (absl::IsCancelled(status) || absl::IsDeadlineExceeded(status))
    fields["stage"] = StageName(outcome_.timings.stage);
  if (outcome_.itemised) {
    Log::Fields items = Log::Fields::object();
    for (size_t code = 0; code < kNumCodes; ++code) {
      if (items_by_code_[code] == 0) continue;
      items[std::string(CodeName(static_cast<absl::StatusCode>(code)))] = items_by_code_[code];
    }
    fields["items"] = std::move(items);
  }
  if (!status.ok())
    fields["error"] = ShortMessage({status.message().data(), status.message().size()});
  if (const std::string limit = LimitOf(status); !limit.empty()) fields["limit"] = limit;
  const bool ours =
      status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown;
  parts_->log->Write(ours ? LogLevel::kError : LogLevel::kInfo, "request", fields);
}

}  // namespace longspan
