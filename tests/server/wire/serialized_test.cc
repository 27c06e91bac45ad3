// Messages that are written field by field are those that protobuf writes.
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

v1::TokenizedText Tokens(int count) {
  v1::TokenizedText text;
  for (int i = 0; i < count; ++i) {
    text.add_tokens()->set_id(i);
    text.mutable_tokens(i)->set_text(std::string(i % 300, 'x'));
  }
  return text;
}

std::vector<grpc::Slice> Written(const v1::TokenizedText& text) {
  SliceWriter writer;
  for (const v1::Token& token : text.tokens())
    writer.AppendField(v1::TokenizedText::kTokensFieldNumber, token);
  EXPECT_EQ(writer.bytes(), text.ByteSizeLong());
  std::vector<grpc::Slice> slices;
  writer.FinishField(v1::TokenizeResponse::kTextsFieldNumber, &slices);
  EXPECT_EQ(writer.bytes(), 0u);
  return slices;
}

TEST(SerializedTest, FieldsOneByOne_AreAMessageOfTheirOwn) {
  for (const int count : {0, 1, 100, 20'000}) {
    const v1::TokenizedText text = Tokens(count);
    SliceWriter writer;
    for (const v1::Token& token : text.tokens())
      writer.AppendField(v1::TokenizedText::kTokensFieldNumber, token);
    std::vector<grpc::Slice> slices;
    writer.Finish(&slices);
    EXPECT_EQ(writer.bytes(), 0u);
    if (count == 0) {
      EXPECT_TRUE(slices.empty());
      continue;
    }
    EXPECT_EQ(Bytes(grpc::ByteBuffer(slices.data(), slices.size())), text.SerializeAsString());
  }
}

// Below, at and above one slice; 20,000 tokens take 3 MB.
TEST(SerializedTest, FieldsOneByOne_AreTheWholeMessage) {
  for (const int count : {0, 1, 100, 1700, 1800, 20'000}) {
    v1::TokenizeResponse response;
    *response.add_texts() = Tokens(count);
    std::vector<grpc::Slice> slices = Written(response.texts(0));
    EXPECT_EQ(Bytes(grpc::ByteBuffer(slices.data(), slices.size())), response.SerializeAsString())
        << count;
  }
}

TEST(SerializedTest, SeveralFieldsFollowEachOther) {
  v1::EncodeResponse whole = Response();
  whole.clear_timings();
  std::vector<grpc::Slice> slices;
  SliceWriter writer;
  for (const v1::Encoding& encoding : whole.encodings()) {
    writer.Append(encoding);
    writer.FinishField(v1::EncodeResponse::kEncodingsFieldNumber, &slices);
  }
  EXPECT_EQ(Bytes(grpc::ByteBuffer(slices.data(), slices.size())), whole.SerializeAsString());
}

TEST(SerializedTest, ALongMessageIsInSlicesOfOneSize_AShortOneInOne) {
  EXPECT_EQ(Written(Tokens(1000)).size(), 1u);
  const std::vector<grpc::Slice> slices = Written(Tokens(20'000));
  ASSERT_GT(slices.size(), 10u);
  for (const grpc::Slice& slice : slices) EXPECT_LT(slice.size(), SliceWriter::kSliceBytes + 400);
}

}  // namespace
}  // namespace longspan
