#include "server/wire/search_decoder.h"

#include <gmock/gmock.h>

#include <functional>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class SearchDecoderTest : public testing::Test {
 protected:
  SearchDecoderTest() {
    model_.architecture = "tiny";
    model_.vocab_size = 1000;
    model_.output_dimensions = 8;
    context_ = {.model = &model_,
                .has_tokenizer = true,
                .max_texts_per_request = 3,
                .max_text_bytes = 100,
                .max_tokens = 4096};
    request_.set_query("When?");
    request_.add_documents()->set_text("Then.");
    request_.mutable_documents(0)->set_id("a");
  }
  absl::StatusOr<SearchRequest> Decode() const {
    v1::SearchRequest copy = request_;
    return DecodeSearchRequest(&copy, context_);
  }
  void ExpectRefused(const std::string& field, const std::string& message,
                     absl::StatusCode code = kInvalid) const {
    const absl::Status status = Decode().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(FieldOf(status), field) << status;
    EXPECT_EQ(status.message(), absl::StrCat(field, " ", message));
  }
  v1::SearchOptions& options() { return *request_.mutable_options(); }

  ModelInfo model_;
  DecodingContext context_;
  v1::SearchRequest request_;
};

TEST_F(SearchDecoderTest, DefaultsAreThoseThatWereMeasured) {
  const auto request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->query.text, "When?");
  EXPECT_EQ(request->query.max_tokens, kMaxQueryTokens);
  ASSERT_EQ(request->documents.size(), 1u);
  EXPECT_EQ(request->documents[0].text, "Then.");
  EXPECT_EQ(request->documents[0].truncation, Truncation::kReject);
  const RankingOptions& ranking = request->settings.ranking;
  EXPECT_EQ(ranking.max_documents, 10u);
  EXPECT_EQ(ranking.max_passages, 3u);
  EXPECT_EQ(ranking.late_weight, 1);
  EXPECT_EQ(ranking.lexical_weight, 0.5);
  EXPECT_EQ(ranking.bm25.k1, 1.2);
  EXPECT_EQ(ranking.bm25.b, 0.75);
  EXPECT_EQ(request->settings.cell_tokens, 32);
  EXPECT_EQ(request->settings.weights, QueryWeights::kIdf);
  EXPECT_FALSE(request->settings.best_tokens);
  EXPECT_EQ(request->query.options.text_role, TextRole::kQuery);
  EXPECT_EQ(request->documents[0].options.text_role, TextRole::kDocument);
}

TEST_F(SearchDecoderTest, EveryOptionIsRead) {
  options().set_max_documents(2);
  options().set_max_spans(7);
  options().set_span_tokens(100);
  options().set_late_weight(0);
  options().set_lexical_weight(3);
  options().set_token_weighting(v1::TOKEN_WEIGHTING_EQUAL);
  options().set_language("german");
  options().set_bm25_k1(0);
  options().set_bm25_b(1);
  options().set_truncation(v1::TRUNCATION_WINDOWS);
  options().set_window_overlap_tokens(5);
  options().set_max_tokens(50);
  options().set_query_truncation(v1::TRUNCATION_TAIL);
  options().set_best_tokens(true);
  const auto request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  const RankingOptions& ranking = request->settings.ranking;
  EXPECT_EQ(ranking.max_documents, 2u);
  EXPECT_EQ(ranking.max_passages, 7u);
  EXPECT_EQ(ranking.late_weight, 0);
  EXPECT_EQ(ranking.lexical_weight, 3);
  EXPECT_EQ(ranking.bm25.k1, 0);
  EXPECT_EQ(ranking.bm25.b, 1);
  EXPECT_EQ(request->settings.cell_tokens, 50);
  EXPECT_EQ(request->settings.weights, QueryWeights::kEqual);
  EXPECT_EQ(request->settings.language, "german");
  EXPECT_TRUE(request->settings.best_tokens);
  EXPECT_EQ(request->query.truncation, Truncation::kTail);
  EXPECT_EQ(request->query.max_tokens, kMaxQueryTokens);
  EXPECT_EQ(request->documents[0].truncation, Truncation::kWindows);
  EXPECT_EQ(request->documents[0].window_overlap, 5);
  EXPECT_EQ(request->documents[0].max_tokens, 50);
}

