// JsonTextWork and JsonTokensWork: the work on one text of an HTTP request, whose answer is a piece
// of JSON: a pooled vector with its spans, or the vectors of all its tokens. The route says how the
// piece is written.
//
// Lifetime and thread safety: those of an ItemWork (server/rpc/item_work.h).
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/batching/answer_room.h"
#include "server/batching/token_vector_buffer.h"
#include "server/rpc/encode_work.h"

namespace longspan {

// An error of the engine in the words of the route.
using Translator = std::function<absl::Status(const absl::Status& status)>;

class JsonTextWork final : public EncodeWork {
 public:
  // Appends the piece of JSON. May throw std::bad_alloc.
  using Write = std::function<void(const EncodedDocument& document, const StageTimings& timings,
                                   std::string* out)>;
  JsonTextWork(EncodeInput input, VectorFormat format, Translator translate, Write write);

  int64_t VectorBytes(const ServiceParts& parts) const override;
  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override;

 private:
  absl::Status Translate(absl::Status status) const override { return translate_(status); }

  const Translator translate_;
  const Write write_;
};

// Holds the vectors of one text's tokens until they are written. Their bytes are counted twice
// while they are computed, as in EmbedAllWork (server/tei/embed_work.h).
class JsonTokensWork : public EncodeWork {
 public:
  JsonTokensWork(EncodeInput input, Translator translate);

  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override;

 protected:
  // The next rows, in order; nullopt behind the last.
  std::optional<TokenVectorBuffer::Block> NextRows() { return rows_->TryPop(); }
  int64_t width() const { return width_; }  // values of a token's vector
  // Appends the piece of JSON. May throw std::bad_alloc.
  virtual void Write(std::string* out) = 0;

 private:
  void Complete(const ServiceParts& parts, EncodeTask::Params* params) override;
  absl::Status Translate(absl::Status status) const override { return translate_(status); }
  int64_t NumOtherValues() const override { return rows_->num_rows() * width_; }

  const Translator translate_;
  const std::string field_;  // the input's path
  int64_t width_ = 0;
  std::shared_ptr<TokenVectorBuffer> rows_;
  std::shared_ptr<AnswerRoom> room_;
};

// Bytes of one vector as JSON, about.
int64_t JsonVectorBytes(VectorFormat format, int64_t dimensions);

// The bytes of a text as gRPC's slices, and back.
grpc::ByteBuffer BufferOf(std::string text);
void AppendBuffer(const grpc::ByteBuffer& buffer, std::string* out);

}  // namespace longspan
