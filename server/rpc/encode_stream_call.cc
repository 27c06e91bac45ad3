#include "server/rpc/encode_stream_call.h"

#include <utility>
#include <vector>

#include "core/error_details.h"
#include "server/rpc/message_threads.h"
#include "server/wire/enums.h"
#include "server/wire/response_encoder.h"
#include "server/wire/serialized.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

// Bytes of answers that may wait for a slow reader before the next input is read. The vectors of a
// thousand texts of 1,024 floats fit, so only a reader that lags behind meets the bound.
constexpr int64_t kMaxUnsentBytes = 4 << 20;

}  // namespace

RawReactor* EncodeStreamCall::Start(grpc::CallbackServerContext* context,
                                    const ServiceParts* parts) {
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
  grpc::ByteBuffer message;
  {
    absl::MutexLock lock(&mu_);
    message.Swap(&incoming_);
    if (ended_) return;
    if (!ok) {
      call_.ReadEnds();
      reading_ = false;
      // A caller that goes away ends the reading too, before OnCancel comes: that is no end in
      // peace.
      gone_ = gone_ || call_.gone();
      no_more_inputs_ = true;
      return AdvanceLocked();
    }
    if (absl::Status status = call_.NoteReceived(message); !status.ok()) {
      call_.ReadEnds();
      reading_ = false;
      failure_ = std::move(status);  // the stream's fault: which item it was is not known
      return AdvanceLocked();
    }
    ++pending_;
  }
  const auto bytes = static_cast<int64_t>(message.Length());
  const absl::Status handed = OnRequestThread(
      call_.parts().tokenizers, call_.client(), bytes,
      [call = shared_from_this(), message](const absl::Status& status) {  // shares the bytes
        call->Receive(message, status);
      });
  if (!handed.ok()) Receive({}, handed);
}

void EncodeStreamCall::Receive(const grpc::ByteBuffer& message, absl::Status status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    call_.ReadEnds();
  }
  Item item;
  if (status.ok()) status = WithoutThrowing([&] { return ReadItem(message, &item); });
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (status.ok()) {
      call_.NoteInput(item.input);
    } else {
      RefuseLocked(std::move(item.id), status);
    }
  }
  if (status.ok()) Dispatch(std::move(item));
  absl::MutexLock lock(&mu_);
  reading_ = false;
  AdvanceLocked();
}

absl::Status EncodeStreamCall::ReadItem(const grpc::ByteBuffer& bytes, Item* item) {
  v1::EncodeStreamRequest message;
  absl::Status status = call_.Parse(bytes, &message);
  if (status.ok()) status = DecodeItem(&message, item);
  item->id = std::move(*message.mutable_input()->mutable_id());
  // What is too long has been refused above; the answer names its input by what fits.
  if (item->id.size() > kMaxIdBytes) item->id = CutUtf8(item->id, kMaxIdBytes);
  return status;
}

absl::Status EncodeStreamCall::DecodeItem(v1::EncodeStreamRequest* message, Item* item) {
  if (message->has_options()) options_ = message->options();
  const auto format = DecodeVectorFormat(options_.vector_format());
  if (!format.ok()) return format.status();
  item->format = *format;
  auto input = DecodeInput(message->mutable_input(), options_, "input", call_.parts().decoding());
  if (!input.ok()) return input.status();
  item->input = *std::move(input);
  return absl::OkStatus();
}

void EncodeStreamCall::Dispatch(Item item) {
  const ServiceParts& parts = call_.parts();
  const absl::Time deadline = parts.clock->FromTimeout(parts.options->default_deadline);
  auto permit = parts.admission->TryAcquire(ClaimFor(item.input, parts.max_tokens()), deadline,
                                            call_.client());
  CallSize call_size;
  {
    absl::MutexLock lock(&mu_);
    if (permit.ok()) {
      ++running_;
      running_size_ += permit->size();
      call_size = running_size_;
    } else if (absl::IsResourceExhausted(permit.status()) && running_ > 0) {
      parked_ = std::move(item);
      return;
    } else {
      RefuseLocked(std::move(item.id), permit.status());
      return AdvanceLocked();
    }
  }
  Hand(std::move(item), *std::move(permit), call_size);
}

void EncodeStreamCall::Hand(Item item, AdmissionPermit permit, const CallSize& call_size) {
  const ServiceParts& parts = call_.parts();
  const absl::Time now = parts.clock->Now();
  const CallSize size = permit.size();
  const auto room =
      std::make_shared<AnswerRoom>(parts.admission, call_.client(),
                                   PackedBytes(item.format, parts.dimensions(item.input.options)));
  EncodeTask::Params params{.input = std::move(item.input),
                            .arrival = now,
                            .deadline = now + parts.options->default_deadline,
                            .cancel = cancel_,
                            .client = call_.client(),
                            .permit = std::move(permit),
                            .call_size = call_size,
                            .answer = room,
                            .timer = call_.NewTimer(now)};
  params.done = [call = shared_from_this(), id = std::move(item.id), format = item.format, size,
                 room = room](absl::StatusOr<EncodedDocument> result,
                              const StageTimings& timings) mutable {
    call->OnItem(std::move(id), format, size, std::move(room), std::move(result), timings);
  };
  parts.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), parts.clock));
}