TEST_F(SearchDecoderTest, NumbersOutsideTheirRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  options().set_late_weight(nan);
  ExpectRefused("options.late_weight", "is nan; allowed: 0 to 1000");
  options().set_late_weight(-1);
  ExpectRefused("options.late_weight", "is -1; allowed: 0 to 1000");
  options().set_late_weight(1);
  options().set_lexical_weight(1001);
  ExpectRefused("options.lexical_weight", "is 1001; allowed: 0 to 1000");
  options().set_lexical_weight(0);
  options().set_late_weight(0);
  ExpectRefused("options.lexical_weight",
                "is 0, and so is late_weight; allowed: one of them above 0");
  options().set_late_weight(1);
  options().set_bm25_k1(nan);
  ExpectRefused("options.bm25_k1", "is nan; allowed: 0 to 1000");
  options().set_bm25_k1(1);
  options().set_bm25_b(1.5);
  ExpectRefused("options.bm25_b", "is 1.5; allowed: 0 to 1");
  options().set_bm25_b(0);
  for (const uint32_t wrong : {7u, 9u, 8194u}) {
    options().set_span_tokens(wrong);
    ExpectRefused("options.span_tokens",
                  absl::StrCat("is ", wrong, "; allowed: even numbers from 8 to 8192"));
  }
}

TEST_F(SearchDecoderTest, TextsAndTheirNumber) {
  request_.clear_query();
  ExpectRefused("query", "is empty; allowed: 1 to 65536 bytes");
  request_.set_query(std::string(65537, 'a'));
  ExpectRefused("query", "has 65537 bytes; allowed: 1 to 65536 bytes");
  context_.max_text_bytes = 1 << 20;
  request_.set_query("When?");
  for (int i = 0; i < 3; ++i) request_.add_documents()->set_text("more");
  ExpectRefused("documents", "has 4 texts; allowed: 1 to 3");
  request_.clear_documents();
  ExpectRefused("documents", "is empty; allowed: 1 to 3");
}

TEST_F(SearchDecoderTest, AFaultOfADocument_NamesIt) {
  request_.add_documents()->set_id("second");
  const absl::Status status = Decode().status();
  EXPECT_EQ(FieldOf(status), "documents[1].text");
  EXPECT_EQ(status.message(), "documents[1].text is empty; allowed: 1 to 100 bytes");
}

TEST_F(SearchDecoderTest, AQuestionIsNotCutIntoWindows) {
  options().set_query_truncation(v1::TRUNCATION_WINDOWS);
  ExpectRefused("options.query_truncation",
                "is WINDOWS; allowed for a question: REJECT, HEAD, TAIL, HEAD_TAIL");
}

TEST_F(SearchDecoderTest, WithoutATokenizer_NothingIsRead) {
  context_.has_tokenizer = false;
  ExpectRefused("query", "cannot be read: this model has no tokenizer, so it searches no texts",
                absl::StatusCode::kFailedPrecondition);
}

TEST_F(SearchDecoderTest, PromptsAreThoseOfTheirRoles) {
  model_.prompts = {{"query", "q: "}, {"passage", "p: "}, {"document", "d: "}, {"other", "o: "}};
  model_.default_prompt_name = "other";
  auto request = *Decode();
  EXPECT_EQ(request.query.prompt, "q: ");
  EXPECT_EQ(request.documents[0].prompt, "d: ");
  options().set_query_prompt_name("other");
  options().set_document_prompt_name("passage");
  request = *Decode();
  EXPECT_EQ(request.query.prompt, "o: ");
  EXPECT_EQ(request.documents[0].prompt, "p: ");
  options().set_document_prompt_name("none");
  ExpectRefused("options.document_prompt_name",
                "is 'none'; allowed: 'document', 'other', 'passage', 'query'");
  model_.prompts = {{"other", "o: "}};
  request_.clear_options();
  request = *Decode();
  EXPECT_EQ(request.query.prompt, "o: ");
  EXPECT_EQ(request.documents[0].prompt, "o: ");
}

