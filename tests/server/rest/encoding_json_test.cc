// Answers as JSON against the messages that gRPC's callers get: protobuf reads the one into the
// other.
#include "server/rest/encoding_json.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <gtest/gtest.h>
#include <longspan/v1/encoder.pb.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/rest/json_writer.h"
#include "server/wire/response_encoder.h"

namespace longspan {
namespace {

using google::protobuf::util::MessageDifferencer;

EncodedDocument Document(bool with_vector, int num_spans) {
  EncodedDocument document;
  if (with_vector) document.vector = {0.1F, -1e-30F, 3.4e38F, 0, -0.25F};
  for (int i = 0; i < num_spans; ++i) {
    EncodedSpan span;
    if (i % 2 == 0) {
      span.bytes = {i, i + 3};
      span.characters = {i, i + 2};
    }
    span.tokens = {i, i + 1};
    span.vector = {1.0F / static_cast<float>(i + 3), 2, -3, 1e-7F, 5};
    if (i == 1) span.lexical = std::make_shared<LexicalVector>();
    if (i == 2) span.lexical = std::make_shared<LexicalVector>(LexicalVector{{7}, {0.5F}});
    document.spans.push_back(span);
  }
  document.tokens_total = 12;
  document.tokens_used = 9;
  document.truncated = true;
  document.used_text = {{0, 5}, {7, 20}};
  if (num_spans > 1) {
    document.lexical =
        std::make_shared<LexicalVector>(LexicalVector{{7, 2147483648}, {1.9830986F, 1e-7F}});
  }
  return document;
}

v1::EncodeResponse AsGrpcHasIt(const EncodedDocument& document, const std::string& id,
                               VectorFormat format) {
  std::vector<grpc::Slice> slices;
  AppendEncoding(v1::EncodeResponse::kEncodingsFieldNumber, document, id, format, &slices);
  grpc::ByteBuffer bytes(slices.data(), slices.size());
  grpc::ProtoBufferReader reader(&bytes);
  v1::EncodeResponse response;
  EXPECT_TRUE(response.ParseFromZeroCopyStream(&reader));
  return response;
}

TEST(EncodingJsonTest, SaysWhatTheMessageSays) {
  for (const VectorFormat format :
       {VectorFormat::kFloat32, VectorFormat::kFloat16, VectorFormat::kBFloat16,
        VectorFormat::kInt8, VectorFormat::kBinary}) {
    for (const int num_spans : {0, 1, 4}) {
      const EncodedDocument document = Document(num_spans != 1, num_spans);
      const std::string id = "a \"name\"\n\xc3\xa9";
      std::string json;
      AppendEncodingJson(document, id, format, &json);
      v1::Encoding read;
      const auto status = google::protobuf::util::JsonStringToMessage(json, &read);
      ASSERT_TRUE(status.ok()) << status << "\n" << json;
      const v1::EncodeResponse expected = AsGrpcHasIt(document, id, format);
      EXPECT_TRUE(MessageDifferencer::Equals(expected.encodings(0), read))
          << json << "\n"
          << expected.encodings(0).DebugString();
    }
  }
}

TEST(EncodingJsonTest, CountsAreThereWhereTheyAreZero) {
  std::string json;
  AppendEncodingJson(EncodedDocument(), "", VectorFormat::kFloat32, &json);
  const auto read = nlohmann::json::parse(json);
  EXPECT_EQ(read["tokensTotal"], "0");
  EXPECT_EQ(read["truncated"], false);
  EXPECT_EQ(read["id"], "");
  EXPECT_FALSE(read.contains("vector"));
}

// The shortest text of a float reads back as the same float.
TEST(EncodingJsonTest, NoBitOfAFloatIsLost) {
  std::vector<float> values = {0.0F, -0.0F, 1e-45F, 3.4028235e38F, 1.17549435e-38F};
  for (uint32_t bits = 1; bits < 0x7f800000; bits += 9'999'991)
    values.push_back(std::bit_cast<float>(bits));
  std::string json;
  AppendJsonFloats(values, &json);
  const auto read = nlohmann::json::parse(json);
  ASSERT_EQ(read.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::strtof(read[i].dump().c_str(), nullptr), values[i]);
  }
}

TEST(EncodingJsonTest, TextsAndBytesAreJson) {
  std::string json;
  AppendJsonString("a\"\\\n\x01\xc3\xa9\xf0\x9f\x98\x80", &json);
  EXPECT_EQ(nlohmann::json::parse(json), "a\"\\\n\x01\xc3\xa9\xf0\x9f\x98\x80");
  json.clear();
  AppendJsonBase64(std::string("\0\xff\x10", 3), &json);
  EXPECT_EQ(json, "\"AP8Q\"");
}

TEST(EncodingJsonTest, TimingsAreThoseOfTheMessage) {
  StageTimings timings;
  timings.compute = absl::Milliseconds(7);
  timings.batch_pieces = 3;
  std::string json;
  AppendTimingsJson(timings, &json);
  v1::Timings read;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &read).ok());
  EXPECT_EQ(read.compute_ns(), 7'000'000);
  EXPECT_EQ(read.batch_texts(), 3);
}

}  // namespace
}  // namespace longspan
