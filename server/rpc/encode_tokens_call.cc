#include "server/rpc/encode_tokens_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/wire/answer_size.h"
#include "server/wire/enums.h"
#include "server/wire/request_decoder.h"
#include "server/wire/response_encoder.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

// The contract promises messages under 1 MiB, or smaller ones where the caller takes no more. Of
// each so many bytes are left for the other fields: timings, counts, ranges of the text that was
// read.
constexpr int64_t kMaxMessageBytes = 1 << 20;
constexpr int64_t kOtherBytes = 16 << 10;

// The vectors of one message to a caller that takes messages of `max_bytes`, each of up to
// `pooling` tokens.
absl::StatusOr<int64_t> RowsOfMessage(int64_t max_bytes, int64_t pooling, const ModelInfo& model) {
  // Where tokens are left out, each one of a row may be a range of its own.
  constexpr int64_t kMostRangeBytes = 24;
  const int64_t row = 4 * std::max<int64_t>(1, model.token_dimensions) +
                      (model.multi_vector.has_value() ? pooling * kMostRangeBytes : 0) +
                      (pooling > 1 ? 1 : 0);  // tokens_per_vector
  if (max_bytes < row + kOtherBytes) {
    return WithReason(
        InvalidField("options.max_answer_bytes",
                     absl::StrCat("is ", max_bytes, "; allowed: at least ", row + kOtherBytes,
                                  ", which a message with one token's vector takes")),
        kReasonCallersMaxAnswerBytes);
  }
  return std::max<int64_t>(1, (std::min(max_bytes, kMaxMessageBytes) - kOtherBytes) / row);
}

}  // namespace

absl::Status EncodeTokensCall::Run(const grpc::ByteBuffer& request) {
  const ServiceParts& parts = call_.parts();
  v1::EncodeTokensRequest message;
  if (absl::Status status = ParseRequest(call_.parts(), request, &message); !status.ok())
    return status;
  auto input = DecodeTokensInput(&message, parts.decoding());
  if (!input.ok()) return input.status();
  id_ = std::move(*message.mutable_input()->mutable_id());
  const auto rows_per_block = RowsOfMessage(
      CallersAnswerBytes(message.options().max_answer_bytes()), input->token_pooling, *parts.model);
  if (!rows_per_block.ok()) return rows_per_block.status();
  format_ = DecodeVectorFormat(message.options().vector_format()).value();
  if (!NoteInputs({&*input, 1})) return absl::CancelledError("the call has ended");
  auto permit = parts.admission->TryAcquire(ClaimFor(*input, parts.max_tokens()), call_.deadline(),
                                            call_.client());
  if (!permit.ok()) return WithInput(permit.status(), "input", id_);
  NotePrediction(permit->size().seconds);

  const auto rows = std::make_shared<TokenVectorBuffer>(
      *rows_per_block,
      [weak = weak_from_this()] {
        if (const auto call = weak.lock()) static_cast<EncodeTokensCall*>(call.get())->Pump();
      },
      TokenPoolingOf(*input, *parts.model));
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return absl::CancelledError("the call has ended");
    rows_ = rows;
  }
  input->options.token_sink = [rows, width = parts.model->token_dimensions](
                                  int64_t first, int64_t count, const float* values) {
    rows->Push(first, count, width, values);
  };
  EncodeTask::Params params{.input = *std::move(input),
                            .arrival = call_.arrival(),
                            .deadline = call_.deadline(),
                            .cancel = cancel_,
                            .client = call_.client(),
                            .permit = *std::move(permit),
                            .token_vectors = rows,
                            .timer = call_.NewTimer(call_.arrival())};
  params.done = [call = Shared<EncodeTokensCall>()](absl::StatusOr<EncodedDocument> result,
                                                    const StageTimings& timings) {
    call->OnEnd(std::move(result), timings);
  };
  parts.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), parts.clock));
  return absl::OkStatus();
}

void EncodeTokensCall::OnEnd(absl::StatusOr<EncodedDocument> result, const StageTimings& timings) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteText(result, timings);
  timings_ = timings;
  result_ = std::move(result);
  PumpLocked();
}

void EncodeTokensCall::Pump() {
  absl::MutexLock lock(&mu_);
  PumpLocked();
}

void EncodeTokensCall::PumpLocked() {
  if (writing_ || ended_) return;
  const absl::Status status =
      WithoutThrowing([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return WriteNextLocked(); });
  if (!status.ok()) return EndLocked(status);
  if (last_written_ && !writing_) EndLocked(absl::OkStatus());
}

absl::Status EncodeTokensCall::WriteNextLocked() {
  if (result_.has_value() && !result_->ok()) return WithInput(result_->status(), "input", id_);
  if (last_written_) return absl::OkStatus();
  if (result_.has_value()) rows_->End();
  if (!held_.has_value()) held_ = rows_->TryPop();
  std::optional<TokenVectorBuffer::Block> next;
  if (held_.has_value()) next = rows_->TryPop();
  if (next.has_value()) {
    WriteLocked(std::exchange(*held_, *std::move(next)), /*last=*/false);
  } else if (result_.has_value()) {
    WriteLocked(held_.has_value() ? *std::move(held_) : TokenVectorBuffer::Block{}, /*last=*/true);
  }
  return absl::OkStatus();
}

void EncodeTokensCall::WriteLocked(TokenVectorBuffer::Block block, bool last) {
  v1::EncodeTokensResponse response;
  FillTokens(block.first_token, block.num_rows, std::move(block.values), format_, &response);
  for (const TokenRange& range : block.ranges) {
    v1::Range* out = response.add_token_ranges();
    out->set_begin(range.begin);
    out->set_end(range.end);
  }
  response.mutable_tokens_per_vector()->Add(block.tokens_per_row.begin(),
                                            block.tokens_per_row.end());
  if (last) {
    FillTimings(timings_, response.mutable_timings());
    FillTokensEnd(**result_, &response);
  }
  message_ = SerializeMessage(response);
  writing_ = true;
  last_written_ = last;
  call_.WriteBegins(static_cast<int64_t>(message_.Length()));
  StartWrite(&message_);
}

void EncodeTokensCall::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  call_.WriteEnds();
  writing_ = false;
  message_.Clear();
  if (!ok) {
    cancel_->Cancel();
    if (!ended_) EndLocked(call_.WhyCancelled());
    return;
  }
  PumpLocked();
}

// While a write is under way, its callback ends the call.
void EncodeTokensCall::OnGoneLocked() {
  if (!writing_) EndLocked(call_.WhyCancelled());
}

void EncodeTokensCall::OnClosed() {
  std::shared_ptr<TokenVectorBuffer> rows;
  {
    absl::MutexLock lock(&mu_);
    rows = rows_;
  }
  if (rows != nullptr) rows->Close();
}

}  // namespace longspan
