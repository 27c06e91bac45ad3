// The JSON doors on a real server: they answer what gRPC answers, refuse in the words of their
// contracts, and pass the same admission, keys, deadlines, metrics and log. Streams of lines are in
// rest_stream_test, clients of other makers in tests/clients.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <future>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "tests/integration/rest_calls.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kText[] = "The quick brown fox jumps over the lazy dog";

// What gRPC says of the same texts.
v1::EncodeResponse Encoded(TestServer& server, const std::vector<std::string>& texts,
                           const v1::EncodeOptions& options = {}) {
  v1::EncodeRequest request;
  for (const std::string& text : texts) request.add_inputs()->set_text(text);
  *request.mutable_options() = options;
  RawResult result = CallEncode(server.client(), request);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  return result.response;
}

std::vector<float> Floats(const Json& values) { return values.get<std::vector<float>>(); }

template <typename Values>
std::vector<float> Floats(const google::protobuf::RepeatedField<Values>& values) {
  return {values.begin(), values.end()};
}

std::vector<float> FromBase64(const std::string& text) {
  std::string bytes;
  EXPECT_TRUE(absl::Base64Unescape(text, &bytes));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::string LogOf(TestServer& server) {
  server.log().Flush();
  std::ifstream file(server.log_path());
  return {std::istreambuf_iterator<char>(file), {}};
}

class RestTest : public ::testing::Test {
 protected:
  RestTest() : server_(RestModel(), RestOptions()) {}
  TestServer server_;
};

TEST_F(RestTest, OpenAiAnswersEachTextInOrder) {
  const std::vector<std::string> texts = {kText, "a b", "c"};
  const v1::EncodeResponse expected = Encoded(server_, texts);
  const RestAnswer answer =
      Post(server_, "/v1/embeddings", Json{{"input", texts}, {"model", "any-name"}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  EXPECT_EQ(answer.body["object"], "list");
  EXPECT_EQ(answer.body["model"], "fake");
  ASSERT_EQ(answer.body["data"].size(), 3);
  int64_t tokens = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answer.body["data"][i]["index"], i);
    EXPECT_EQ(answer.body["data"][i]["object"], "embedding");
    EXPECT_EQ(Floats(answer.body["data"][i]["embedding"]),
              Floats(expected.encodings(i).vector().values()));
    tokens += static_cast<int64_t>(expected.encodings(i).tokens_used());
  }
  EXPECT_EQ(answer.body["usage"]["prompt_tokens"], tokens);
  EXPECT_EQ(answer.body["usage"]["total_tokens"], tokens);
}

TEST_F(RestTest, OpenAiReadsStringsIdsAndListsOfIds) {
  const RestAnswer text = Post(server_, "/v1/embeddings", Json{{"input", "fox"}});
  const RestAnswer ids = Post(server_, "/v1/embeddings", Json{{"input", {2, 356, 3}}});
  const RestAnswer lists =
      Post(server_, "/v1/embeddings", Json{{"input", {{2, 356, 3}, {2, 3}}}, {"model", "fake"}});
  ASSERT_EQ(text.code, 200);
  ASSERT_EQ(ids.code, 200) << ids.http.body;
  ASSERT_EQ(lists.code, 200) << lists.http.body;
  EXPECT_EQ(text.body["data"], ids.body["data"]);
  EXPECT_EQ(lists.body["data"][0]["embedding"], ids.body["data"][0]["embedding"]);
  EXPECT_EQ(lists.body["data"][1]["embedding"][1], 2);
}

// Ids of another vocabulary would give vectors of other words.
TEST_F(RestTest, IdsUnderAnotherModelsNameAreRefused) {
  const RestAnswer answer = Post(server_, "/v1/embeddings",
                                 Json{{"input", {{1, 2}}}, {"model", "text-embedding-ada-002"}});
  EXPECT_EQ(answer.code, 400);
  EXPECT_EQ(answer.body["error"]["param"], "model");
  EXPECT_THAT(answer.body["error"]["message"].get<std::string>(), HasSubstr("'fake'"));
}

TEST_F(RestTest, OpenAiWritesEveryFormat) {
  const auto embedding = [this](const Json& more) {
    Json body = {{"input", kText}};
    body.update(more);
    const RestAnswer answer = Post(server_, "/v1/embeddings", body);
    EXPECT_EQ(answer.code, 200) << answer.http.body;
    return answer.body["data"][0];
  };
  const std::vector<float> floats = Floats(embedding(Json::object())["embedding"]);
  EXPECT_EQ(FromBase64(embedding({{"encoding_format", "base64"}})["embedding"]), floats);
  EXPECT_EQ(FromBase64(embedding({{"embedding_type", "base64"}})["embedding"]), floats);
  // Where both are given, Jina's field is the more special one.
  EXPECT_EQ(
      Floats(embedding({{"embedding_type", "float"}, {"encoding_format", "base64"}})["embedding"]),
      floats);
  // Two of four values are above 0: bits 1100, filled up with 0.
  EXPECT_EQ(embedding({{"embedding_type", "ubinary"}})["embedding"], Json({0b11000000}));
  EXPECT_EQ(embedding({{"embedding_type", "binary"}})["embedding"], Json({0b11000000 - 128}));
  const Json int8 = embedding({{"embedding_type", "int8"}});
  for (size_t i = 0; i < floats.size(); ++i) {
    EXPECT_NEAR(int8["embedding"][i].get<float>() * int8["scale"].get<float>(), floats[i],
                int8["scale"].get<float>());
  }
}

TEST_F(RestTest, LateChunkingReadsTheInputsAsOneText) {
  const std::vector<std::string> parts = {"Caf\xc3\xa9 one. ", "Two two. ", "\xe4\xb8\xad three"};
  v1::EncodeRequest request;
  auto* input = request.add_inputs();
  input->set_text(parts[0] + parts[1] + parts[2]);
  for (const auto& [begin, end] : {std::pair{0, 10}, {10, 19}, {19, 26}}) {
    auto* span = input->add_spans();
    span->set_begin(begin);
    span->set_end(end);
  }
  request.mutable_options()->set_include_document_vector(false);
  const RawResult expected = CallEncode(server_.client(), request);
  ASSERT_TRUE(expected.status.ok()) << expected.status.error_message();
  const RestAnswer answer =
      Post(server_, "/v1/embeddings", Json{{"input", parts}, {"late_chunking", true}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  ASSERT_EQ(answer.body["data"].size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answer.body["data"][i]["index"], i);
    EXPECT_EQ(Floats(answer.body["data"][i]["embedding"]),
              Floats(expected.response.encodings(0).spans(i).vector().values()));
  }
  EXPECT_EQ(answer.body["usage"]["prompt_tokens"], expected.response.encodings(0).tokens_used());
}

TEST(RestPromptsTest, ATaskIsAPromptOfTheModel) {
  FakeModel model = RestModel();
  model.prompts = {{"query", "query: "}, {"document", "passage: "}, {"code.query", "code: "}};
  TestServer server(model, RestOptions());
  const auto tokens = [&](const Json& body) {
    const RestAnswer answer = Post(server, "/v1/embeddings", body);
    EXPECT_EQ(answer.code, 200) << answer.http.body;
    return answer.body["data"][0]["embedding"];
  };
  const Json query = tokens({{"input", "query: fox"}});
  EXPECT_EQ(tokens({{"input", "fox"}, {"task", "retrieval.query"}}), query);
  EXPECT_EQ(tokens({{"input", "fox"}, {"task", "query"}}), query);
  EXPECT_EQ(tokens({{"input", "fox"}, {"task", "retrieval.passage"}}),
            tokens({{"input", "passage: fox"}}));
  EXPECT_EQ(tokens({{"input", "fox"}, {"task", "code.query"}}), tokens({{"input", "code: fox"}}));
  const RestAnswer unknown =
      Post(server, "/v1/embeddings", Json{{"input", "fox"}, {"task", "text-matching"}});
  EXPECT_EQ(unknown.code, 400);
  EXPECT_EQ(unknown.body["error"]["param"], "task");
  EXPECT_THAT(unknown.body["error"]["message"].get<std::string>(), HasSubstr("'code.query'"));
}

TEST_F(RestTest, CohereAnswersInEachTypeThatIsAskedFor) {
  const std::vector<std::string> texts = {kText, "a b"};
  const v1::EncodeResponse expected = Encoded(server_, texts);
  const RestAnswer answer =
      Post(server_, "/v2/embed",
           Json{{"texts", texts},
                {"model", "any"},
                {"input_type", "search_document"},
                {"embedding_types", {"float", "base64", "int8", "uint8", "binary", "ubinary"}}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  const Json& embeddings = answer.body["embeddings"];
  int64_t tokens = 0;
  for (int i = 0; i < 2; ++i) {
    const std::vector<float> floats = Floats(expected.encodings(i).vector().values());
    tokens += static_cast<int64_t>(expected.encodings(i).tokens_used());
    EXPECT_EQ(Floats(embeddings["float"][i]), floats);
    EXPECT_EQ(FromBase64(embeddings["base64"][i]), floats);
    EXPECT_EQ(embeddings["ubinary"][i], Json({0b11000000}));
    EXPECT_EQ(embeddings["binary"][i], Json({0b11000000 - 128}));
    const float largest = std::max(floats[0], floats[1]);
    for (size_t d = 0; d < floats.size(); ++d) {
      EXPECT_NEAR(embeddings["int8"][i][d].get<float>(), floats[d] * 127 / largest, 0.6);
      EXPECT_EQ(embeddings["uint8"][i][d], embeddings["int8"][i][d].get<int>() + 128);
    }
  }
  EXPECT_EQ(answer.body["texts"], Json(texts));
  EXPECT_EQ(answer.body["meta"]["billed_units"]["input_tokens"], tokens);
  EXPECT_FALSE(answer.body["meta"].contains("warnings"));
  // The first version has a plain list where no type is named.
  const RestAnswer first = Post(server_, "/v1/embed", Json{{"texts", texts}});
  EXPECT_EQ(first.body["embeddings"], embeddings["float"]);
  EXPECT_EQ(first.body["response_type"], "embeddings_floats");
}

TEST_F(RestTest, TeiAnswersWhatGrpcAnswers) {
  v1::EncodeOptions normalised;
  normalised.set_normalize(true);
  const v1::EncodeResponse expected = Encoded(server_, {kText, "a b"}, normalised);
  for (const char* path : {"/embed", "/"}) {
    const RestAnswer answer = Post(server_, path, Json{{"inputs", {kText, "a b"}}});
    ASSERT_EQ(answer.code, 200) << answer.http.body;
    ASSERT_EQ(answer.body.size(), 2);
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(Floats(answer.body[i]), Floats(expected.encodings(i).vector().values()));
    EXPECT_EQ(answer.http.header("x-compute-characters"), "46");
    EXPECT_FALSE(answer.http.header("x-total-time").empty());
  }
  const RestAnswer raw = Post(server_, "/embed", Json{{"inputs", kText}, {"normalize", false}});
  EXPECT_EQ(Floats(raw.body[0]), Floats(Encoded(server_, {kText}).encodings(0).vector().values()));
}

TEST_F(RestTest, TeiGivesTheVectorsOfAllTokens) {
  const RestAnswer answer = Post(server_, "/embed_all", Json{{"inputs", {"fox", "the dog"}}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  // Rows of the fake model are [id, position, 0, 0].
  EXPECT_EQ(answer.body[0], Json::parse("[[2,0,0,0],[356,1,0,0],[3,2,0,0]]"));
  EXPECT_EQ(answer.body[1].size(), 4);
}

TEST_F(RestTest, TeiGivesTheWordsOfTexts_AsEncodeDoes) {
  const RestAnswer answer =
      Post(server_, "/embed_sparse", Json{{"inputs", {"The fox. A fox!", "..."}}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  const RestAnswer encoded = Post(server_, "/encode", Json::parse(R"({
      "inputs": [{"text": "The fox. A fox!"}],
      "options": {"lexical": {}, "includeDocumentVector": false}})"));
  ASSERT_EQ(encoded.code, 200) << encoded.http.body;
  const Json& lexical = encoded.body["encodings"][0]["lexical"];
  ASSERT_EQ(lexical["indices"].size(), 3);
  ASSERT_EQ(answer.body[0].size(), 3);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(answer.body[0][i]["index"], lexical["indices"][i]);
    EXPECT_EQ(answer.body[0][i]["value"], lexical["values"][i]);
  }
  EXPECT_EQ(answer.body[1], Json::array());
  const RestAnswer query =
      Post(server_, "/embed_sparse", Json{{"inputs", "a fox"}, {"prompt_name", "query"}});
  EXPECT_EQ(query.body[0][0]["value"], 1);
  EXPECT_EQ(Post(server_, "/embed_sparse", Json{{"inputs", {{1, 2}}}}).code, 422);
  EXPECT_EQ(Post(server_, "/embed_sparse", Json{{"inputs", "a"}, {"prompt_name", "x"}}).code, 422);
}

TEST_F(RestTest, TeiTokenizesAndDecodes) {
  const RestAnswer tokens = Post(server_, "/tokenize", Json{{"inputs", "fox caf\xc3\xa9"}});
  ASSERT_EQ(tokens.code, 200) << tokens.http.body;
  const Json& fox = tokens.body[0][1];
  EXPECT_EQ(fox, Json::parse(R"({"id":356,"text":"fox","special":false,"start":0,"stop":3})"));
  EXPECT_TRUE(tokens.body[0][0]["start"].is_null());
  EXPECT_TRUE(tokens.body[0][0]["special"]);
  EXPECT_EQ(Post(server_, "/tokenize", Json{{"inputs", {"a", "b"}}, {"add_special_tokens", false}})
                .body[1]
                .size(),
            1);
  EXPECT_EQ(Post(server_, "/decode", Json{{"ids", {2, 356, 3}}}).body, Json({"fox"}));
  EXPECT_EQ(
      Post(server_, "/decode", Json{{"ids", {{2, 356}, {356}}}, {"skip_special_tokens", false}})
          .body,
      Json({"[CLS] fox", "fox"}));
}

TEST_F(RestTest, TeiTellsOfItself) {
  const RestAnswer info = Get(server_, "/info");
  EXPECT_EQ(info.body["model_id"], "fake");
  EXPECT_EQ(info.body["max_input_length"], 4096);
  EXPECT_EQ(info.body["max_client_batch_size"], 128);
  EXPECT_EQ(Get(server_, "/health").code, 200);
  for (const char* path : {"/predict"}) {
    const RestAnswer answer = Post(server_, path, Json::object());
    EXPECT_EQ(answer.code, 501) << path;
    EXPECT_FALSE(answer.body["error"].get<std::string>().empty());
  }
}

TEST_F(RestTest, EncodeIsTheContractInJson) {
  v1::EncodeOptions options;
  options.set_span_policy(v1::SPAN_POLICY_FIXED);
  options.set_span_tokens(3);
  options.set_vector_format(v1::VECTOR_FORMAT_INT8);
  const v1::EncodeResponse expected = Encoded(server_, {kText}, options);
  const RestAnswer answer = Post(
      server_, "/encode",
      Json::parse(absl::StrCat(R"({"inputs":[{"id":"d-1","text":")", kText,
                               R"("}],"options":{"spanPolicy":"SPAN_POLICY_FIXED","span_tokens":3,)"
                               R"("vectorFormat":4}})")));
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  const Json& encoding = answer.body["encodings"][0];
  EXPECT_EQ(encoding["id"], "d-1");
  EXPECT_EQ(encoding["tokensUsed"], absl::StrCat(expected.encodings(0).tokens_used()));
  ASSERT_EQ(encoding["spans"].size(), expected.encodings(0).spans_size());
  std::string data;
  ASSERT_TRUE(
      absl::Base64Unescape(encoding["spans"][1]["vector"]["data"].get<std::string>(), &data));
  EXPECT_EQ(data, expected.encodings(0).spans(1).vector().data());
  EXPECT_TRUE(answer.body["timings"].contains("computeNs"));
}

TEST_F(RestTest, EncodeTokensAnswersInOneMessageOrInLines) {
  const Json body = {{"input", {{"text", kText}}}};
  const RestAnswer whole = Post(server_, "/encode_tokens", body);
  ASSERT_EQ(whole.code, 200) << whole.http.body;
  const auto tokens = std::stoul(whole.body["tokenCount"].get<std::string>());
  EXPECT_EQ(whole.body["values"].size(), 4 * tokens);
  EXPECT_EQ(whole.body["tokensUsed"], whole.body["tokenCount"]);

  // 4,096 tokens of 4 values, in lines of 16 bytes a value.
  Json ids = Json::array();
  for (int i = 0; i < 4096; ++i) ids.push_back(i % 400);
  FakeModel wide = RestModel();
  wide.width = 64;
  TestServer server(wide, RestOptions());
  const RestAnswer lines =
      Post(server, "/encode_tokens", Json{{"input", {{"tokenIds", {{"ids", ids}}}}}},
           "Accept: application/x-ndjson\r\n");
  ASSERT_EQ(lines.code, 200);
  EXPECT_EQ(lines.http.header("content-type"), "application/x-ndjson");
  size_t first = 0, num_lines = 0;
  std::istringstream stream(lines.http.body);
  for (std::string line; std::getline(stream, line); ++num_lines) {
    EXPECT_LT(line.size(), 1U << 20);
    const Json message = Json::parse(line);
    EXPECT_EQ(message["firstToken"], absl::StrCat(first));
    EXPECT_EQ(message["values"][0], first % 400);
    EXPECT_EQ(message["values"][1], first);
    first += std::stoul(message["tokenCount"].get<std::string>());
    EXPECT_EQ(message.contains("timings"), first == 4096);
  }
  EXPECT_EQ(first, 4096);
  EXPECT_GT(num_lines, 1);
}

TEST_F(RestTest, EncodeTokensPoolsNeighbours_AndSaysOfWhichTokens) {
  FakeModel model = RestModel();
  model.max_tokens = 7;
  TestServer server(model, RestOptions());
  Json body = {{"input", {{"tokenIds", {{"ids", {10, 20, 30, 0, 0, 40, 50, 60, 70}}}}}},
               {"options", {{"tokenPooling", 2}, {"truncation", "TRUNCATION_HEAD_TAIL"}}}};
  const RestAnswer answer = Post(server, "/encode_tokens", body);
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  EXPECT_EQ(answer.body["tokenCount"], "4");
  EXPECT_EQ(answer.body["tokensUsed"], "7");
  EXPECT_EQ(answer.body["tokensPerVector"], Json({2, 2, 2, 1}));
  EXPECT_EQ(answer.body["tokenRanges"], Json::array({{{"begin", "0"}, {"end", "7"}}}));
  EXPECT_EQ(answer.body["values"][0], 15);
  EXPECT_EQ(answer.body["values"][4], 15) << "of 30 and 0";
  EXPECT_EQ(answer.body["values"][12], 70);
  body["options"]["tokenPooling"] = 3;
  EXPECT_EQ(Post(server, "/encode_tokens", body).code, 400);

  // Lines hold what one message does.
  Json ids = Json::array();
  for (int i = 0; i < 4095; ++i) ids.push_back(i % 400);
  FakeModel wide = RestModel();
  wide.width = 128;
  TestServer wide_server(wide, RestOptions());
  const RestAnswer lines =
      Post(wide_server, "/encode_tokens",
           Json{{"input", {{"tokenIds", {{"ids", ids}}}}}, {"options", {{"tokenPooling", 4}}}},
           "Accept: application/x-ndjson\r\n");
  ASSERT_EQ(lines.code, 200);
  int64_t rows = 0, tokens = 0, num_lines = 0;
  std::istringstream stream(lines.http.body);
  for (std::string line; std::getline(stream, line); ++num_lines) {
    const Json message = Json::parse(line);
    EXPECT_EQ(message["firstToken"], absl::StrCat(tokens));
    EXPECT_EQ(message["values"][1], static_cast<float>(tokens) + 1.5F) << "the mean position";
    EXPECT_EQ(message["tokenRanges"][0]["begin"], absl::StrCat(tokens));
    for (const Json& count : message["tokensPerVector"]) tokens += count.get<int64_t>();
    EXPECT_EQ(message["tokenRanges"][0]["end"], absl::StrCat(tokens));
    EXPECT_EQ(message["tokenCount"], absl::StrCat(message["tokensPerVector"].size()));
    rows += static_cast<int64_t>(message["tokensPerVector"].size());
  }
  EXPECT_EQ(tokens, 4095);
  EXPECT_EQ(rows, 1024);
  EXPECT_GT(num_lines, 1);
}

TEST_F(RestTest, ModelTellsAllThatGetModelInfoTells) {
  const RestAnswer answer = Get(server_, "/model");
  ASSERT_EQ(answer.code, 200);
  EXPECT_EQ(answer.body["model"], "fake");
  EXPECT_EQ(answer.body["limits"]["maxTokens"], "4096");
  EXPECT_EQ(answer.body["supportsHashing"], false);  // also where it is false
}

struct Refused {
  const char* path;
  const char* body;
  int code;
  const char* field;  // where the dialect tells one
  const char* message;
};

std::string FieldIn(const Json& body) {
  const Json error = body.value("error", Json());
  if (!error.is_object()) return "";
  if (error.contains("param")) return error["param"].is_null() ? "" : error["param"];
  if (error.contains("details")) return error["details"][0]["fieldViolations"][0]["field"];
  return "";
}

std::string MessageIn(const Json& body) {
  if (!body.contains("error")) return body["message"];
  return body["error"].is_string() ? body["error"] : body["error"]["message"];
}

TEST_F(RestTest, EveryDoorRefusesInItsOwnWords) {
  const Refused cases[] = {
      {"/v1/embeddings", R"({})", 400, "input", "is missing"},
      {"/v1/embeddings", R"({"input":[]})", 400, "input", "is empty"},
      {"/v1/embeddings", R"({"input":""})", 400, "input", "is empty"},
      {"/v1/embeddings", R"({"input":["a",""]})", 400, "input[1]", "is empty"},
      {"/v1/embeddings", R"({"input":["a",[1]]})", 400, "input[1]", "an array"},
      {"/v1/embeddings", R"({"input":[[1],"a"]})", 400, "input[1]", "token ids"},
      {"/v1/embeddings", R"({"input":[[1,99999999]]})", 400, "input[0][1]", "allowed: below"},
      {"/v1/embeddings", R"({"input":{"a":1}})", 400, "input", "an object"},
      {"/v1/embeddings", R"({"input":"a","dimensions":0})", 400, "dimensions", "1 to 4"},
      {"/v1/embeddings", R"({"input":"a","dimensions":5})", 400, "dimensions", "at most 4"},
      {"/v1/embeddings", R"({"input":"a","dimensions":1.5})", 400, "dimensions", "1.5"},
      {"/v1/embeddings", R"({"input":"a","encoding_format":"hex"})", 400, "encoding_format",
       "'float', 'base64'"},
      {"/v1/embeddings", R"({"input":"a","task":"x"})", 400, "task", "no prompts"},
      {"/v1/embeddings", R"({"input":["a",""],"late_chunking":true})", 400, "input[1]", "empty"},
      {"/v1/embeddings", R"({"input":[1],"late_chunking":true})", 400, "late_chunking", "texts"},
      {"/v1/embeddings", R"([])", 400, "", "the body is an array"},
      {"/v2/embed", R"({"texts":["a",""]})", 400, "", "texts[1] is empty"},
      {"/v2/embed", R"({"texts":["a"],"embedding_types":["int4"]})", 400, "", "'int4'"},
      {"/v2/embed", R"({"texts":["a"],"embedding_types":[1]})", 400, "", "embedding_types"},
      {"/v2/embed", R"({"texts":[[1]]})", 400, "", "texts[0] is a list of numbers"},
      {"/v2/embed", R"({"texts":["a"],"output_dimension":0})", 400, "", "output_dimension is 0"},
      {"/embed", R"({"inputs":""})", 400, "", "is empty"},
      {"/embed", R"({"inputs":3})", 422, "", "inputs is the number 3"},
      {"/embed", R"({"inputs":"a","dimensions":9})", 422, "", "dimensions is 9"},
      {"/embed", R"({"inputs":"a","truncation_direction":"up"})", 422, "", "'right'"},
      {"/embed", R"({"inputs":"a","prompt_name":"x"})", 422, "", "prompt_name is 'x'"},
      {"/embed", R"({"inputs":"a","prompt_name":" is empty"})", 422, "", "prompt_name"},
      {"/embed", R"(nope)", 422, "", "not JSON"},
      {"/tokenize", R"({"inputs":[1]})", 422, "", "inputs"},
      {"/decode", R"({"ids":[99999999]})", 422, "", "ids[0] is 99999999"},
      {"/decode", R"({"ids":["a"]})", 422, "", "ids[0]"},
      {"/encode", R"({})", 400, "inputs", "is empty"},
      {"/encode", R"({"inputs":[{"text":"a"}],"options":{"spanPolicy":"SPAN_POLICY_FIXED"}})", 400,
       "options.span_tokens", "is 0"},
      {"/encode_tokens", R"({"input":{"text":"a"},"options":{"dimensions":2}})", 400,
       "options.dimensions", "is set"}};
  for (const Refused& refused : cases) {
    const RestAnswer answer = PostBytes(server_, refused.path, refused.body);
    EXPECT_EQ(answer.code, refused.code) << refused.path << " " << refused.body;
    ASSERT_TRUE(answer.body.is_object()) << answer.http.body;
    EXPECT_EQ(FieldIn(answer.body), refused.field) << answer.http.body;
    EXPECT_THAT(MessageIn(answer.body), HasSubstr(refused.message)) << answer.http.body;
    EXPECT_FALSE(answer.http.header("x-request-id").empty());
  }
}

TEST(RestLimitsTest, WhatIsTooLargeIsToldApart) {
  FakeModel model = RestModel();
  model.max_tokens = 8;
  ServerOptions options = RestOptions();
  options.max_texts_per_request = 2;
  options.max_text_bytes = 1000;
  options.max_request_bytes = 4000;
  TestServer server(model, options);
  const std::string long_text(300, 'a'), words = "a b c d e f g h i j k l";
  const RestAnswer tokens = Post(server, "/v1/embeddings", Json{{"input", words}});
  EXPECT_EQ(tokens.code, 400);
  EXPECT_EQ(tokens.body["error"]["code"], "context_length_exceeded");
  EXPECT_THAT(MessageIn(tokens.body), HasSubstr("(set truncate)"));
  const RestAnswer cut = Post(server, "/v1/embeddings", Json{{"input", words}, {"truncate", true}});
  EXPECT_EQ(cut.code, 200);
  EXPECT_TRUE(cut.body["data"][0]["truncated"]);
  EXPECT_EQ(Post(server, "/embed", Json{{"inputs", words}}).code, 413);
  EXPECT_EQ(Post(server, "/embed", Json{{"inputs", {"a", "b", "c"}}}).code, 413);
  EXPECT_EQ(Post(server, "/embed", Json{{"inputs", std::string(1001, 'a')}}).code, 413);
  EXPECT_EQ(Post(server, "/v1/embeddings", Json{{"input", {"a", "b", "c"}}}).code, 400);
  EXPECT_EQ(Post(server, "/v1/embeddings", Json{{"input", std::string(4000, 'a')}}).code, 413);
}

TEST(RestLimitsTest, CohereIsToldWhatWasCut) {
  FakeModel model = RestModel();
  model.max_tokens = 8;
  model.prompts = {{"query", "fox "}};
  TestServer server(model, RestOptions());
  const std::vector<std::string> texts = {"a", "a b c d e f g h i j"};
  EXPECT_EQ(Post(server, "/v2/embed", Json{{"texts", texts}}).code, 400);
  const RestAnswer cut = Post(server, "/v2/embed", Json{{"texts", texts}, {"truncate", "END"}});
  ASSERT_EQ(cut.code, 200) << cut.http.body;
  EXPECT_EQ(cut.body["meta"]["warnings"], Json({"texts[1] was cut"}));
  EXPECT_NE(
      cut.body["embeddings"],
      Post(server, "/v2/embed", Json{{"texts", texts}, {"truncate", "START"}}).body["embeddings"]);
  // A prompt is one where the model has it, and its want is told where the model has others.
  const auto embedded = [&](const Json& body) { return Post(server, "/v2/embed", body).body; };
  EXPECT_EQ(embedded({{"texts", {"a"}}, {"input_type", "search_query"}})["embeddings"],
            embedded({{"texts", {"fox a"}}})["embeddings"]);
  const Json document = embedded({{"texts", {"a"}}, {"input_type", "search_document"}});
  EXPECT_EQ(document["embeddings"], embedded({{"texts", {"a"}}})["embeddings"]);
  EXPECT_THAT(document["meta"]["warnings"][0].get<std::string>(), HasSubstr("search_document"));
}

TEST(RestLimitsTest, FieldsThatNobodyKnowsAreNamedOrRefused) {
  ServerOptions strict = RestOptions();
  strict.strict_json = true;
  TestServer lenient(RestModel(), RestOptions()), stern(RestModel(), strict);
  const std::pair<const char*, const char*> cases[] = {
      {"/v1/embeddings", R"({"input":"a","new":1})"},
      {"/embed", R"({"inputs":"a","new":1})"},
      {"/tokenize", R"({"inputs":"a","new":1})"},
      {"/encode", R"({"inputs":[{"text":"a"}],"new":1})"}};
  for (const auto& [path, body] : cases) {
    const RestAnswer answer = PostBytes(lenient, path, body);
    EXPECT_EQ(answer.code, 200) << answer.http.body;
    EXPECT_EQ(answer.http.header("x-ignored-fields"), "new");
    const RestAnswer refused = PostBytes(stern, path, body);
    EXPECT_EQ(refused.code / 100, 4) << path;
    EXPECT_THAT(MessageIn(refused.body), HasSubstr("'new' is not known"));
  }
}

TEST(RestAdmissionTest, AFullQueueSaysWhenToTryAgain) {
  FakeModel model = RestModel();
  ServerOptions options = RestOptions();
  options.max_queue_tokens = 64;
  TestServer server(model, options);
  model.gate->Close();
  auto first = std::async(std::launch::async, [&] {
    return Post(server, "/embed", Json{{"inputs", std::string(60, 'a')}});
  });
  while (!model.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  std::string words;
  for (int i = 0; i < 63; ++i) words += "a ";
  for (const auto& [path, field] : {std::pair{"/v1/embeddings", "input"}, {"/embed", "inputs"}}) {
    const RestAnswer answer = Post(server, path, Json{{field, words}});
    EXPECT_EQ(answer.code, 429) << answer.http.body;
    EXPECT_FALSE(answer.http.header("retry-after").empty());
  }
  const RestAnswer ours = Post(server, "/encode", Json{{"inputs", {{{"text", words}}}}});
  EXPECT_EQ(ours.code, 429);
  EXPECT_EQ(ours.body["error"]["status"], "RESOURCE_EXHAUSTED");
  model.gate->Open();
  EXPECT_EQ(first.get().code, 200);
}

TEST(RestAdmissionTest, TheHeaderSetsTheDeadline) {
  FakeModel model = RestModel();
  TestServer server(model, RestOptions());
  for (const char* value : {"0", "-1", "soon", "nan", "inf"}) {
    const RestAnswer answer = Post(server, "/embed", Json{{"inputs", "a"}},
                                   absl::StrCat("x-request-timeout: ", value, "\r\n"));
    EXPECT_EQ(answer.code, 422) << value;
    EXPECT_THAT(MessageIn(answer.body), HasSubstr("x-request-timeout"));
  }
  model.gate->Close();
  const RestAnswer answer =
      Post(server, "/v1/embeddings", Json{{"input", "a"}}, "x-request-timeout: 0.2\r\n");
  EXPECT_EQ(answer.code, 504) << answer.http.body;
  EXPECT_EQ(answer.body["error"]["type"], "server_error");
  model.gate->Open();
}

// A caller that goes away frees what it held, and nothing is computed for it.
TEST(RestAdmissionTest, ACallerThatGoesIsNotWorkedFor) {
  FakeModel model = RestModel();
  TestServer server(model, RestOptions());
  model.gate->Close();
  {
    HttpCaller caller(server.server().http_port());
    const std::string body = R"({"inputs":["a","b"]})";
    caller.Send(absl::StrCat("POST /embed HTTP/1.1\r\nHost: t\r\nContent-Length: ", body.size(),
                             "\r\n\r\n", body));
    while (!model.gate->held()) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_THAT(Get(server, "/metrics").http.body,
                HasSubstr("longspan_open_calls{method=\"http.embed\"} 1"));
  }
  std::string metrics;
  for (int i = 0; i < 10'000; ++i) {
    metrics = Get(server, "/metrics").http.body;
    if (metrics.find("longspan_open_calls{method=\"http.embed\"} 0") != std::string::npos) break;
    absl::SleepFor(absl::Milliseconds(2));
  }
  EXPECT_THAT(metrics, HasSubstr("longspan_open_calls{method=\"http.embed\"} 0"));
  EXPECT_THAT(metrics,
              HasSubstr("longspan_requests_total{code=\"CANCELLED\",method=\"http.embed\"} 1"));
  model.gate->Open();
  EXPECT_EQ(*model.texts_computed, 0);
}

// The first text that fails ends the request, and nothing of the others is answered.
TEST(RestAdmissionTest, ARequestIsAnsweredAsAWholeOrNotAtAll) {
  FakeModel model = RestModel();
  model.fault = [](int32_t first_id, int32_t) {
    return first_id == 7 ? absl::InternalError("broken") : absl::OkStatus();
  };
  TestServer server(model, RestOptions());
  const RestAnswer answer = Post(server, "/v1/embeddings", Json{{"input", {{1, 2}, {7}, {3}}}});
  EXPECT_EQ(answer.code, 500);
  EXPECT_EQ(answer.body["error"]["type"], "server_error");
}

TEST(RestKeysTest, EveryApiNeedsAKeyWhereThereAreKeys) {
  TemporaryFolder folder;
  ServerOptions options = RestOptions();
  options.auth_keys_file = folder.WriteText("keys", "anna secret-of-anna\n");
  TestServer server(RestModel(), options);
  for (const char* route :
       {"/v1/embeddings", "/v2/embed", "/v1/embed", "/embed", "/", "/embed_all", "/embed_sparse",
        "/tokenize", "/decode", "/rerank", "/v1/rerank", "/v2/rerank", "/search", "/encode",
        "/encode_tokens", "/encode_stream"}) {
    EXPECT_EQ(PostBytes(server, route, "{}").code, 401) << route;
  }
  for (const char* route : {"/v1/models", "/info", "/model"})
    EXPECT_EQ(Get(server, route).code, 401) << route;
  EXPECT_EQ(Get(server, "/health").code, 200);
  const RestAnswer answer =
      Post(server, "/embed", Json{{"inputs", "a"}}, "Authorization: Bearer secret-of-anna\r\n");
  EXPECT_EQ(answer.code, 200) << answer.http.body;
  EXPECT_THAT(LogOf(server), HasSubstr("\"key\":\"anna\""));
}

TEST_F(RestTest, ARequestIsCountedAndLogged) {
  Post(server_, "/v1/embeddings", Json{{"input", "a"}},
       "x-request-id: my-id\r\n"
       "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
  const RestAnswer refused =
      Post(server_, "/v1/embeddings", Json{{"input", ""}}, "x-request-id: bad id\r\n");
  EXPECT_EQ(refused.code, 400);
  EXPECT_EQ(refused.http.header("x-request-id").size(), 16);  // one of ours: a blank is not plain
  const std::string metrics = Get(server_, "/metrics").http.body;
  EXPECT_THAT(metrics,
              HasSubstr("longspan_requests_total{code=\"OK\",method=\"http.v1.embeddings\"} 1"));
  EXPECT_THAT(metrics,
              HasSubstr("longspan_http_requests_total{code=\"200\",route=\"/v1/embeddings\"} 1"));
  const std::string log = LogOf(server_);
  EXPECT_THAT(log, HasSubstr("\"method\":\"http.v1.embeddings\""));
  EXPECT_THAT(log, HasSubstr("\"request_id\":\"my-id\""));
  EXPECT_THAT(log, HasSubstr("\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c"));
  EXPECT_THAT(log, HasSubstr("\"code\":\"INVALID_ARGUMENT\""));
}

TEST(RestPhaseTest, BeforeItServesItSaysSo) {
  TestServer server(RestModel(), RestOptions(), /*start=*/false);
  const RestAnswer answer = Post(server, "/v1/embeddings", Json{{"input", "a"}});
  EXPECT_EQ(answer.code, 503);
  EXPECT_FALSE(answer.http.header("retry-after").empty());
  EXPECT_EQ(Get(server, "/health").code, 503);
}

// The page that shows the document comes from this server alone.
TEST_F(RestTest, DocsComeWithAllThatTheyAreMadeOf) {
  HttpCaller caller(server_.server().http_port());
  const HttpAnswer page = caller.Get("/docs");
  ASSERT_EQ(page.code, 200);
  EXPECT_THAT(page.header("content-type"), StartsWith("text/html"));
  EXPECT_THAT(page.header("content-security-policy"), HasSubstr("connect-src 'self'"));
  EXPECT_EQ(page.body.find("//"), std::string::npos);  // no other host
  const std::pair<const char*, const char*> parts[] = {
      {"docs/swagger-ui.css", "text/css"},
      {"docs/swagger-ui-bundle.js", "text/javascript"},
      {"docs/start.js", "text/javascript"}};
  for (const auto& [path, type] : parts) {
    EXPECT_THAT(page.body, HasSubstr(path));
    const HttpAnswer part = caller.Get(absl::StrCat("/", path));
    EXPECT_EQ(part.code, 200) << path;
    EXPECT_THAT(part.header("content-type"), StartsWith(type));
    EXPECT_EQ(caller
                  .Get(absl::StrCat("/", path),
                       absl::StrCat("If-None-Match: ", part.header("etag"), "\r\n"))
                  .code,
              304);
  }
}

// What /openapi.json names is there, and what is there is named.
TEST_F(RestTest, TheDocumentNamesTheRoutesThatAreThere) {
  const RestAnswer answer = Get(server_, "/openapi.json");
  ASSERT_EQ(answer.code, 200);
  EXPECT_THAT(answer.body["openapi"].get<std::string>(), StartsWith("3.1"));
  std::set<std::string> named;
  for (const auto& [path, operations] : answer.body["paths"].items()) {
    named.insert(path);
    for (const auto& [method, unused] : operations.items()) {
      HttpCaller caller(server_.server().http_port());
      const int code =
          caller
              .Ask(absl::StrCat(absl::AsciiStrToUpper(method), " ", path,
                                " HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n", "\r\n{}"))
              .code;
      EXPECT_NE(code, 404) << method << " " << path;
      EXPECT_NE(code, 405) << method << " " << path;
    }
  }
  for (const char* path :
       {"/v1/embeddings", "/v1/models", "/embed", "/embed_all", "/embed_sparse", "/tokenize",
        "/decode", "/info", "/encode", "/encode_tokens", "/encode_stream", "/model"}) {
    EXPECT_TRUE(named.contains(path)) << path;
  }
  // Every field of a request is described.
  const Json& fields = answer.body["components"]["schemas"]["EncodeOptions"]["properties"];
  EXPECT_EQ(fields.size(), v1::EncodeOptions::descriptor()->field_count());
}

}  // namespace
}  // namespace longspan
