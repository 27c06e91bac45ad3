#include "server/rpc/rpc_call.h"

#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/error_details.h"
#include "server/rpc/caller_metadata.h"
#include "server/rpc/metadata_limit.h"
#include "server/wire/response_encoder.h"
#include "server/wire/status.h"
#include "server/wire/wire_limits.h"

namespace longspan {
namespace {

// protobuf tells which string field is not UTF-8 in a log line only. The line is kept, per thread,
// instead of printed.
thread_local std::string last_protobuf_message;
void KeepProtobufMessage(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  last_protobuf_message = message;
}

std::string WhyUnparsable(const std::string& type) {
  const size_t quote = last_protobuf_message.find('\'');
  if (last_protobuf_message.find("invalid UTF-8") == std::string::npos ||
      quote == std::string::npos) {
    return absl::StrCat("the request is not a valid ", type, " message");
  }
  const std::string field = last_protobuf_message.substr(
      quote + 1, last_protobuf_message.find('\'', quote + 1) - quote - 1);
  return absl::StrCat("string field ", field, " is not valid UTF-8; allowed: UTF-8");
}

// When a caller that comes before the model is loaded should try again.
constexpr absl::Duration kRetryStarting = absl::Seconds(1);

std::string NewRequestId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return absl::StrFormat("%016x", random());
}

double Seconds(absl::Duration duration) { return absl::ToDoubleSeconds(duration); }

}  // namespace

RpcCall::RpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts)
    : context_(context),
      parts_(parts),
      arrival_(parts->clock->Now()),
      address_(ClientOf(context->peer())),
      client_(address_) {
  outcome_.method = method;
  ReadDeadline();
  request_id_ = PlainOrNothing(Metadata("x-request-id"), kMaxRequestIdBytes);
  if (request_id_.empty()) request_id_ = NewRequestId();
  traceparent_ = PlainOrNothing(Metadata("traceparent"), kMaxTraceparentBytes);
  context_->AddInitialMetadata("x-request-id", request_id_);
  listed_ = parts_->open_calls->Add(method, address_, context_);
}

void RpcCall::Close() {
  if (std::exchange(open_, false)) parts_->open_calls->Remove(listed_);
}

void RpcCall::ReadBegins(std::weak_ptr<OpenCalls::Reader> reader, bool whole_request) {
  parts_->open_calls->ReadBegins(listed_, std::move(reader), whole_request);
}

void RpcCall::ReadEnds() { parts_->open_calls->ReadEnds(listed_); }

void RpcCall::WriteBegins(int64_t bytes) { parts_->open_calls->WriteBegins(listed_, bytes); }

void RpcCall::WriteEnds() { parts_->open_calls->WriteEnds(listed_); }

std::string RpcCall::Metadata(const char* name) const {
  const auto found = context_->client_metadata().find(name);
  return found == context_->client_metadata().end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

void RpcCall::ReadDeadline() {
  const auto deadline = context_->deadline();
  absl::Duration left = parts_->options->default_deadline;
  if (deadline != std::chrono::system_clock::time_point::max()) {
    asked_ = absl::FromChrono(deadline - std::chrono::system_clock::now());
    left = std::min(asked_, parts_->options->max_deadline);
  }
  deadline_ = parts_->clock->FromTimeout(left);
}

std::string RpcCall::DeadlineNote(bool of_item) const {
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

absl::Status RpcCall::WithDeadlineNote(const absl::Status& status, bool of_item) const {
  const bool of_deadline =
      absl::IsDeadlineExceeded(status) || ReasonOf(status) == kReasonDeadlineUnreachable;
  return of_deadline ? WithNote(status, DeadlineNote(of_item)) : status;
}

absl::Status RpcCall::Admit() {
  if (!parts_->lifecycle->answering()) {
    return parts_->lifecycle->draining()
               ? DrainingStatus()
               : WithRetryAfter(absl::UnavailableError("the server is still loading its model"),
                                kRetryStarting);
  }
  if (absl::Status status = CheckMetadata(*context_); !status.ok()) return status;
  absl::Status status = parts_->keys->Check(Metadata("authorization"), &key_name_);
  if (!key_name_.empty()) client_ = absl::StrCat(address_, " ", key_name_);
  return status;
}

absl::Status RpcCall::NoteReceived(const grpc::ByteBuffer& message) {
  request_bytes_ = static_cast<int64_t>(message.Length());
  if (request_bytes_ <= parts_->options->max_request_bytes) {
    parts_->open_calls->ReadArrived(listed_);
    parts_->open_calls->Accept(listed_);
    return absl::OkStatus();
  }
  parts_->metrics->OnMessageTooLarge();
  return WithReason(absl::ResourceExhaustedError(
                        absl::StrCat("Received message larger than max (", request_bytes_, " vs. ",
                                     parts_->options->max_request_bytes, ")")),
                    kReasonMaxRequestBytes);
}

absl::Status RpcCall::WhyNoRequest() const {
  return context_->IsCancelled() ? WhyCancelled()
                                 : absl::InvalidArgumentError("the call has no request message");
}

absl::Status RpcCall::Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message* message) {
  static google::protobuf::LogHandler* const installed =
      google::protobuf::SetLogHandler(&KeepProtobufMessage);
  (void)installed;
  absl::Status counted =
      CheckWireLimits(bytes, *message->GetDescriptor(), LimitsOfRequests(parts_->decoding()));
  if (!counted.ok()) return counted;
  last_protobuf_message.clear();
  grpc::ByteBuffer copy(bytes);  // shares the slices
  grpc::ProtoBufferReader reader(&copy);
  if (reader.status().ok() && message->ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  return absl::InvalidArgumentError(WhyUnparsable(std::string(message->GetTypeName())));
}

void RpcCall::NoteInput(const EncodeInput& input) {
  ++outcome_.texts;
  text_bytes_ +=
      static_cast<int64_t>(input.text.empty() ? 4 * input.token_ids.size() : input.text.size());
  outcome_.tokenized = outcome_.tokenized || !input.text.empty();
}

void RpcCall::NoteText(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings) {
  MaxTimings(timings, &outcome_.timings);
  if (!result.ok()) return;
  outcome_.tokens += result->tokens_used;
  outcome_.longest_text = std::max(outcome_.longest_text, result->tokens_used);
  outcome_.truncated_texts += result->truncated ? 1 : 0;
  parts_->metrics->OnText(result->tokens_used, timings);
}

std::shared_ptr<TaskTimer> RpcCall::NewTimer(absl::Time arrival) {
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
void RpcCall::NoteUnfinished() {
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

void RpcCall::CountItem(const absl::StatusOr<EncodedDocument>& result,
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
absl::Status RpcCall::WhyCancelled() const {
  const absl::Duration early = absl::Milliseconds(100) + (deadline_ - arrival_) / 20;
  return parts_->clock->Now() + early >= deadline_ ? DeadlinePassed("", predicted_seconds_)
                                                   : absl::CancelledError("the caller went away");
}

grpc::Status RpcCall::Finish(const absl::Status& status) {
  outcome_.status = status;
  if (!status.ok()) NoteUnfinished();
  outcome_.total = parts_->clock->Now() - arrival_;
  parts_->metrics->OnCall(outcome_);
  WriteLog(status, outcome_.total);
  if (const std::string pushback = RetryPushbackMs(status); !pushback.empty()) {
    context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
  }
  return ToGrpcStatus(WithDeadlineNote(status));
}

void RpcCall::WriteLog(const absl::Status& status, absl::Duration total) const {
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
