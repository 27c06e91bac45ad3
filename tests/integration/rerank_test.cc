// POST /search, the rerank routes and tei.v1 Rerank: other words for what search_test proves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tei/v1/tei.grpc.pb.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/integration/rest_calls.h"
#include "tests/integration/tei_calls.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr auto kDeadline = absl::Seconds(60);

void TokenRow(int32_t id, int64_t /*position*/, float* row) {
  std::mt19937 random(static_cast<uint32_t>(id));
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < 16; ++i) row[i] = normal(random);
}

class RerankTest : public testing::Test {
 protected:
  static FakeModel Model() {
    FakeModel model = RestModel();
    model.width = 16;
    model.token_row = TokenRow;
    return model;
  }
  // What Search says of the same texts: indices, best first, and their scores.
  std::vector<std::pair<uint32_t, double>> Expected() {
    v1::SearchRequest request;
    request.set_query(kQuery);
    for (const std::string& text : texts_) request.add_documents()->set_text(text);
    const auto answer = server_.client().Search(request, kDeadline);
    EXPECT_TRUE(answer.ok()) << answer.status();
    std::vector<std::pair<uint32_t, double>> expected;
    for (const auto& result : answer->results())
      expected.emplace_back(result.index(), result.score());
    return expected;
  }
  static double Logistic(double score) { return 1 / (1 + std::exp(-score)); }

  static constexpr char kQuery[] = "when does the lease end";
  const std::vector<std::string> texts_ = {"the court in the cit\u00e9", "a lease ends in may",
                                           "when the lease does end", "rent"};
  TestServer server_{Model(), RestOptions()};
};

