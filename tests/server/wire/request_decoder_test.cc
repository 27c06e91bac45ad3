// What holds for a request as a whole: the number of its inputs, what does not apply to token
// vectors, and Tokenize. The rules of a single input are in input_decoder_test.
#include "server/wire/request_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

class RequestDecoderTest : public ::testing::Test {
 protected:
  RequestDecoderTest() {
    model_.architecture = "tiny";
    model_.vocab_size = 1000;
    model_.output_dimensions = 8;
    model_.prompts = {{"query", "query: "}};
    context_ = {
        .model = &model_, .has_tokenizer = true, .max_texts_per_request = 4, .max_text_bytes = 100};
  }
  static void ExpectRefused(const absl::Status& status, absl::StatusCode code,
                            const std::string& field, const std::string& message) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(FieldOf(status), field);
    EXPECT_EQ(status.message(), absl::StrCat(field, " ", message));
  }

  ModelInfo model_;
  DecodingContext context_;
};

class EncodeRequestTest : public RequestDecoderTest {
 protected:
  absl::StatusOr<DecodedRequest> Decode() const {
    v1::EncodeRequest copy = request_;
    return DecodeEncodeRequest(&copy, context_);
  }
  v1::EncodeRequest request_;
};

TEST_F(EncodeRequestTest, OneInputToTheLimit) {
  ExpectRefused(Decode().status(), kInvalid, "inputs", "is empty; allowed: 1 to 4");
  for (size_t count = 1; count <= 4; ++count) {
    request_.add_inputs()->set_text(absl::StrCat("text ", count));
    const auto decoded = Decode();
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->inputs.size(), count);
    EXPECT_EQ(decoded->inputs.back().text, absl::StrCat("text ", count)) << "in order";
  }
  request_.add_inputs()->set_text("one more");
  ExpectRefused(Decode().status(), kInvalid, "inputs", "has 5 texts; allowed: 1 to 4");
}

TEST_F(EncodeRequestTest, EachInputHasItsPath_AndTheFirstBadOneEndsIt) {
  request_.add_inputs()->set_text("good");
  request_.add_inputs()->mutable_token_ids()->add_ids(5);
  auto decoded = Decode();
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->inputs[0].field, "inputs[0]");
  EXPECT_EQ(decoded->inputs[1].field, "inputs[1]");
  EXPECT_THAT(decoded->inputs[1].token_ids, ElementsAre(5));
  request_.add_inputs();
  request_.add_inputs()->set_text("");
  ExpectRefused(Decode().status(), kInvalid, "inputs[2]",
                "has no content; allowed: text or token_ids");
}

TEST_F(EncodeRequestTest, Format_IsOfTheWholeRequest) {
  request_.add_inputs()->set_text("text");
  for (const auto& [wire, format] : std::vector<std::pair<v1::VectorFormat, VectorFormat>>{
           {v1::VECTOR_FORMAT_UNSPECIFIED, VectorFormat::kFloat32},
           {v1::VECTOR_FORMAT_FLOAT32, VectorFormat::kFloat32},
           {v1::VECTOR_FORMAT_FLOAT16, VectorFormat::kFloat16},
           {v1::VECTOR_FORMAT_BFLOAT16, VectorFormat::kBFloat16},
           {v1::VECTOR_FORMAT_INT8, VectorFormat::kInt8},
           {v1::VECTOR_FORMAT_BINARY, VectorFormat::kBinary}}) {
    request_.mutable_options()->set_vector_format(wire);
    const auto decoded = Decode();
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->format, format);
  }
  request_.mutable_options()->set_vector_format(static_cast<v1::VectorFormat>(6));
  ExpectRefused(Decode().status(), kInvalid, "options.vector_format",
                "is 6; allowed: a value of longspan.v1.VectorFormat, 0..5");
}

TEST_F(EncodeRequestTest, OptionsHoldForEveryInput) {
  request_.add_inputs()->set_text("one");
  request_.add_inputs()->set_text("two");
  request_.mutable_options()->set_dimensions(3);
  const auto decoded = Decode();
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  for (const EncodeInput& input : decoded->inputs) EXPECT_EQ(input.options.dimensions, 3);
}

