#include "server/rpc/encode_call.h"

#include <utility>

#include "server/wire/request_decoder.h"
#include "server/wire/response_encoder.h"

namespace longspan {

grpc::ServerUnaryReactor* EncodeCall::Start(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer& request,
                                            grpc::ByteBuffer* response, const ServiceParts* parts) {
  const auto call = std::make_shared<EncodeCall>(context, response, parts);
  call->self_ = call;
  if (const absl::Status status = call->Run(request); !status.ok()) {
    absl::MutexLock lock(&call->mu_);
    call->EndLocked(status);
  }
  return call.get();
}

absl::Status EncodeCall::Run(const grpc::ByteBuffer& request) {
  v1::EncodeRequest message;
  if (absl::Status status = call_.Admit(); !status.ok()) return status;
  if (absl::Status status = call_.Parse(request, &message); !status.ok()) return status;
  auto decoded = DecodeEncodeRequest(&message, call_.parts().decoding());
  if (!decoded.ok()) return decoded.status();
  for (v1::Input& input : *message.mutable_inputs()) ids_.push_back(std::move(*input.mutable_id()));
  format_ = decoded->format;
  return Submit(std::move(decoded->inputs));
}

absl::Status EncodeCall::Submit(std::vector<EncodeInput> inputs) {
  const ServiceParts& parts = call_.parts();
  std::vector<AdmissionClaim> claims;
  for (const EncodeInput& input : inputs) {
    call_.NoteInput(input);
    claims.push_back(ClaimFor(input, parts.max_tokens()));
  }
  auto permits = parts.admission->TryAcquire(claims, call_.deadline());
  if (!permits.ok()) return permits.status();
  {
    absl::MutexLock lock(&mu_);
    missing_ = inputs.size();
    for (std::string& id : ids_) response_.add_encodings()->set_id(std::move(id));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EncodeTask::Params params{.input = std::move(inputs[i]),
                              .arrival = call_.arrival(),
                              .deadline = call_.deadline(),
                              .cancel = cancel_,
                              .client = call_.client(),
                              .permit = std::move((*permits)[i]),
                              .timer = call_.NewTimer(call_.arrival())};
    params.done = [call = shared_from_this(), i](absl::StatusOr<EncodedDocument> result,
                                                 const StageTimings& timings) {
      call->OnText(i, std::move(result), timings);
    };
    parts.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), parts.clock));
  }
  return absl::OkStatus();
}

void EncodeCall::OnText(size_t index, absl::StatusOr<EncodedDocument> result,
                        const StageTimings& timings) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteText(result, timings);
  MaxTimings(timings, &timings_);
  if (!result.ok()) return EndLocked(result.status());
  v1::Encoding* encoding = response_.mutable_encodings(static_cast<int>(index));
  FillEncoding(*std::move(result), std::move(*encoding->mutable_id()), format_, encoding);
  if (--missing_ > 0) return;
  FillTimings(timings_, response_.mutable_timings());
  *wire_response_ = SerializeMessage(response_);
  EndLocked(absl::OkStatus());
}

void EncodeCall::EndLocked(const absl::Status& status) {
  ended_ = true;
  if (!status.ok()) cancel_->Cancel();  // the other texts of the request
  Finish(call_.Finish(status));
}

void EncodeCall::OnCancel() {
  cancel_->Cancel();
  call_.parts().scheduler->NotifyCancelled();
  absl::MutexLock lock(&mu_);
  if (!ended_) EndLocked(call_.WhyCancelled());
}

}  // namespace longspan
