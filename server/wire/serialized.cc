#include "server/wire/serialized.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <iterator>
#include <utility>

namespace longspan {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

namespace {

// Tag and length of a field `number` of `length` bytes, whose content follows.
std::string FieldHead(int number, uint32_t length) {
  uint8_t head[10];
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(
      WireFormatLite::MakeTag(number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), head);
  end = CodedOutputStream::WriteVarint32ToArray(length, end);
  return {reinterpret_cast<const char*>(head), static_cast<size_t>(end - head)};
}

}  // namespace

grpc::Slice SliceOf(std::string bytes) {
  auto* owned = new std::string(std::move(bytes));
  return {owned->data(), owned->size(), [](void* text) { delete static_cast<std::string*>(text); },
          owned};
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  const grpc::Slice slice = SliceOf(message.SerializeAsString());
  return {&slice, 1};
}

void SliceWriter::Append(const google::protobuf::Message& message) {
  message.AppendToString(&open_);
  CloseIfFull();
}

void SliceWriter::AppendField(int number, const google::protobuf::Message& message) {
  open_ += FieldHead(number, static_cast<uint32_t>(message.ByteSizeLong()));
  message.AppendToString(&open_);
  CloseIfFull();
}

void SliceWriter::CloseIfFull() {
  const size_t bytes = open_.size();
  if (bytes < kSliceBytes) return;
  closed_.push_back(SliceOf(std::exchange(open_, {})));
  closed_bytes_ += bytes;
  open_.reserve(bytes);  // there is more to come, most likely as much
}

void SliceWriter::FinishField(int number, std::vector<grpc::Slice>* out) {
  std::string head = FieldHead(number, static_cast<uint32_t>(bytes()));
  if (closed_.empty()) {
    out->push_back(SliceOf(head += open_));
  } else {
    out->push_back(SliceOf(std::move(head)));
    return Finish(out);
  }
  *this = SliceWriter();
}

void SliceWriter::Finish(std::vector<grpc::Slice>* out) {
  std::move(closed_.begin(), closed_.end(), std::back_inserter(*out));
  if (!open_.empty()) out->push_back(SliceOf(std::move(open_)));
  *this = SliceWriter();
}

}  // namespace longspan