TEST_F(EncodeRequestTest, TokensArePooled_OnlyWhereTheirVectorsAreTheAnswer) {
  request_.add_inputs()->set_text("one");
  for (const uint32_t factor : {0, 1}) {
    request_.mutable_options()->set_token_pooling(factor);
    EXPECT_TRUE(Decode().ok());
  }
  for (const uint32_t factor : {2, 4}) {
    request_.mutable_options()->set_token_pooling(factor);
    ExpectRefused(
        Decode().status(), kInvalid, "options.token_pooling",
        absl::StrCat("is ", factor,
                     "; allowed: 1, as only EncodeTokens answers with the vectors of tokens"));
  }
  request_.mutable_options()->set_token_pooling(3);
  ExpectRefused(Decode().status(), kInvalid, "options.token_pooling",
                "is 3; allowed: 1, 2, 4, 0 = 1");
}

class TokensRequestTest : public RequestDecoderTest {
 protected:
  TokensRequestTest() { request_.mutable_input()->set_text("text"); }
  absl::StatusOr<EncodeInput> Decode() const {
    v1::EncodeTokensRequest copy = request_;
    return DecodeTokensInput(&copy, context_);
  }
  v1::EncodeOptions& options() { return *request_.mutable_options(); }
  v1::EncodeTokensRequest request_;
};

TEST_F(TokensRequestTest, NoDocumentVector_AndNormalisedOnlyWhereAskedFor) {
  auto input = Decode();
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_EQ(input->field, "input");
  EXPECT_FALSE(input->options.document_vector);
  EXPECT_EQ(input->options.normalize, false) << "whatever the model's own is";
  for (const bool normalize : {false, true}) {
    options().set_normalize(normalize);
    input = Decode();
    ASSERT_TRUE(input.ok()) << input.status();
    EXPECT_EQ(input->options.normalize, normalize);
  }
}

TEST_F(TokensRequestTest, WhatIsOfTextVectors_IsRefused) {
  options().set_pooling(v1::POOLING_MEAN);
  ExpectRefused(Decode().status(), kInvalid, "options.pooling",
                "is set; allowed for token vectors: unset");
  options().Clear();
  options().set_truncation(v1::TRUNCATION_WINDOWS);
  ExpectRefused(Decode().status(), kInvalid, "options.truncation",
                "is WINDOWS; allowed for token vectors: REJECT, HEAD, TAIL, HEAD_TAIL");
  options().Clear();
  options().mutable_lexical();
  ExpectRefused(Decode().status(), kInvalid, "options.lexical",
                "is set; allowed for token vectors: unset");
  options().Clear();
  options().set_dimensions(1);
  ExpectRefused(Decode().status(), kInvalid, "options.dimensions",
                "is set; allowed for token vectors: 0");
}

TEST_F(TokensRequestTest, EveryOtherTruncationIsTaken) {
  for (const auto truncation :
       {v1::TRUNCATION_UNSPECIFIED, v1::TRUNCATION_REJECT, v1::TRUNCATION_HEAD, v1::TRUNCATION_TAIL,
        v1::TRUNCATION_HEAD_TAIL}) {
    options().set_truncation(truncation);
    EXPECT_TRUE(Decode().ok()) << truncation;
  }
}

TEST_F(TokensRequestTest, Pooling_Is1Or2Or4_AndOfDocumentsAlone) {
  for (const auto& [given, factor] :
       std::vector<std::pair<uint32_t, int32_t>>{{0, 1}, {1, 1}, {2, 2}, {4, 4}}) {
    options().set_token_pooling(given);
    const auto input = Decode();
    ASSERT_TRUE(input.ok()) << input.status();
    EXPECT_EQ(input->token_pooling, factor);
  }
  for (const uint32_t given : {3U, 5U, 8U, 0xFFFFFFFFU, 0x80000002U}) {
    options().set_token_pooling(given);
    ExpectRefused(Decode().status(), kInvalid, "options.token_pooling",
                  absl::StrCat("is ", given, "; allowed: 1, 2, 4, 0 = 1"));
  }
  model_.multi_vector.emplace();
  options().set_token_pooling(4);
  options().set_text_role(v1::TEXT_ROLE_DOCUMENT);
  EXPECT_TRUE(Decode().ok());
  options().set_text_role(v1::TEXT_ROLE_QUERY);
  ExpectRefused(Decode().status(), kInvalid, "options.token_pooling",
                "is 4 with TEXT_ROLE_QUERY; allowed: 1, a query keeps the vector of each token");
  options().set_token_pooling(1);
  EXPECT_TRUE(Decode().ok());
}