TEST_F(RerankTest, Search_IsTheRpc) {
  Json documents = Json::array({{{"id", "a"}, {"text", texts_[0]}}, texts_[1], texts_[2]});
  const RestAnswer answer =
      Post(server_, "/search", {{"query", kQuery}, {"limit", 3}, {"documents", documents}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  v1::SearchRequest request;
  request.set_query(kQuery);
  for (int i = 0; i < 3; ++i) request.add_documents()->set_text(texts_[i]);
  request.mutable_options()->set_max_documents(3);
  const auto expected = server_.client().Search(request, kDeadline);
  ASSERT_TRUE(expected.ok()) << expected.status();
  const Json& results = answer.body["results"];
  ASSERT_THAT(results, SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(results[i]["index"], expected->results(i).index());
    EXPECT_NEAR(results[i]["score"].get<double>(), expected->results(i).score(), 1e-5);
    const Json& span = results[i]["spans"][0];
    EXPECT_EQ(span["begin"], expected->results(i).spans(0).characters().begin());
    EXPECT_EQ(span["end"], expected->results(i).spans(0).characters().end());
    EXPECT_EQ(span["bytes"]["end"], expected->results(i).spans(0).bytes().end());
    EXPECT_FALSE(span.contains("bestTokens"));
    EXPECT_EQ(results[i]["truncated"], false);
  }
  EXPECT_EQ(answer.body["documentsTokens"], expected->documents_tokens());
  EXPECT_TRUE(answer.body["timings"].contains("totalNs"));
}

TEST_F(RerankTest, Search_WithBestTokens_TellsTheirPlacesInCharacters) {
  const Json documents = Json::array({texts_[0], texts_[1]});
  const RestAnswer answer = Post(server_, "/search",
                                 {{"query", "the cit\u00e9 ends"},
                                  {"documents", documents},
                                  {"options", {{"bestTokens", true}}}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  for (const Json& result : answer.body["results"]) {
    const std::string& text = texts_[result["index"].get<size_t>()];
    const Json& span = result["spans"][0];
    double sum = 0;
    std::vector<std::string> found;
    for (const Json& best : span["bestTokens"]) {
      sum += best["weight"].get<double>() * best["similarity"].get<double>();
      const auto word = [](const std::string& of, const Json& bytes) {
        return of.substr(bytes["begin"], bytes["end"].get<size_t>() - bytes["begin"].get<size_t>());
      };
      found.push_back(word("the cit\u00e9 ends", best["query"]["bytes"]) + " " +
                      word(text, best["bytes"]));
    }
    EXPECT_NEAR(sum, span["similarity"].get<double>(), 1e-4);
    const bool first = text == texts_[0];
    EXPECT_THAT(found, testing::Contains(first ? "\u00e9 \u00e9" : "en en"));
    if (!first) continue;
    // The last token of both: a character less than bytes.
    const Json& last = span["bestTokens"].back();
    EXPECT_LT(last["query"]["begin"], last["query"]["bytes"]["begin"]);
    for (const Json& best : span["bestTokens"]) {
      if (best["end"] == text.size() - 1) {
        EXPECT_EQ(best["bytes"]["end"], text.size());
      }
    }
  }
}

TEST_F(RerankTest, Search_NamesWhatIsWrong) {
  const auto refused = [&](const Json& body, const std::string& message) {
    const RestAnswer answer = Post(server_, "/search", body);
    EXPECT_EQ(answer.code, 400) << answer.http.body;
    EXPECT_THAT(answer.body["error"]["message"].get<std::string>(), HasSubstr(message));
  };
  refused({{"query", "a"}}, "documents is empty");
  refused({{"query", "a"}, {"documents", "b"}}, "documents is 'b'; allowed: an array");
  refused({{"query", "a"}, {"documents", {1, 2}}}, "documents is an array");
  refused({{"query", "a"}, {"documents", Json::array({"b", Json::array()})}}, "documents[1] is");
  refused({{"query", "a"}, {"documents", Json::array({{{"text", 3}}})}}, "documents[0].text");
  refused({{"query", "a"}, {"documents", Json::array({"b"})}, {"limit", 0}}, "limit is");
  refused({{"query", "a"},
           {"documents", Json::array({"b"})},
           {"limit", 1},
           {"options", {{"maxDocuments", 2}}}},
          "limit and options.max_documents are both given");
  refused({{"documents", Json::array({"b"})}}, "query is empty");
  refused(Json::array(), "allowed");
  const RestAnswer ignored =
      Post(server_, "/search", {{"query", "a"}, {"documents", Json::array({"b"})}, {"limits", 1}});
  EXPECT_EQ(ignored.code, 200);
  EXPECT_EQ(ignored.http.headers.at("x-ignored-fields"), "limits");
}

TEST_F(RerankTest, TeisForm) {
  const auto expected = Expected();
  RestAnswer answer = Post(server_, "/rerank", {{"query", kQuery}, {"texts", texts_}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  ASSERT_THAT(answer.body, SizeIs(4));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(answer.body[i]["index"], expected[i].first);
    EXPECT_NEAR(answer.body[i]["score"].get<double>(), Logistic(expected[i].second), 1e-5);
    EXPECT_FALSE(answer.body[i].contains("text"));
  }
  answer =
      Post(server_, "/rerank",
           {{"query", kQuery}, {"texts", texts_}, {"raw_scores", true}, {"return_text", true}});
  EXPECT_NEAR(answer.body[0]["score"].get<double>(), expected[0].second, 1e-5);
  EXPECT_EQ(answer.body[0]["text"], texts_[expected[0].first]);
}

TEST_F(RerankTest, TheFormOfCohereAndJina) {
  const auto expected = Expected();
  for (const char* path : {"/v1/rerank", "/v2/rerank", "/rerank"}) {
    Json documents = texts_;
    documents[1] = {{"text", texts_[1]}};  // as Jina and Cohere's first version have it
    const RestAnswer answer = Post(server_, path,
                                   {{"model", "any"},
                                    {"query", kQuery},
                                    {"documents", documents},
                                    {"top_n", 2},
                                    {"return_documents", true}});
    ASSERT_EQ(answer.code, 200) << answer.http.body;
    const Json& results = answer.body["results"];
    ASSERT_THAT(results, SizeIs(2)) << path;
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(results[i]["index"], expected[i].first);
      EXPECT_NEAR(results[i]["relevance_score"].get<double>(), Logistic(expected[i].second), 1e-5);
      EXPECT_EQ(results[i]["document"]["text"], texts_[expected[i].first]);
    }
    EXPECT_GT(answer.body["usage"]["total_tokens"].get<int>(), 10);
  }
}

TEST_F(RerankTest, ErrorsAreInTheRoutesWords) {
  RestAnswer answer = Post(server_, "/rerank", {{"query", kQuery}, {"texts", {"a", ""}}});
  EXPECT_EQ(answer.code, 400) << answer.http.body;
  EXPECT_THAT(answer.body["error"].get<std::string>(), HasSubstr("texts[1] is empty"));
  answer = Post(server_, "/rerank", {{"query", kQuery}});
  EXPECT_THAT(answer.body["error"].get<std::string>(), HasSubstr("texts is missing"));
  answer = Post(server_, "/v2/rerank", {{"query", kQuery}, {"documents", {"a", 3}}});
  EXPECT_EQ(answer.code, 400);
  EXPECT_THAT(answer.body["message"].get<std::string>(), HasSubstr("documents[1] is the number 3"));
  answer = Post(server_, "/v2/rerank",
                {{"query", kQuery}, {"documents", {"a"}}, {"max_tokens_per_doc", 1 << 30}});
  EXPECT_THAT(answer.body["message"].get<std::string>(), HasSubstr("max_tokens_per_doc is"));
}

TEST_F(RerankTest, ALongText_IsCutWhereAsked_AndTheAnswerSaysSo) {
  std::string longer = "lease";
  for (int i = 0; i < 200; ++i) longer += " rent";
  const RestAnswer answer =
      Post(server_, "/v2/rerank",
           {{"query", kQuery}, {"documents", {longer, "rent"}}, {"max_tokens_per_doc", 100}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  EXPECT_EQ(answer.http.headers.at("x-truncated-texts"), "1");
  // So is a question: it has more than 512 tokens.
  std::string question = longer;
  for (int i = 0; i < 2; ++i) question += question;
  EXPECT_EQ(Post(server_, "/rerank", {{"query", question}, {"texts", texts_}}).code, 413);
  EXPECT_EQ(
      Post(server_, "/rerank", {{"query", question}, {"texts", texts_}, {"truncate", true}}).code,
      200);
}

TEST_F(RerankTest, TheRpcOfTei) {
  const auto expected = Expected();
  const auto stub = tei::v1::Rerank::NewStub(server_.client().channel());
  tei::v1::RerankRequest request;
  request.set_query(kQuery);
  for (const std::string& text : texts_) request.add_texts(text);
  request.set_return_text(true);
  auto answer = CallTei<tei::v1::RerankResponse>(
      server_.client(), [&](grpc::ClientContext* context, tei::v1::RerankResponse* response) {
        return stub->Rerank(context, request, response);
      });
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_EQ(answer.response.ranks().size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(answer.response.ranks(i).index(), expected[i].first);
    EXPECT_NEAR(answer.response.ranks(i).score(), Logistic(expected[i].second), 1e-5);
    EXPECT_EQ(answer.response.ranks(i).text(), texts_[expected[i].first]);
  }
  EXPECT_GT(answer.response.metadata().compute_tokens(), 10u);
  request.set_texts(2, "");
  answer = CallTei<tei::v1::RerankResponse>(
      server_.client(), [&](grpc::ClientContext* context, tei::v1::RerankResponse* response) {
        return stub->Rerank(context, request, response);
      });
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("texts[2] is empty"));
}

}  // namespace
}  // namespace longspan
