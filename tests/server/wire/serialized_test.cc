// Messages that are serialised field by field are those that protobuf reads.
#include "server/wire/serialized.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <longspan/v1/encoder.pb.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

v1::EncodeResponse Response() {
  v1::EncodeResponse response;
  for (int i = 0; i < 3; ++i) {
    v1::Encoding* encoding = response.add_encodings();
    encoding->set_id(std::string(i * 100, 'x'));  // lengths of one and of two bytes
    for (int value = 0; value < 50 * i; ++value) encoding->mutable_vector()->add_values(value);
  }
  response.mutable_timings()->set_total_ns(123);
  return response;
}

TEST(SerializedTest, AWholeMessage_IsWhatProtobufWrites) {
  EXPECT_EQ(Bytes(SerializeMessage(Response())), Response().SerializeAsString());
  EXPECT_EQ(Bytes(SerializeMessage(v1::EncodeResponse())), "");
}

TEST(SerializedTest, FieldsOneByOne_AreTheWholeMessage) {
  const v1::EncodeResponse whole = Response();
  std::vector<grpc::Slice> slices;
  for (const v1::Encoding& encoding : whole.encodings())
    slices.push_back(SerializeField(v1::EncodeResponse::kEncodingsFieldNumber, encoding));
  slices.push_back(SerializeField(v1::EncodeResponse::kTimingsFieldNumber, whole.timings()));
  EXPECT_EQ(Bytes(grpc::ByteBuffer(slices.data(), slices.size())), whole.SerializeAsString());
}

TEST(SerializedTest, AFieldWhoseContentFollows_HasItsHead) {
  v1::TokenizedText text;
  for (int i = 0; i < 100; ++i) text.add_tokens()->set_id(i);
  std::string tokens;
  for (const v1::Token& token : text.tokens())
    AppendField(v1::TokenizedText::kTokensFieldNumber, token, &tokens);
  v1::TokenizeResponse response;
  *response.add_texts() = text;
  EXPECT_EQ(FieldHead(v1::TokenizeResponse::kTextsFieldNumber, tokens.size()) + tokens,
            response.SerializeAsString());
}

}  // namespace
}  // namespace longspan
