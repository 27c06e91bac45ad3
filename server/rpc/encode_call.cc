#include "server/rpc/encode_call.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/rpc/message_threads.h"
#include "server/wire/answer_size.h"
#include "server/wire/response_encoder.h"
#include "server/wire/serialized.h"

namespace longspan {

absl::Status EncodeCall::Run(const grpc::ByteBuffer& request) {
  v1::EncodeRequest message;
  if (absl::Status status = ParseRequest(call_.parts(), request, &message); !status.ok())
    return status;
  auto decoded = DecodeEncodeRequest(&message, call_.parts().decoding());
  if (!decoded.ok()) return decoded.status();
  for (v1::Input& input : *message.mutable_inputs()) ids_.push_back(std::move(*input.mutable_id()));
  return Submit(*std::move(decoded));
}

absl::Status EncodeCall::Submit(DecodedRequest request) {
  const ServiceParts& parts = call_.parts();
  std::vector<EncodeInput>& inputs = request.inputs;
  format_ = request.format;
  if (!NoteInputs(inputs)) return absl::CancelledError("the call has ended");
  std::vector<AdmissionClaim> claims;
  claims.reserve(inputs.size());
  for (const EncodeInput& input : inputs) claims.push_back(ClaimFor(input, parts.max_tokens()));
  auto permits = parts.admission->TryAcquire(claims, call_.deadline(), call_.client());
  if (!permits.ok()) return inputs.size() == 1 ? AtInput(0, permits.status()) : permits.status();
  CallSize call_size;
  for (const AdmissionPermit& permit : *permits) call_size += permit.size();
  NotePrediction(call_size.seconds);
  const auto answer_size =
      std::make_shared<AnswerSize>(request.max_answer_bytes, "options.max_answer_bytes");
  if (absl::Status status = answer_size->Add(kMostTimingsBytes); !status.ok()) return status;
  const auto room = MakeRoom(PackedBytes(format_, parts.dimensions(inputs.front().options)));
  {
    absl::MutexLock lock(&mu_);
    missing_ = inputs.size();
    response_.resize(inputs.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EncodeTask::Params params{.input = std::move(inputs[i]),
                              .arrival = call_.arrival(),
                              .deadline = call_.deadline(),
                              .cancel = cancel_,
                              .client = call_.client(),
                              .permit = std::move((*permits)[i]),
                              .call_size = call_size,
                              .answer = room,
                              .timer = call_.NewTimer(call_.arrival())};
    params.check_answer = [answer_size, format = format_,
                           id_bytes = static_cast<int64_t>(ids_[i].size()),
                           dimensions = parts.dimensions(params.input.options)](
                              const EncodeInput&, const PreparedText& prepared) {
      return answer_size->Add(EncodingBytes(prepared, id_bytes, format, dimensions));
    };
    params.done = [call = Shared<EncodeCall>(), i](absl::StatusOr<EncodedDocument> result,
                                                   const StageTimings& timings) {
      call->OnText(i, std::move(result), timings);
    };
    parts.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), parts.clock));
  }
  return absl::OkStatus();
}

void EncodeCall::OnText(size_t index, absl::StatusOr<EncodedDocument> result,
                        const StageTimings& timings) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    call_.NoteText(result, timings);
    MaxTimings(timings, &timings_);
    if (!result.ok()) return EndLocked(AtInput(index, result.status()));
  }
  const int64_t num_values = NumValues(*result);
  OnAnswerThread(call_.parts().tokenizers, call_.client(), num_values,
                 [call = Shared<EncodeCall>(), index, document = *std::move(result)]() mutable {
                   call->Add(index, std::move(document));
                 });
}

void EncodeCall::Add(size_t index, EncodedDocument document) {
  std::vector<grpc::Slice> made;
  absl::Status status = WithoutThrowing([&] {
    AppendEncoding(v1::EncodeResponse::kEncodingsFieldNumber, std::move(document),
                   std::move(ids_[index]), format_, &made);
    return absl::OkStatus();
  });
  std::vector<grpc::Slice> answer;
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  if (status.ok()) {
    response_[index] = std::move(made);
    if (--missing_ > 0) return;
    status = WithoutThrowing(
        [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return CloseResponseLocked(&answer); });
  }
  if (!status.ok()) return EndLocked(status);
  AnswerLocked(grpc::ByteBuffer(answer.data(), answer.size()));
}

absl::Status EncodeCall::AtInput(size_t index, const absl::Status& status) const {
  return WithInput(status, absl::StrCat("inputs[", index, "]"), ids_[index]);
}

absl::Status EncodeCall::CloseResponseLocked(std::vector<grpc::Slice>* answer) {
  v1::EncodeResponse rest;
  FillTimings(timings_, rest.mutable_timings());
  for (std::vector<grpc::Slice>& encoding : response_)
    std::move(encoding.begin(), encoding.end(), std::back_inserter(*answer));
  answer->push_back(SliceOf(rest.SerializeAsString()));
  response_.clear();
  return absl::OkStatus();
}

}  // namespace longspan
