#include "server/rpc/encode_stream_call.h"

#include <string>
#include <utility>
#include <vector>

#include "core/error_details.h"
#include "server/rpc/encode_work.h"
#include "server/wire/answer_size.h"
#include "server/wire/enums.h"
#include "server/wire/response_encoder.h"
#include "server/wire/serialized.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

class EncodeItem final : public EncodeWork {
 public:
  // `options`: the stream's, which this item may replace. Used while it is read.
  explicit EncodeItem(v1::EncodeOptions* options) : options_(options) {}

  const std::string& id() const { return id_; }

  absl::Status Read(RpcCall* call, const grpc::ByteBuffer& bytes) override {
    v1::EncodeStreamRequest message;
    absl::Status status = call->Parse(bytes, &message);
    if (status.ok()) status = Decode(call->parts(), &message);
    id_ = std::move(*message.mutable_input()->mutable_id());
    // What is too long has been refused above; the answer names its input by what fits.
    if (id_.size() > kMaxIdBytes) id_ = CutUtf8(id_, kMaxIdBytes);
    return status;
  }

  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override {
    std::vector<grpc::Slice> slices;
    AppendEncoding(v1::EncodeStreamResponse::kEncodingFieldNumber, std::move(document_), id_,
                   format_, &slices);
    v1::EncodeStreamResponse rest;
    FillTimings(timings_, rest.mutable_timings());
    slices.push_back(SliceOf(rest.SerializeAsString()));
    *answer = grpc::ByteBuffer(slices.data(), slices.size());
    return absl::OkStatus();
  }

 private:
  void Complete(const ServiceParts& parts, EncodeTask::Params* params) override {
    params->check_answer = [most = max_answer_bytes_, format = format_,
                            id_bytes = static_cast<int64_t>(id_.size()),
                            dimensions = parts.dimensions(params->input.options)](
                               const PreparedText& prepared) {
      AnswerSize size(most, "options.max_answer_bytes");
      return size.Add(kMostTimingsBytes + EncodingBytes(prepared, id_bytes, format, dimensions));
    };
  }

  absl::Status Decode(const ServiceParts& parts, v1::EncodeStreamRequest* message) {
    if (message->has_options()) *options_ = message->options();
    const auto format = DecodeVectorFormat(options_->vector_format());
    if (!format.ok()) return format.status();
    format_ = *format;
    max_answer_bytes_ = CallersAnswerBytes(options_->max_answer_bytes());
    auto input = DecodeInput(message->mutable_input(), *options_, "input", parts.decoding());
    if (!input.ok()) return input.status();
    input_ = *std::move(input);
    return absl::OkStatus();
  }

  v1::EncodeOptions* const options_;
  std::string id_;
  int64_t max_answer_bytes_ = AnswerSize::kAnySize;
};

}  // namespace

std::shared_ptr<ItemWork> EncodeStreamCall::NewWork() {
  return std::make_shared<EncodeItem>(&options_);
}

grpc::ByteBuffer EncodeStreamCall::MakeRefusal(const ItemWork& work, const absl::Status& status) {
  v1::EncodeStreamResponse response;
  response.mutable_encoding()->set_id(static_cast<const EncodeItem&>(work).id());
  *response.mutable_encoding()->mutable_status() = ToRpcStatus(status);
  return SerializeMessage(response);
}

}  // namespace longspan
