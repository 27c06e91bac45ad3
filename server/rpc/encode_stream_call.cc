#include "server/rpc/encode_stream_call.h"

#include <utility>

#include "server/wire/enums.h"
#include "server/wire/response_encoder.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

// Bytes of answers that may wait for a slow reader before the next input is read. The vectors of a
// thousand texts of 1,024 floats fit, so only a reader that lags behind meets the bound.
constexpr int64_t kMaxUnsentBytes = 4 << 20;

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EncodeStreamCall::Start(
    grpc::CallbackServerContext* context, const ServiceParts* parts) {
  const auto call = std::make_shared<EncodeStreamCall>(context, parts);
  call->self_ = call;
  parts->drain_bell->Add(call);
  const absl::Status status = call->call_.Admit();
  absl::MutexLock lock(&call->mu_);
  if (status.ok()) {
    call->AdvanceLocked();
  } else {
    call->EndLocked(status);
  }
  return call.get();
}

void EncodeStreamCall::OnReadDone(bool ok) {
  if (ok) return Receive();
  absl::MutexLock lock(&mu_);
  reading_ = false;
  // A caller that goes away ends the reading too, before OnCancel comes: that is no end in peace.
  gone_ = gone_ || call_.gone();
  no_more_inputs_ = true;
  AdvanceLocked();
}

void EncodeStreamCall::Receive() {
  v1::EncodeStreamRequest message;
  Item item;
  const absl::Status parsed = call_.Parse(incoming_, &message);
  absl::StatusOr<EncodeInput> input =
      parsed.ok() ? Decode(&message, &item.format) : absl::StatusOr<EncodeInput>(parsed);
  item.id = std::move(*message.mutable_input()->mutable_id());
  // What is too long has been refused above; the answer names its input by what fits.
  if (item.id.size() > kMaxIdBytes) item.id = CutUtf8(item.id, kMaxIdBytes);
  {
    absl::MutexLock lock(&mu_);
    ++pending_;
    if (input.ok()) {
      call_.NoteInput(*input);
    } else {
      AnswerLocked(std::move(item.id), item.format, input.status(), {});
    }
  }
  if (input.ok()) {
    item.input = *std::move(input);
    Dispatch(std::move(item));
  }
  absl::MutexLock lock(&mu_);
  reading_ = false;
  AdvanceLocked();
}

absl::StatusOr<EncodeInput> EncodeStreamCall::Decode(v1::EncodeStreamRequest* message,
                                                     VectorFormat* format) {
  if (message->has_options()) options_ = message->options();
  const auto decoded = DecodeVectorFormat(options_.vector_format());
  if (!decoded.ok()) return decoded.status();
  *format = *decoded;
  return DecodeInput(message->mutable_input(), options_, "input", call_.parts().decoding());
}

void EncodeStreamCall::Dispatch(Item item) {
  const ServiceParts& parts = call_.parts();
  const absl::Time deadline = parts.clock->FromTimeout(parts.options->default_deadline);
  auto permit = parts.admission->TryAcquire(ClaimFor(item.input, parts.max_tokens()), deadline);
  {
    absl::MutexLock lock(&mu_);
    if (permit.ok()) {
      ++running_;
    } else if (absl::IsResourceExhausted(permit.status()) && running_ > 0) {
      parked_ = std::move(item);
      return;
    } else {
      AnswerLocked(std::move(item.id), item.format, permit.status(), {});
      return AdvanceLocked();
    }
  }
  Hand(std::move(item), *std::move(permit));
}

void EncodeStreamCall::Hand(Item item, AdmissionPermit permit) {
  const ServiceParts& parts = call_.parts();
  const absl::Time now = parts.clock->Now();
  EncodeTask::Params params{.input = std::move(item.input),
                            .arrival = now,
                            .deadline = now + parts.options->default_deadline,
                            .cancel = cancel_,
                            .client = call_.client(),
                            .permit = std::move(permit),
                            .timer = call_.NewTimer(now)};
  params.done = [call = shared_from_this(), id = std::move(item.id), format = item.format](
                    absl::StatusOr<EncodedDocument> result, const StageTimings& timings) mutable {
    call->OnItem(std::move(id), format, std::move(result), timings);
  };
  parts.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), parts.clock));
}

void EncodeStreamCall::OnItem(std::string id, VectorFormat format,
                              absl::StatusOr<EncodedDocument> result, const StageTimings& timings) {
  std::optional<Item> next;
  {
    absl::MutexLock lock(&mu_);
    --running_;
    call_.NoteText(result, timings);
    AnswerLocked(std::move(id), format, std::move(result), timings);
    next = std::exchange(parked_, std::nullopt);
    AdvanceLocked();
  }
  if (next.has_value()) Dispatch(*std::move(next));
}

void EncodeStreamCall::AnswerLocked(std::string id, VectorFormat format,
                                    absl::StatusOr<EncodedDocument> result,
                                    const StageTimings& timings) {
  --pending_;
  call_.CountItem(result, timings);
  if (ended_) return;
  v1::EncodeStreamResponse response;
  if (result.ok()) {
    FillEncoding(*std::move(result), std::move(id), format, response.mutable_encoding());
    FillTimings(timings, response.mutable_timings());
  } else {
    response.mutable_encoding()->set_id(std::move(id));
    *response.mutable_encoding()->mutable_status() = ToRpcStatus(result.status());
  }
  ready_.push_back(SerializeMessage(response));
  ready_bytes_ += static_cast<int64_t>(ready_.back().Length());
}

void EncodeStreamCall::AdvanceLocked() {
  if (ended_) return;
  if (!writing_ && !gone_ && !ready_.empty()) {
    outgoing_.Swap(&ready_.front());
    ready_.pop_front();
    ready_bytes_ -= static_cast<int64_t>(outgoing_.Length());
    writing_ = true;
    StartWrite(&outgoing_);
  }
  if (gone_) {
    if (!writing_) EndLocked(call_.WhyCancelled());
    return;
  }
  const auto unanswered = pending_ + static_cast<int64_t>(ready_.size()) + (writing_ ? 1 : 0);
  if (!reading_ && !no_more_inputs_ && !draining_ && !parked_.has_value() &&
      unanswered < call_.parts().options->max_stream_inputs && ready_bytes_ < kMaxUnsentBytes) {
    reading_ = true;
    StartRead(&incoming_);
  }
  if (unanswered > 0) return;
  if (no_more_inputs_) return EndLocked(absl::OkStatus());
  if (draining_) EndLocked(DrainingStatus());
}

void EncodeStreamCall::EndLocked(const absl::Status& status) {
  ended_ = true;
  ready_.clear();
  Finish(call_.Finish(status));
}

void EncodeStreamCall::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  writing_ = false;
  gone_ = gone_ || !ok;
  if (gone_) cancel_->Cancel();
  AdvanceLocked();
}

void EncodeStreamCall::OnDrain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  AdvanceLocked();
}

void EncodeStreamCall::OnDone() {
  call_.parts().drain_bell->Remove(this);
  self_.reset();
}

void EncodeStreamCall::OnCancel() {
  cancel_->Cancel();
  call_.parts().scheduler->NotifyCancelled();
  absl::MutexLock lock(&mu_);
  gone_ = true;
  AdvanceLocked();
}

}  // namespace longspan
