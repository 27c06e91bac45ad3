#include "server/rpc/encode_item.h"

#include <utility>
#include <vector>

#include "core/error_details.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/enums.h"
#include "server/wire/response_encoder.h"
#include "server/wire/serialized.h"
#include "server/wire/status.h"

namespace longspan {

absl::Status EncodeItem::Parse(const ServiceParts& parts, const grpc::ByteBuffer& bytes,
                               v1::EncodeStreamRequest* message) {
  return ParseRequest(parts, bytes, message);
}

absl::Status EncodeItem::Read(const ServiceParts& parts, const grpc::ByteBuffer& bytes) {
  v1::EncodeStreamRequest message;
  absl::Status status = Parse(parts, bytes, &message);
  if (status.ok()) status = Decode(parts, &message);
  id_ = std::move(*message.mutable_input()->mutable_id());
  // What is too long has been refused above; the answer names its input by what fits.
  if (id_.size() > kMaxIdBytes) id_ = CutUtf8(id_, kMaxIdBytes);
  return status;
}

absl::Status EncodeItem::Decode(const ServiceParts& parts, v1::EncodeStreamRequest* message) {
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

void EncodeItem::Complete(const ServiceParts& parts, EncodeTask::Params* params) {
  params->check_answer = [most = max_answer_bytes_, format = format_,
                          id_bytes = static_cast<int64_t>(id_.size()),
                          dimensions = parts.dimensions(params->input.options)](
                             const EncodeInput&, const PreparedText& prepared) {
    AnswerSize size(most, "options.max_answer_bytes");
    return size.Add(kMostTimingsBytes + EncodingBytes(prepared, id_bytes, format, dimensions));
  };
}

absl::Status EncodeItem::MakeAnswer(grpc::ByteBuffer* answer) {
  std::vector<grpc::Slice> slices;
  AppendEncoding(v1::EncodeStreamResponse::kEncodingFieldNumber, std::move(document_), id_, format_,
                 &slices);
  v1::EncodeStreamResponse rest;
  FillTimings(timings_, rest.mutable_timings());
  slices.push_back(SliceOf(rest.SerializeAsString()));
  *answer = grpc::ByteBuffer(slices.data(), slices.size());
  return absl::OkStatus();
}

v1::EncodeStreamResponse RefusedItem(const EncodeItem& item, const absl::Status& status) {
  v1::EncodeStreamResponse response;
  response.mutable_encoding()->set_id(item.id());
  *response.mutable_encoding()->mutable_status() = ToRpcStatus(status);
  return response;
}

}  // namespace longspan
