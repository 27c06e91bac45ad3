#include "server/rest/json_work.h"

#include <vector>

#include "core/error_details.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

// Rows that are held in one piece between the pass and the answer: 1 MiB of 1,024 floats each.
constexpr int64_t kRowsPerBlock = 256;
// Characters of a float in JSON, with its comma: a sign, a point and 8 or 9 digits, and an exponent
// where the value is small.
constexpr int64_t kCharactersPerValue = 13;

}  // namespace

grpc::ByteBuffer BufferOf(std::string text) {
  const grpc::Slice slice = SliceOf(std::move(text));
  return {&slice, 1};
}

void AppendBuffer(const grpc::ByteBuffer& buffer, std::string* out) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return;
  for (const grpc::Slice& slice : slices)
    out->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

int64_t JsonVectorBytes(VectorFormat format, int64_t dimensions) {
  constexpr int64_t kQuotes = 4;
  return format == VectorFormat::kFloat32 ? kCharactersPerValue * dimensions
                                          : PackedBytes(format, dimensions) * 4 / 3 + kQuotes;
}

JsonTextWork::JsonTextWork(EncodeInput input, VectorFormat format, Translator translate,
                           Write write)
    : translate_(std::move(translate)), write_(std::move(write)) {
  input_ = std::move(input);
  format_ = format;
}

int64_t JsonTextWork::VectorBytes(const ServiceParts& parts) const {
  return JsonVectorBytes(format_, parts.dimensions(input_.options));
}

absl::Status JsonTextWork::MakeAnswer(grpc::ByteBuffer* answer) {
  std::string text;
  write_(document_, timings_, &text);
  document_ = {};
  *answer = BufferOf(std::move(text));
  return absl::OkStatus();
}

JsonTokensWork::JsonTokensWork(EncodeInput input, Translator translate)
    : translate_(std::move(translate)), field_(input.field) {
  input_ = std::move(input);
}

void JsonTokensWork::Complete(const ServiceParts& parts, EncodeTask::Params* params) {
  width_ = parts.model->token_dimensions;
  room_ = params->answer;
  rows_ = std::make_shared<TokenVectorBuffer>(kRowsPerBlock, /*on_ready=*/nullptr,
                                              TokenPoolingOf(params->input, *parts.model));
  params->token_vectors = rows_;
  params->input.options.token_sink = [rows = rows_, width = width_](int64_t first, int64_t count,
                                                                    const float* values) {
    rows->Push(first, count, width, values);
  };
}

// The room of the floats is counted already. As text they take three times as much.
absl::Status JsonTokensWork::MakeAnswer(grpc::ByteBuffer* answer) {
  rows_->End();
  const int64_t more = kCharactersPerValue - static_cast<int64_t>(sizeof(float));
  absl::Status counted = room_->Add(more * rows_->num_rows() * width_);
  if (absl::IsInvalidArgument(counted)) counted = translate_(AtField(counted, field_));
  if (!counted.ok()) return counted;
  std::string text;
  Write(&text);
  *answer = BufferOf(std::move(text));
  return absl::OkStatus();
}

}  // namespace longspan
