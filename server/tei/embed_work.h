// EmbedWork, EmbedAllWork and EmbedSparseWork: Embed, EmbedAll and EmbedSparse of tei.v1: one text,
// and its pooled vector, the vectors of its tokens or its words.
//
// The token vectors travel in one message. Their bytes are counted twice while they are computed:
// as token vectors (TokenVectorBuffer) and as part of the answer (AnswerRoom), which refuses a text
// with too many before it is computed. A block of vectors is given back as token vectors when it
// becomes bytes of the answer.
//
// Lifetime and thread safety: those of an ItemWork (server/rpc/item_work.h).
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>

#include "server/batching/token_vector_buffer.h"
#include "server/rpc/encode_work.h"

namespace longspan {

class EmbedWork final : public EncodeWork {
 public:
  absl::Status Read(const ServiceParts& parts, const grpc::ByteBuffer& message) override;
  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override;

 private:
  absl::Status Translate(absl::Status status) const override;

  int64_t characters_ = 0;  // of the text
};

class EmbedAllWork final : public EncodeWork {
 public:
  absl::Status Read(const ServiceParts& parts, const grpc::ByteBuffer& message) override;
  int64_t MostAnswerBytes(const ServiceParts& parts) const override;
  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override;

 private:
  void Complete(const ServiceParts& parts, EncodeTask::Params* params) override;
  absl::Status Translate(absl::Status status) const override;
  int64_t NumOtherValues() const override { return document_.tokens_used * width_; }

  int64_t characters_ = 0;  // of the text
  int64_t width_ = 0;       // values of a token's vector
  std::shared_ptr<TokenVectorBuffer> rows_;
};

class EmbedSparseWork final : public EncodeWork {
 public:
  absl::Status Read(const ServiceParts& parts, const grpc::ByteBuffer& message) override;
  int64_t MostAnswerBytes(const ServiceParts& parts) const override;
  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override;

 private:
  absl::Status Translate(absl::Status status) const override;

  int64_t characters_ = 0;  // of the text
};

}  // namespace longspan
