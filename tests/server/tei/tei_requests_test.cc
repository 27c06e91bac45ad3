// The requests of tei.v1 as plain values. What they refuse is in tei_test, on a real server.
#include "server/tei/tei_requests.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "core/error_details.h"

namespace longspan {
namespace {

class TeiRequestsTest : public ::testing::Test {
 protected:
  TeiRequestsTest() {
    model_.architecture = "tiny";
    model_.vocab_size = 1000;
    model_.output_dimensions = 8;
    model_.prompts = {{"query", "query: "}, {"passage", "passage: "}};
    model_.default_prompt_name = "passage";
    context_ = {
        .model = &model_, .has_tokenizer = true, .max_texts_per_request = 4, .max_text_bytes = 100};
    request_.set_inputs("a text");
  }
  EncodeInput Decoded(tei::v1::EmbedRequest request) const {
    auto input = DecodeEmbedRequest(&request, context_);
    EXPECT_TRUE(input.ok()) << input.status();
    return input.ok() ? *std::move(input) : EncodeInput();
  }

  ModelInfo model_;
  DecodingContext context_;
  tei::v1::EmbedRequest request_;
};

TEST_F(TeiRequestsTest, Defaults_Normalise_RejectLongTexts_KeepAllDimensions) {
  const EncodeInput input = Decoded(request_);
  EXPECT_EQ(input.field, "inputs");
  EXPECT_EQ(input.text, "a text");
  EXPECT_EQ(input.options.normalize, true);
  EXPECT_EQ(input.options.dimensions, 0);
  EXPECT_TRUE(input.options.document_vector);
  EXPECT_EQ(input.truncation, Truncation::kReject);
  EXPECT_EQ(input.prompt, "passage: ") << "the model's default";
}

TEST_F(TeiRequestsTest, WhatIsGivenHolds) {
  request_.set_normalize(false);
  request_.set_dimensions(8);
  request_.set_prompt_name("query");
  const EncodeInput input = Decoded(request_);
  EXPECT_EQ(input.options.normalize, false);
  EXPECT_EQ(input.options.dimensions, 8);
  EXPECT_EQ(input.prompt, "query: ");
}

TEST_F(TeiRequestsTest, Truncation_ByTheEndThatIsCutOff) {
  request_.set_truncation_direction(tei::v1::TRUNCATION_DIRECTION_LEFT);
  EXPECT_EQ(Decoded(request_).truncation, Truncation::kReject)
      << "the direction alone cuts nothing";
  request_.set_truncate(true);
  EXPECT_EQ(Decoded(request_).truncation, Truncation::kTail);
  request_.set_truncation_direction(tei::v1::TRUNCATION_DIRECTION_RIGHT);
  EXPECT_EQ(Decoded(request_).truncation, Truncation::kHead);
}

TEST_F(TeiRequestsTest, EmbedAll_WantsTokenVectorsAlone_AsTheyAre) {
  tei::v1::EmbedAllRequest request;
  request.set_inputs("a text");
  request.set_truncate(true);
  const auto input = DecodeEmbedAllRequest(&request, context_);
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_FALSE(input->options.document_vector);
  EXPECT_EQ(input->options.normalize, false);
  EXPECT_EQ(input->truncation, Truncation::kHead);
}

TEST_F(TeiRequestsTest, EmbedSparse_WantsWordsAlone_WithoutThePrompt) {
  for (const bool query : {false, true}) {
    tei::v1::EmbedSparseRequest request;
    request.set_inputs("a text");
    request.set_truncate(true);
    if (query) request.set_prompt_name("query");
    const auto input = DecodeEmbedSparseRequest(&request, context_);
    ASSERT_TRUE(input.ok()) << input.status();
    ASSERT_TRUE(input->lexical.has_value());
    EXPECT_EQ(input->lexical->query, query);
    EXPECT_FALSE(input->options.document_vector);
    EXPECT_EQ(input->prompt, "");
    EXPECT_EQ(input->truncation, Truncation::kHead);
  }
}

TEST_F(TeiRequestsTest, EmbedSparse_KnowsQuestionsAndDocuments) {
  tei::v1::EmbedSparseRequest request;
  request.set_inputs("a text");
  request.set_prompt_name("passage");
  const absl::Status refused = DecodeEmbedSparseRequest(&request, context_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(refused).value_or(""), "prompt_name");
  EXPECT_EQ(refused.message(), "prompt_name is 'passage'; allowed for words: query, document");
  request.set_inputs("a text");
  request.set_prompt_name("document");
  EXPECT_TRUE(DecodeEmbedSparseRequest(&request, context_).ok());
}

TEST_F(TeiRequestsTest, Tokenize_TakesOneTextUpToTheLimit) {
  tei::v1::EncodeRequest request;
  EXPECT_EQ(FieldOf(CheckTokenizeRequest(request, context_)), "inputs");
  request.set_inputs(std::string(100, 'x'));
  EXPECT_TRUE(CheckTokenizeRequest(request, context_).ok());
  request.set_inputs(std::string(101, 'x'));
  EXPECT_EQ(ReasonOf(CheckTokenizeRequest(request, context_)), kReasonMaxTextBytes);
  context_.has_tokenizer = false;
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckTokenizeRequest(request, context_)));
}

TEST_F(TeiRequestsTest, Decode_TakesOneIdToTheLimit) {
  tei::v1::DecodeRequest request;
  EXPECT_EQ(FieldOf(CheckDecodeRequest(request, context_)), "ids");
  for (int i = 0; i < 25; ++i) request.add_ids(i);
  EXPECT_TRUE(CheckDecodeRequest(request, context_).ok());
  request.add_ids(1);
  EXPECT_EQ(ReasonOf(CheckDecodeRequest(request, context_)), kReasonMaxTextBytes);
}

}  // namespace
}  // namespace longspan