TEST_F(SearchDecoderTest, OfAMultiVectorModel_AllTokensOfTheQuestionCount) {
  model_.multi_vector.emplace();
  EXPECT_EQ(Decode()->settings.weights, QueryWeights::kAllTokens);
  options().set_token_weighting(v1::TOKEN_WEIGHTING_EQUAL);
  EXPECT_EQ(Decode()->settings.weights, QueryWeights::kAllTokens);
  options().set_token_weighting(v1::TOKEN_WEIGHTING_IDF);
  EXPECT_EQ(Decode()->settings.weights, QueryWeights::kIdf);
}

TEST_F(SearchDecoderTest, AModelThatTakesLess_TakesLessOfAQuestion) {
  context_.max_tokens = 128;
  EXPECT_EQ(Decode()->query.max_tokens, 0);  // the limit in force
}

class SearchInACollectionTest : public SearchDecoderTest {
 protected:
  SearchInACollectionTest() {
    request_.clear_documents();
    request_.set_collection("notes");
  }
  // Refused as the option of a request that names a collection.
  void ExpectNotWithACollection(const std::string& option) {
    ExpectRefused(absl::StrCat("options.", option),
                  "is set, and so is collection; allowed: one of them");
    request_.clear_options();
  }
};

TEST_F(SearchInACollectionTest, HasNoDocuments) {
  options().set_max_documents(1000);
  options().set_max_spans(100);
  options().set_lexical_weight(2);
  options().set_bm25_k1(2);
  options().set_query_truncation(v1::TRUNCATION_HEAD);
  const auto request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_TRUE(request->collection.has_value());
  EXPECT_EQ(request->collection->name, "notes");
  EXPECT_EQ(request->collection->owner, "") << "whoever knows the caller sets it";
  EXPECT_TRUE(request->documents.empty());
  EXPECT_EQ(request->query.text, "When?");
  EXPECT_EQ(request->query.truncation, Truncation::kHead);
  EXPECT_EQ(request->settings.ranking.max_documents, 1000u);
  EXPECT_EQ(request->settings.ranking.max_passages, 100u);
  EXPECT_EQ(request->settings.ranking.lexical_weight, 2);
  EXPECT_EQ(request->settings.ranking.bm25.k1, 2);
}

TEST_F(SearchInACollectionTest, WithDocumentsToo_IsRefused) {
  request_.add_documents()->set_text("Then.");
  ExpectRefused("collection", "and documents are both given; allowed: one of them");
  request_.clear_collection();
  EXPECT_TRUE(Decode().ok()) << Decode().status();
  EXPECT_FALSE(Decode()->collection.has_value());
}

TEST_F(SearchInACollectionTest, WhatItWasMadeWith_AndHowDocumentsAreRead_IsNotAskedFor) {
  options().set_truncation(v1::TRUNCATION_REJECT);
  ExpectNotWithACollection("truncation");
  options().set_window_overlap_tokens(1);
  ExpectNotWithACollection("window_overlap_tokens");
  options().set_max_tokens(1);
  ExpectNotWithACollection("max_tokens");
  options().set_document_prompt_name("document");
  ExpectNotWithACollection("document_prompt_name");
  options().set_span_tokens(64);
  ExpectNotWithACollection("span_tokens");
  options().set_language("english");
  ExpectNotWithACollection("language");
}

TEST_F(SearchInACollectionTest, AnAnswerHasBounds) {
  options().set_max_documents(1001);
  ExpectRefused("options.max_documents", "is 1001; allowed with a collection: 1 to 1000");
  options().set_max_documents(1);
  options().set_max_spans(101);
  ExpectRefused("options.max_spans", "is 101; allowed with a collection: 1 to 100");
  options().set_max_spans(std::numeric_limits<uint32_t>::max());
  ExpectRefused("options.max_spans", "is 4294967295; allowed with a collection: 1 to 100");
}

TEST_F(SearchInACollectionTest, ANameIsOne) {
  for (const char* bad : {".", "a/b", "a b", "..", "\xC3\xA4"}) {
    request_.set_collection(bad);
    EXPECT_EQ(FieldOf(Decode().status()), "collection") << bad;
    EXPECT_EQ(Decode().status().code(), kInvalid) << bad;
  }
}

TEST_F(SearchInACollectionTest, WithoutATokenizer_NothingIsRead) {
  context_.has_tokenizer = false;
  EXPECT_EQ(Decode().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FieldOf(Decode().status()), "query");
}

}  // namespace
}  // namespace longspan
