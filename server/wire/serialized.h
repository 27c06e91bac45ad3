// Messages as bytes for gRPC: whole, or field by field into slices (SliceWriter), so that a large
// answer is never held as a message and as bytes at the same time.
//
// The bytes are allocated by C++ and handed to gRPC as they are. Out of memory is std::bad_alloc
// here; inside gRPC it would end the process.
//
// Free functions without state: thread safe. Proven by serialized_test.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <string>
#include <vector>

namespace longspan {

// A slice that owns `bytes`.
grpc::Slice SliceOf(std::string bytes);

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

// A long message, written part by part. No slice grows far beyond kSliceBytes, so what is
// written is hardly ever copied to make room, and each slice gives its memory back on its own.
//
//   SliceWriter writer;
//   for (const v1::Token& token : tokens) writer.AppendField(kTokensFieldNumber, token);
//   writer.FinishField(v1::TokenizeResponse::kTextsFieldNumber, &answer);
class SliceWriter {
 public:
  static constexpr size_t kSliceBytes = 256 << 10;

  // The fields of `message`, behind what is there.
  void Append(const google::protobuf::Message& message);
  // `message` as the field `number`, behind what is there.
  void AppendField(int number, const google::protobuf::Message& message);
  size_t bytes() const { return closed_bytes_ + open_.size(); }  // of all that was appended

  // Appends to `out`: the field `number` of a message around it, whose content is all that was
  // appended. The writer is empty afterwards.
  void FinishField(int number, std::vector<grpc::Slice>* out);
  // Appends to `out` all that was appended, as a message of its own. The writer is empty
  // afterwards.
  void Finish(std::vector<grpc::Slice>* out);

 private:
  void CloseIfFull();

  std::vector<grpc::Slice> closed_;
  size_t closed_bytes_ = 0;
  std::string open_;
};

}  // namespace longspan
