// EncodeItem: the work on one item of EncodeStream, by whichever door the stream came. This one
// reads and writes protobuf; the item of an HTTP stream (server/rest/encode_lines.cc) has its own
// Parse and MakeAnswer.
//
// Lifetime and thread safety: those of an ItemWork (item_work.h).
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <string>

#include "server/rpc/encode_work.h"
#include "server/wire/answer_size.h"

namespace longspan {

class EncodeItem : public EncodeWork {
 public:
  // `options`: the stream's, which this item may replace. Used while it is read.
  explicit EncodeItem(v1::EncodeOptions* options) : options_(options) {}

  // Of its input, or its beginning where it is too long.
  const std::string& id() const { return id_; }

  absl::Status Read(const ServiceParts& parts, const grpc::ByteBuffer& bytes) final;
  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override;

 protected:
  virtual absl::Status Parse(const ServiceParts& parts, const grpc::ByteBuffer& bytes,
                             v1::EncodeStreamRequest* message);
  // An answer that is larger than its caller takes is refused before it is computed.
  void Complete(const ServiceParts& parts, EncodeTask::Params* params) override;

 private:
  absl::Status Decode(const ServiceParts& parts, v1::EncodeStreamRequest* message);

  v1::EncodeOptions* const options_;
  std::string id_;
  int64_t max_answer_bytes_ = AnswerSize::kAnySize;
};

// The answer to an item that failed.
v1::EncodeStreamResponse RefusedItem(const EncodeItem& item, const absl::Status& status);

}  // namespace longspan
