#include "server/tei/embed_work.h"

#include <tei/v1/tei.pb.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "server/rpc/rpc_call.h"
#include "server/tei/metadata.h"
#include "server/tei/tei_errors.h"
#include "server/tei/tei_requests.h"
#include "server/text/text_segments.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

// Rows that are held in one piece between the pass and the answer: 1 MiB of 1,024 floats each.
constexpr int64_t kRowsPerBlock = 256;
// Tokens that a tokenizer may put around a text, and more.
constexpr int64_t kFrameTokens = 64;

// A SparseValue as a field: an index of at most 5 bytes, a float, their tags and the length.
constexpr int64_t kSparseValueBytes = 13;

}  // namespace

absl::Status EmbedWork::Read(const ServiceParts& parts, const grpc::ByteBuffer& message) {
  tei::v1::EmbedRequest request;
  if (absl::Status status = ParseRequest(parts, message, &request); !status.ok()) return status;
  auto input = DecodeEmbedRequest(&request, parts.decoding());
  if (!input.ok()) return input.status();
  input_ = *std::move(input);
  characters_ = CountCharacters(input_.text);
  return absl::OkStatus();
}

absl::Status EmbedWork::Translate(absl::Status status) const { return InTeiWords(status); }

absl::Status EmbedWork::MakeAnswer(grpc::ByteBuffer* answer) {
  tei::v1::EmbedResponse response;
  response.mutable_embeddings()->Add(document_.vector.begin(), document_.vector.end());
  FillMetadata(characters_, document_.tokens_used, timings_, response.mutable_metadata());
  *answer = SerializeMessage(response);
  return absl::OkStatus();
}

absl::Status EmbedAllWork::Read(const ServiceParts& parts, const grpc::ByteBuffer& message) {
  tei::v1::EmbedAllRequest request;
  if (absl::Status status = ParseRequest(parts, message, &request); !status.ok()) return status;
  auto input = DecodeEmbedAllRequest(&request, parts.decoding());
  if (!input.ok()) return input.status();
  input_ = *std::move(input);
  characters_ = CountCharacters(input_.text);
  return absl::OkStatus();
}

// A token has at least one byte of the text or of the prompt.
int64_t EmbedAllWork::MostAnswerBytes(const ServiceParts& parts) const {
  int64_t tokens = static_cast<int64_t>(input_.text.size() + input_.prompt.size()) + kFrameTokens;
  if (parts.max_tokens() > 0) tokens = std::min(tokens, parts.max_tokens());
  return tokens * parts.model->token_dimensions * static_cast<int64_t>(sizeof(float));
}

void EmbedAllWork::Complete(const ServiceParts& parts, EncodeTask::Params* params) {
  width_ = parts.model->token_dimensions;
  rows_ = std::make_shared<TokenVectorBuffer>(kRowsPerBlock, /*on_ready=*/nullptr);
  params->token_vectors = rows_;
  params->input.options.token_sink = [rows = rows_, width = width_](int64_t first, int64_t count,
                                                                    const float* values) {
    rows->Push(first, count, width, values);
  };
}

absl::Status EmbedAllWork::Translate(absl::Status status) const { return InTeiWords(status); }

absl::Status EmbedAllWork::MakeAnswer(grpc::ByteBuffer* answer) {
  SliceWriter writer;
  tei::v1::TokenEmbedding token;  // keeps its memory from token to token
  while (const auto block = rows_->TryPop()) {
    for (int64_t row = 0; row < block->num_rows; ++row) {
      const auto values = block->values.begin() + row * width_;
      token.Clear();
      token.mutable_embeddings()->Add(values, values + width_);
      writer.AppendField(tei::v1::EmbedAllResponse::kTokenEmbeddingsFieldNumber, token);
    }
  }
  tei::v1::EmbedAllResponse rest;
  FillMetadata(characters_, document_.tokens_used, timings_, rest.mutable_metadata());
  writer.Append(rest);
  std::vector<grpc::Slice> slices;
  writer.Finish(&slices);
  *answer = grpc::ByteBuffer(slices.data(), slices.size());
  return absl::OkStatus();
}

absl::Status EmbedSparseWork::Read(const ServiceParts& parts, const grpc::ByteBuffer& message) {
  tei::v1::EmbedSparseRequest request;
  if (absl::Status status = ParseRequest(parts, message, &request); !status.ok()) return status;
  auto input = DecodeEmbedSparseRequest(&request, parts.decoding());
  if (!input.ok()) return input.status();
  input_ = *std::move(input);
  characters_ = CountCharacters(input_.text);
  return absl::OkStatus();
}

// A word and what stands before the next one have at least two bytes of the text.
int64_t EmbedSparseWork::MostAnswerBytes(const ServiceParts& /*parts*/) const {
  return static_cast<int64_t>(input_.text.size()) / 2 * kSparseValueBytes;
}

absl::Status EmbedSparseWork::Translate(absl::Status status) const { return InTeiWords(status); }

absl::Status EmbedSparseWork::MakeAnswer(grpc::ByteBuffer* answer) {
  SliceWriter writer;
  tei::v1::SparseValue value;
  const LexicalVector& words = *document_.lexical;
  for (size_t i = 0; i < words.indices.size(); ++i) {
    value.set_index(words.indices[i]);
    value.set_value(words.values[i]);
    writer.AppendField(tei::v1::EmbedSparseResponse::kSparseEmbeddingsFieldNumber, value);
  }
  tei::v1::EmbedSparseResponse rest;
  FillMetadata(characters_, document_.tokens_used, timings_, rest.mutable_metadata());
  writer.Append(rest);
  std::vector<grpc::Slice> slices;
  writer.Finish(&slices);
  *answer = grpc::ByteBuffer(slices.data(), slices.size());
  return absl::OkStatus();
}

}  // namespace longspan
