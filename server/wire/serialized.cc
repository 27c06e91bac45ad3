#include "server/wire/serialized.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <utility>

namespace longspan {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

grpc::Slice SliceOf(std::string bytes) {
  auto* owned = new std::string(std::move(bytes));
  return {owned->data(), owned->size(), [](void* text) { delete static_cast<std::string*>(text); },
          owned};
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  const grpc::Slice slice = SliceOf(message.SerializeAsString());
  return {&slice, 1};
}

std::string FieldHead(int number, uint32_t length) {
  uint8_t head[10];
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(
      WireFormatLite::MakeTag(number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), head);
  end = CodedOutputStream::WriteVarint32ToArray(length, end);
  return {reinterpret_cast<const char*>(head), static_cast<size_t>(end - head)};
}

void AppendField(int number, const google::protobuf::Message& message, std::string* out) {
  *out += FieldHead(number, static_cast<uint32_t>(message.ByteSizeLong()));
  message.AppendToString(out);
}

grpc::Slice SerializeField(int number, const google::protobuf::Message& message) {
  std::string bytes;
  bytes.reserve(16 + message.ByteSizeLong());
  AppendField(number, message, &bytes);
  return SliceOf(std::move(bytes));
}

}  // namespace longspan
