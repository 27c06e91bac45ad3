#include "server/wire/lexical_codec.h"

#include <gmock/gmock.h>

#include <limits>
#include <string>

#include "core/error_details.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

void ExpectRefused(const v1::LexicalOptions& options, const std::string& field,
                   const std::string& text) {
  const absl::Status status = DecodeLexicalOptions(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_EQ(FieldOf(status).value_or(""), "options.lexical." + field);
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}

TEST(LexicalOptionsTest, AnEmptyMessage_IsFastembedsDefaults) {
  const auto options = DecodeLexicalOptions({});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->language, "");
  EXPECT_EQ(options->k1, 1.2);
  EXPECT_EQ(options->b, 0.75);
  EXPECT_EQ(options->average_length, 256);
  EXPECT_EQ(options->average_span_length, 256);
  EXPECT_FALSE(options->query);
}

TEST(LexicalOptionsTest, WhatIsSetHolds) {
  v1::LexicalOptions wire;
  wire.set_language("german");
  wire.set_k1(0);
  wire.set_b(0);
  wire.set_average_length(900);
  wire.add_stop_words("der");
  wire.set_query(true);
  auto options = DecodeLexicalOptions(wire);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->language, "german");
  EXPECT_EQ(options->k1, 0);
  EXPECT_EQ(options->b, 0);
  EXPECT_EQ(options->average_length, 900);
  EXPECT_EQ(options->average_span_length, 900) << "as average_length";
  EXPECT_THAT(options->stop_words, ElementsAre("der"));
  EXPECT_TRUE(options->query);
  wire.set_average_span_length(20);
  EXPECT_EQ(DecodeLexicalOptions(wire)->average_span_length, 20);
}

TEST(LexicalOptionsTest, NumbersOutsideTheirRange_AreRefused) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad : {-0.1, kNan, kInfinity, -kInfinity, 1e10}) {
    v1::LexicalOptions options;
    options.set_k1(bad);
    ExpectRefused(options, "k1", "; allowed: 0 to 1e9");
    options.Clear();
    options.set_b(bad);
    ExpectRefused(options, "b", "; allowed: 0 to 1");
    options.Clear();
    options.set_average_length(bad);
    ExpectRefused(options, "average_length", "; allowed: 0 to 1e9, 0 = the default");
    options.Clear();
    options.set_average_span_length(bad);
    ExpectRefused(options, "average_span_length", "; allowed: 0 to 1e9, 0 = the default");
  }
  v1::LexicalOptions options;
  options.set_b(1.01);
  ExpectRefused(options, "b", "is 1.01; allowed: 0 to 1");
}

TEST(LexicalOptionsTest, AnUnknownLanguage_IsRefused_WithThoseThatAreKnown) {
  v1::LexicalOptions options;
  options.set_language("klingon");
  ExpectRefused(options, "language", "is 'klingon'; allowed: arabic, ");
}

TEST(LexicalOptionsTest, StopWords_AreBoundedInNumberAndLength) {
  v1::LexicalOptions options;
  for (int i = 0; i < kMaxStopWords; ++i) options.add_stop_words("word");
  EXPECT_TRUE(DecodeLexicalOptions(options).ok());
  options.set_stop_words(7, std::string(128, 'x'));
  EXPECT_TRUE(DecodeLexicalOptions(options).ok());
  options.set_stop_words(7, std::string(129, 'x'));
  ExpectRefused(options, "stop_words[7]", "has 129 bytes; allowed: at most 128");
  options.set_stop_words(7, "x");
  options.add_stop_words("one more");
  ExpectRefused(options, "stop_words", "are 1025; allowed: at most 1024");
}

TEST(LexicalMessageTest, ItsBytesAreKnownBeforeItIsMade) {
  for (const int entries : {0, 1, 25, 26, 400, 50000}) {
    LexicalVector vector;
    for (int i = 0; i < entries; ++i) {
      vector.indices.push_back(static_cast<uint32_t>(i) * 42949);  // of one byte to five
      vector.values.push_back(static_cast<float>(i));
    }
    v1::LexicalVector message;
    FillLexical(vector, &message);
    EXPECT_THAT(message.indices(), ElementsAreArray(vector.indices));
    EXPECT_THAT(message.values(), ElementsAreArray(vector.values));
    EXPECT_EQ(LexicalMessageBytes(vector), static_cast<int64_t>(message.ByteSizeLong()));
  }
}

}  // namespace
}  // namespace longspan