void EncodeStreamCall::OnItem(std::string id, VectorFormat format, const CallSize& size,
                              std::shared_ptr<AnswerRoom> room,
                              absl::StatusOr<EncodedDocument> result, const StageTimings& timings) {
  std::optional<Item> next;
  {
    absl::MutexLock lock(&mu_);
    --running_;
    running_size_ -= size;
    if (running_ == 0) running_size_ = {};  // no rounding error is kept
    call_.NoteText(result, timings);
    next = std::exchange(parked_, std::nullopt);
  }
  if (result.ok()) {
    const int64_t num_values = NumValues(*result);
    OnAnswerThread(call_.parts().tokenizers, call_.client(), num_values,
                   [call = shared_from_this(), id = std::move(id), format, room = std::move(room),
                    document = *std::move(result), timings]() mutable {
                     call->MakeAnswer(std::move(id), format, std::move(room), std::move(document),
                                      timings);
                   });
  } else {
    room->Close();
    absl::MutexLock lock(&mu_);
    RefuseLocked(std::move(id), result.status(), timings);
    AdvanceLocked();
  }
  if (next.has_value()) Dispatch(*std::move(next));
}

void EncodeStreamCall::MakeAnswer(std::string id, VectorFormat format,
                                  std::shared_ptr<AnswerRoom> room, EncodedDocument document,
                                  const StageTimings& timings) {
  // What CountItem reads of it; the vectors are freed as they are written.
  EncodedDocument counted;
  counted.tokens_used = document.tokens_used;
  counted.truncated = document.truncated;
  grpc::ByteBuffer bytes;
  absl::Status status;
  if (WantsAnswers()) {
    status = WithoutThrowing([&] {
      std::vector<grpc::Slice> slices;
      AppendEncoding(v1::EncodeStreamResponse::kEncodingFieldNumber, std::move(document), id,
                     format, &slices);
      v1::EncodeStreamResponse rest;
      FillTimings(timings, rest.mutable_timings());
      slices.push_back(SliceOf(rest.SerializeAsString()));
      bytes = grpc::ByteBuffer(slices.data(), slices.size());
      return absl::OkStatus();
    });
  }
  absl::MutexLock lock(&mu_);
  const bool wanted = !ended_ && !gone_;
  if (!status.ok() || !wanted) room->Close();
  if (status.ok()) {
    --pending_;
    call_.CountItem(counted, timings);
    if (wanted) {
      ready_bytes_ += static_cast<int64_t>(bytes.Length());
      ready_.push_back({bytes, std::move(room)});
    }
  } else {
    RefuseLocked(std::move(id), status, timings);
  }
  AdvanceLocked();
}

bool EncodeStreamCall::WantsAnswers() {
  absl::MutexLock lock(&mu_);
  return !ended_ && !gone_;
}

void EncodeStreamCall::RefuseLocked(std::string id, const absl::Status& status,
                                    const StageTimings& timings) {
  --pending_;
  call_.CountItem(status, timings);
  if (ended_ || gone_) return;
  v1::EncodeStreamResponse response;
  response.mutable_encoding()->set_id(std::move(id));
  *response.mutable_encoding()->mutable_status() = ToRpcStatus(status);
  ready_.push_back({SerializeMessage(response), nullptr});
  ready_bytes_ += static_cast<int64_t>(ready_.back().bytes.Length());
}

void EncodeStreamCall::AdvanceLocked() {
  if (ended_) return;
  if (!writing_ && !gone_ && !ready_.empty()) {
    outgoing_ = std::move(ready_.front());
    ready_.pop_front();
    const auto bytes = static_cast<int64_t>(outgoing_.bytes.Length());
    ready_bytes_ -= bytes;
    writing_ = true;
    call_.WriteBegins(bytes);
    StartWrite(&outgoing_.bytes);
  }
  if (gone_) {
    if (!writing_) EndLocked(call_.WhyCancelled());
    return;
  }
  if (!failure_.ok()) {
    if (!writing_) EndLocked(failure_);
    return;
  }
  const auto unanswered = pending_ + static_cast<int64_t>(ready_.size()) + (writing_ ? 1 : 0);
  if (!reading_ && !no_more_inputs_ && !draining_ && !parked_.has_value() &&
      unanswered < call_.parts().options->max_stream_inputs && ready_bytes_ < kMaxUnsentBytes) {
    reading_ = true;
    call_.ReadBegins(weak_from_this(), /*whole_request=*/false);
    StartRead(&incoming_);
  }
  if (unanswered > 0) return;
  if (no_more_inputs_) return EndLocked(absl::OkStatus());
  if (draining_) EndLocked(DrainingStatus());
}

void EncodeStreamCall::EndLocked(const absl::Status& status) {
  ended_ = true;
  ready_.clear();
  ready_bytes_ = 0;
  Finish(call_.Finish(status));
}

void EncodeStreamCall::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  call_.WriteEnds();
  writing_ = false;
  outgoing_ = {};  // gives its room back
  if (!ok || gone_) LoseReaderLocked();
  AdvanceLocked();
}

void EncodeStreamCall::OnDrain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  AdvanceLocked();
}

// A stream whose answer is not taken either is cancelled; the write under way ends it.
void EncodeStreamCall::GiveUpReading(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  cancel_->Cancel();
  if (!writing_) return EndLocked(status);
  LoseReaderLocked();
  call_.Cancel();
}

void EncodeStreamCall::LoseReaderLocked() {
  gone_ = true;
  cancel_->Cancel();
  ready_.clear();
  ready_bytes_ = 0;
}

void EncodeStreamCall::OnDone() {
  call_.Close();
  call_.parts().drain_bell->Remove(this);
  // gRPC calls this behind all others. ThreadSanitizer sees no lock of its library, so ours tells
  // it that OnCancel is over.
  { const absl::MutexLock lock(&mu_); }
  self_.reset();
}

void EncodeStreamCall::OnCancel() {
  cancel_->Cancel();
  call_.parts().scheduler->NotifyCancelled();
  absl::MutexLock lock(&mu_);
  LoseReaderLocked();
  AdvanceLocked();
}

}  // namespace longspan
