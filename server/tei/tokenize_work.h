// TokenizeWork and DecodeWork: Tokenize and Decode of tei.v1, done on a tokenizer thread.
//
// They hold a permit for the bytes of their message, and the room of the answer is counted while it
// grows. A long text is read part by part, and between the parts the work looks whether anybody
// still waits. Before ids are decoded, the lengths of their tokens are added up: a few bytes of ids
// can stand for very many of text.
//
// Lifetime and thread safety: those of an ItemWork (server/rpc/item_work.h).
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <tei/v1/tei.pb.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/tokenizer/tokenizer.h"
#include "server/rpc/item_work.h"

namespace longspan {

// Work on a tokenizer thread, whose outcome is the bytes of the answer.
class TokenizerWork : public ItemWork {
 public:
  AdmissionClaim Claim(const ServiceParts& parts) const final;
  void Begin(const ServiceParts& parts, WorkOrder order) final;
  absl::Status MakeAnswer(grpc::ByteBuffer* answer) final;

 protected:
  // Bytes of the message that the work goes through.
  virtual int64_t InputBytes() const = 0;
  // On the tokenizer's thread. `order` tells whether anybody still waits, and counts the answer.
  virtual absl::StatusOr<grpc::ByteBuffer> Run(const ServiceParts& parts,
                                               const WorkOrder& order) = 0;
  // CANCELLED or DEADLINE_EXCEEDED where nobody waits any more.
  static absl::Status Abandoned(const ServiceParts& parts, const WorkOrder& order);

 private:
  void OnTurn(const ServiceParts& parts, WorkOrder order, const absl::Status& status);

  grpc::ByteBuffer answer_;
};

// Where the tokens of one text go, one after the other: the answer as it grows.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void Append(const tei::v1::SimpleToken& token) = 0;
  virtual size_t bytes() const = 0;  // appended so far
  virtual grpc::ByteBuffer Finish() = 0;
};

class TokenizeWork : public TokenizerWork {
 public:
  TokenizeWork() = default;
  // A request that is read and checked, with the text of its prompt.
  TokenizeWork(tei::v1::EncodeRequest request, std::string prompt, std::string field)
      : field_(std::move(field)), request_(std::move(request)), prompt_(std::move(prompt)) {}

  absl::Status Read(const ServiceParts& parts, const grpc::ByteBuffer& message) override;
  int64_t MostAnswerBytes(const ServiceParts& parts) const override;

 private:
  int64_t InputBytes() const override;
  absl::StatusOr<grpc::ByteBuffer> Run(const ServiceParts& parts, const WorkOrder& order) override;
  // An EncodeResponse, unless a derived class writes another answer.
  virtual std::unique_ptr<TokenSink> NewSink() const;

  const std::string field_ = "inputs";  // of the text, for errors
  tei::v1::EncodeRequest request_;
  std::string prompt_;
};

class DecodeWork : public TokenizerWork {
 public:
  DecodeWork() = default;
  // A request that is read and checked.
  DecodeWork(tei::v1::DecodeRequest request, std::string field)
      : field_(std::move(field)), request_(std::move(request)) {}

  absl::Status Read(const ServiceParts& parts, const grpc::ByteBuffer& message) override;
  int64_t MostAnswerBytes(const ServiceParts& parts) const override;

 private:
  int64_t InputBytes() const override;
  absl::StatusOr<grpc::ByteBuffer> Run(const ServiceParts& parts, const WorkOrder& order) override;
  // The bytes of all tokens together, which is about what the text will have.
  absl::StatusOr<int64_t> CountTextBytes(const ServiceParts& parts, const WorkOrder& order) const;
  // A DecodeResponse, unless a derived class writes another answer.
  virtual grpc::ByteBuffer Serialize(std::string text) const;

  const std::string field_ = "ids";  // for errors
  tei::v1::DecodeRequest request_;
};

}  // namespace longspan
