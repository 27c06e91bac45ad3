// Messages as bytes for gRPC: whole, or field by field, so that a large answer is never held as a
// message and as bytes at the same time.
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

// `message` as the field `number` of a message around it, which may be repeated: tag, length, and
// the message itself.
grpc::Slice SerializeField(int number, const google::protobuf::Message& message);
// The same into `out`, behind what is there.
void AppendField(int number, const google::protobuf::Message& message, std::string* out);
// Tag and length of a field `number` of `length` bytes, whose content follows.
std::string FieldHead(int number, uint32_t length);

}  // namespace longspan