TEST_F(TokensRequestTest, SpansAreRefused) {
  const std::string message = "asks for spans; allowed for token vectors: none";
  options().set_span_policy(v1::SPAN_POLICY_NONE);
  EXPECT_TRUE(Decode().ok());
  for (const auto policy : {v1::SPAN_POLICY_GIVEN, v1::SPAN_POLICY_SENTENCES,
                            v1::SPAN_POLICY_PARAGRAPHS, v1::SPAN_POLICY_FIXED}) {
    options().set_span_policy(policy);
    ExpectRefused(Decode().status(), kInvalid, "options.span_policy", message);
  }
  options().Clear();
  request_.mutable_input()->add_spans()->set_end(2);
  ExpectRefused(Decode().status(), kInvalid, "options.span_policy", message);
}

TEST_F(TokensRequestTest, TheInputIsCheckedLikeAnyOther) {
  options().set_span_policy(static_cast<v1::SpanPolicy>(-1));
  ExpectRefused(Decode().status(), kInvalid, "options.span_policy",
                "is -1; allowed: a value of longspan.v1.SpanPolicy, 0..5");
  options().Clear();
  request_.clear_input();
  ExpectRefused(Decode().status(), kInvalid, "input", "has no content; allowed: text or token_ids");
}

class TokenizeRequestTest : public RequestDecoderTest {
 protected:
  absl::Status Check() const { return CheckTokenizeRequest(request_, context_); }
  v1::TokenizeRequest request_;
};

TEST_F(TokenizeRequestTest, OneTextToTheLimit) {
  ExpectRefused(Check(), kInvalid, "texts", "is empty; allowed: 1 to 4");
  for (int count = 1; count <= 4; ++count) {
    request_.add_texts("");  // an empty text has no tokens, and is no fault here
    EXPECT_TRUE(Check().ok()) << count;
  }
  request_.add_texts("");
  ExpectRefused(Check(), kInvalid, "texts", "has 5 texts; allowed: 1 to 4");
}

TEST_F(TokenizeRequestTest, EachTextUpToTheLimit) {
  request_.add_texts(std::string(100, 'x'));
  EXPECT_TRUE(Check().ok());
  request_.add_texts(std::string(101, 'x'));
  ExpectRefused(Check(), kInvalid, "texts[1]", "has 101 bytes; allowed: at most 100");
}

TEST_F(TokenizeRequestTest, PromptsByName_AndNoneByDefault) {
  request_.add_texts("text");
  request_.set_prompt_name("query");
  EXPECT_TRUE(Check().ok());
  request_.set_prompt_name("poem");
  ExpectRefused(Check(), kInvalid, "prompt_name", "is 'poem'; allowed: 'query'");
  request_.clear_prompt_name();
  model_.default_prompt_name = "not there";
  EXPECT_TRUE(Check().ok()) << "Tokenize reads no default prompt";
}

TEST_F(TokenizeRequestTest, NeedsATokenizer) {
  request_.add_texts("text");
  context_.has_tokenizer = false;
  const absl::Status status = Check();
  EXPECT_EQ(status.code(), kPrecondition);
  EXPECT_EQ(FieldOf(status), std::nullopt) << "no field is at fault";
  EXPECT_EQ(status.message(),
            "this model has no tokenizer: texts cannot be read; allowed: Encode with token_ids");
}

}  // namespace
}  // namespace longspan
