// The encoding of a text, written span by span, is the message that protobuf reads.
#include "server/wire/response_encoder.h"

#include <gmock/gmock.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace longspan {
namespace {

using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

std::vector<float> Vector(int seed, int dimensions) {
  std::vector<float> values(dimensions);
  for (int i = 0; i < dimensions; ++i) values[i] = static_cast<float>((seed + i) % 19 - 9) / 8;
  return values;
}

std::shared_ptr<const LexicalVector> Words(int words) {
  LexicalVector vector;
  for (int i = 0; i < words; ++i) {
    vector.indices.push_back(static_cast<uint32_t>(i) * (1u << 31) / static_cast<uint32_t>(words));
    vector.values.push_back(static_cast<float>(i) / 3);
  }
  return std::make_shared<LexicalVector>(std::move(vector));
}

EncodedDocument Document(int spans, int dimensions, bool of_text = true) {
  EncodedDocument document;
  document.vector = Vector(-1, dimensions);
  document.tokens_total = 1000;
  document.tokens_used = 900;
  document.truncated = true;
  if (of_text) document.used_text = {{0, 70}, {90, 4000}};
  if (of_text && spans != 1) document.lexical = Words(100 * spans);
  for (int i = 0; i < spans; ++i) {
    EncodedSpan span;
    if (of_text) {
      span.bytes = {3 * i, 3 * i + 300};
      span.characters = {2 * i, 2 * i + 200};
    }
    span.tokens = {i, i + 100};
    span.vector = Vector(i, dimensions);
    if (of_text && i % 3 > 0) span.lexical = Words(i % 3 - 1 + i / 10);
    document.spans.push_back(std::move(span));
  }
  return document;
}

v1::EncodeResponse Sent(const EncodedDocument& document, VectorFormat format) {
  std::vector<grpc::Slice> slices;
  AppendEncoding(v1::EncodeResponse::kEncodingsFieldNumber, document, std::string(6, 'i'), format,
                 &slices);
  std::string bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  v1::EncodeResponse response;
  EXPECT_TRUE(response.ParseFromString(bytes));
  // Written in the order of the field numbers, once each: what protobuf itself would write.
  EXPECT_EQ(response.SerializeAsString(), bytes);
  return response;
}

void ExpectWords(bool sent, const v1::LexicalVector& message,
                 const std::shared_ptr<const LexicalVector>& words) {
  EXPECT_EQ(sent, words != nullptr);
  if (words == nullptr) return;
  EXPECT_THAT(message.indices(), ElementsAreArray(words->indices));
  EXPECT_THAT(message.values(), ElementsAreArray(words->values));
}

void ExpectVector(const v1::Vector& sent, const std::vector<float>& values, VectorFormat format) {
  EXPECT_EQ(sent.dimensions(), values.size());
  if (format == VectorFormat::kFloat32) {
    EXPECT_THAT(sent.values(), ElementsAreArray(values));
    EXPECT_THAT(sent.data(), IsEmpty());
    return;
  }
  std::string packed;
  float scale = 0;
  AppendPacked(values, format, &packed, &scale);
  EXPECT_EQ(sent.data(), packed);
  EXPECT_EQ(sent.scale(), scale);
  EXPECT_THAT(sent.values(), IsEmpty());
}

TEST(ResponseEncoderTest, AnEncodingHoldsAllOfTheDocument_InEveryFormat) {
  for (const VectorFormat format :
       {VectorFormat::kFloat32, VectorFormat::kFloat16, VectorFormat::kBFloat16,
        VectorFormat::kInt8, VectorFormat::kBinary}) {
    for (const int spans : {0, 1, 7, 3000}) {
      const EncodedDocument document = Document(spans, 48);
      const v1::EncodeResponse response = Sent(document, format);
      ASSERT_EQ(response.encodings_size(), 1);
      const v1::Encoding& encoding = response.encodings(0);
      EXPECT_EQ(encoding.id(), "iiiiii");
      EXPECT_EQ(encoding.tokens_total(), 1000u);
      EXPECT_EQ(encoding.tokens_used(), 900u);
      EXPECT_TRUE(encoding.truncated());
      ASSERT_EQ(encoding.used_text_size(), 2);
      EXPECT_EQ(encoding.used_text(1).begin(), 90u);
      ExpectVector(encoding.vector(), document.vector, format);
      ExpectWords(encoding.has_lexical(), encoding.lexical(), document.lexical);
      ASSERT_EQ(encoding.spans_size(), spans);
      for (int i = 0; i < spans; ++i) {
        const v1::SpanEncoding& span = encoding.spans(i);
        EXPECT_EQ(span.bytes().begin(), 3u * i);
        EXPECT_EQ(span.bytes().end(), 3u * i + 300);
        EXPECT_EQ(span.characters().end(), 2u * i + 200);
        EXPECT_EQ(span.tokens().begin(), static_cast<uint64_t>(i));
        ExpectVector(span.vector(), document.spans[i].vector, format);
        ExpectWords(span.has_lexical(), span.lexical(), document.spans[i].lexical);
      }
    }
  }
}

TEST(ResponseEncoderTest, SpansOfTokenIdsHaveNeitherBytesNorCharacters) {
  const v1::Encoding encoding =
      Sent(Document(3, 8, /*of_text=*/false), VectorFormat::kFloat32).encodings(0);
  for (const v1::SpanEncoding& span : encoding.spans()) {
    EXPECT_FALSE(span.has_bytes());
    EXPECT_FALSE(span.has_characters());
    EXPECT_TRUE(span.has_tokens());
  }
}

TEST(ResponseEncoderTest, WithoutADocumentVectorThereIsNone) {
  EncodedDocument document = Document(2, 8);
  document.vector.clear();
  EXPECT_FALSE(Sent(document, VectorFormat::kInt8).encodings(0).has_vector());
}

// The size that is known before the vectors are: exactly what is sent.
TEST(ResponseEncoderTest, EncodingBytes_AreThoseThatAreSent) {
  for (const VectorFormat format : {VectorFormat::kFloat32, VectorFormat::kFloat16,
                                    VectorFormat::kInt8, VectorFormat::kBinary}) {
    for (const int dimensions : {1, 31, 384, 5000}) {
      for (const int spans : {0, 1, 300}) {
        for (const bool of_text : {true, false}) {
          EncodedDocument document = Document(spans, dimensions, of_text);
          PreparedText prepared;
          prepared.document.resize(spans % 2 == 0 ? 1 : 0);
          if (prepared.document.empty()) document.vector.clear();
          prepared.tokens_total = document.tokens_total;
          prepared.tokens_used = document.tokens_used;
          prepared.used_text = document.used_text;
          for (const EncodedSpan& span : document.spans)
            prepared.spans.push_back({span.bytes, span.characters, span.tokens, {}, span.lexical});
          prepared.lexical = document.lexical;
          const size_t sent = Sent(document, format).ByteSizeLong();
          EXPECT_EQ(EncodingBytes(prepared, 6, format, dimensions), static_cast<int64_t>(sent))
              << dimensions << " " << spans << " " << of_text;
        }
      }
    }
  }
}

TEST(ResponseEncoderTest, TheTimings_AreWithinTheirBound) {
  v1::EncodeResponse response;
  v1::Timings* timings = response.mutable_timings();
  timings->set_tokenize_ns(UINT64_MAX);
  timings->set_queue_ns(UINT64_MAX);
  timings->set_compute_ns(UINT64_MAX);
  timings->set_total_ns(UINT64_MAX);
  timings->set_batch_texts(UINT32_MAX);
  timings->set_batch_tokens(UINT64_MAX);
  EXPECT_LE(response.ByteSizeLong(), static_cast<size_t>(kMostTimingsBytes));
}

}  // namespace
}  // namespace longspan
