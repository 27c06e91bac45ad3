// tei.v1 on a real server: the unary calls, what they answer and what they refuse, and that they
// pass the same doors as longspan.v1. Its streams are in tei_streams_test.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <future>
#include <set>

#include "tests/integration/server_process.h"
#include "tests/integration/tei_calls.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);
const std::string kBert = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";

FakeModel ModelOfTexts() { return {.tokenizer_folder = kBert}; }

v1::EncodeRequest EncodeText(const std::string& text) {
  v1::EncodeRequest request;
  request.add_inputs()->set_text(text);
  return request;
}

std::vector<float> Values(const google::protobuf::RepeatedField<float>& values) {
  return {values.begin(), values.end()};
}

double LengthOf(const std::vector<float>& vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * value;
  return std::sqrt(squares);
}

// The embedded model, by its vectors of longspan.v1.
class TeiVectorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int port = process_.Port();
    ASSERT_GT(port, 0);
    client_ = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  }
  std::vector<float> Encoded(bool normalize, uint32_t dimensions = 0) {
    v1::EncodeRequest request = EncodeText(kText);
    request.mutable_options()->set_normalize(normalize);
    request.mutable_options()->set_dimensions(dimensions);
    const auto response = client_->Encode(request, kLong);
    EXPECT_TRUE(response.ok()) << response.status();
    return Values(response->encodings(0).vector().values());
  }
  std::vector<float> Embedded(const tei::v1::EmbedRequest& request) {
    const auto result = Embed(*client_, request);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    return Values(result.response.embeddings());
  }

  const std::string kText = "the party of the first part shall pay the party of the second part";
  ServerProcess process_{{"--model", LONGSPAN_EMBEDDED_MODEL, "--drain-delay", "0"}};
  std::unique_ptr<Client> client_;
};

TEST_F(TeiVectorsTest, AreThoseOfEncode_NormalisedUnlessToldOtherwise) {
  tei::v1::EmbedRequest request = EmbedText(kText);
  const std::vector<float> vector = Embedded(request);
  EXPECT_EQ(vector, Encoded(/*normalize=*/true));
  EXPECT_NEAR(LengthOf(vector), 1, 1e-5);
  request.set_normalize(true);
  EXPECT_EQ(Embedded(request), vector);
  request.set_normalize(false);
  EXPECT_EQ(Embedded(request), Encoded(/*normalize=*/false));
  EXPECT_GT(std::abs(LengthOf(Embedded(request)) - 1), 1e-3);
  request.set_normalize(true);
  request.set_dimensions(16);
  EXPECT_EQ(Embedded(request), Encoded(/*normalize=*/true, 16));
  EXPECT_EQ(Embedded(request).size(), 16u);
  EXPECT_NEAR(LengthOf(Embedded(request)), 1, 1e-5);
}

TEST_F(TeiVectorsTest, OfTokensAreThoseOfEncodeTokens_NotNormalised) {
  tei::v1::EmbedAllRequest request;
  request.set_inputs(kText);
  const auto all = EmbedAll(*client_, request);
  ASSERT_TRUE(all.status.ok()) << all.status.error_message();
  v1::EncodeTokensRequest tokens;
  tokens.mutable_input()->set_text(kText);
  std::vector<float> rows;
  uint32_t width = 0;
  ASSERT_TRUE(client_
                  ->EncodeTokens(tokens, kLong,
                                 [&](const v1::EncodeTokensResponse& part) {
                                   rows.insert(rows.end(), part.values().begin(),
                                               part.values().end());
                                   width = part.dimensions();
                                 })
                  .ok());
  ASSERT_EQ(all.response.token_embeddings_size() * width, rows.size());
  std::vector<float> joined;
  for (const auto& token : all.response.token_embeddings())
    joined.insert(joined.end(), token.embeddings().begin(), token.embeddings().end());
  EXPECT_EQ(joined, rows);
  EXPECT_GT(std::abs(LengthOf(Values(all.response.token_embeddings(0).embeddings())) - 1), 1e-3);
  EXPECT_EQ(all.response.metadata().compute_tokens(), all.response.token_embeddings_size());
}

TEST(TeiEmbedSparseTest, GivesTheWordsOfTheText_AsEncodeDoes_WithoutAPass) {
  FakeModel fake = ModelOfTexts();
  TestServer server(fake);
  fake.gate->Close();  // the model runs for nobody
  const std::string text = "The ruling of the court, and the courts' rulings.";
  tei::v1::EmbedSparseRequest request;
  request.set_inputs(text);
  const auto sparse = EmbedSparse(server.client(), request);
  ASSERT_TRUE(sparse.status.ok()) << sparse.status.error_message();
  v1::EncodeRequest words = EncodeText(text);
  words.mutable_options()->set_include_document_vector(false);
  words.mutable_options()->mutable_lexical();
  const auto encoded = server.client().Encode(words, kLong);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_FALSE(encoded->encodings(0).has_vector());
  const v1::LexicalVector& lexical = encoded->encodings(0).lexical();
  ASSERT_EQ(lexical.indices_size(), 5);  // the, rule, of, court, and
  ASSERT_EQ(sparse.response.sparse_embeddings_size(), lexical.indices_size());
  for (int i = 0; i < lexical.indices_size(); ++i) {
    EXPECT_EQ(sparse.response.sparse_embeddings(i).index(), lexical.indices(i));
    EXPECT_EQ(sparse.response.sparse_embeddings(i).value(), lexical.values(i));
  }
  EXPECT_EQ(sparse.response.metadata().compute_tokens(), encoded->encodings(0).tokens_used());
  request.set_prompt_name("query");
  const auto asked = EmbedSparse(server.client(), request);
  for (const auto& word : asked.response.sparse_embeddings()) EXPECT_EQ(word.value(), 1);
  fake.gate->Open();
}

TEST(TeiEmbedSparseTest, ATextThatIsTooLong_IsCutOrRefused) {
  TestServer server(ModelOfTexts(), {.max_tokens = 4});
  tei::v1::EmbedSparseRequest request;
  request.set_inputs("fox dog cat bird");
  const auto refused = EmbedSparse(server.client(), request);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.details().field, "inputs");
  request.set_truncate(true);
  const auto cut = EmbedSparse(server.client(), request);
  ASSERT_TRUE(cut.status.ok()) << cut.status.error_message();
  EXPECT_EQ(cut.response.sparse_embeddings_size(), 2);
}

TEST(TeiEmbedTest, MetadataCountsCharactersAndTokensAndTimes) {
  TestServer server(ModelOfTexts());
  const auto result = Embed(server.client(), EmbedText("der Überfluß 🙂"));
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  const tei::v1::Metadata& metadata = result.response.metadata();
  EXPECT_EQ(metadata.compute_chars(), 14u);
  const auto encoded = server.client().Encode(EncodeText("der Überfluß 🙂"), kLong);
  EXPECT_EQ(metadata.compute_tokens(), encoded->encodings(0).tokens_used());
  EXPECT_GT(metadata.tokenization_time_ns(), 0u);
  EXPECT_GT(metadata.inference_time_ns(), 0u);
  EXPECT_GE(metadata.total_time_ns(), metadata.tokenization_time_ns() + metadata.queue_time_ns() +
                                          metadata.inference_time_ns());
}

TEST(TeiEmbedTest, TruncationCutsTheEndOrTheBeginning) {
  FakeModel fake = ModelOfTexts();
  fake.max_tokens = 6;
  TestServer server(fake);
  tei::v1::EmbedRequest request = EmbedText("the law of the state and of the party");
  const auto refused = Embed(server.client(), request);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.details().field, "inputs");
  EXPECT_EQ(refused.details().reason, "MAX_TOKENS");
  EXPECT_EQ(refused.status.error_message(),
            "inputs has 19 tokens; this model takes at most 6 (set truncate)");
  for (const auto& [direction, truncation] :
       {std::pair{tei::v1::TRUNCATION_DIRECTION_RIGHT, v1::TRUNCATION_HEAD},
        std::pair{tei::v1::TRUNCATION_DIRECTION_LEFT, v1::TRUNCATION_TAIL}}) {
    request.set_truncate(true);
    request.set_truncation_direction(direction);
    const auto cut = Embed(server.client(), request);
    ASSERT_TRUE(cut.status.ok()) << cut.status.error_message();
    EXPECT_EQ(cut.response.metadata().compute_tokens(), 6u);
    v1::EncodeRequest same = EncodeText(request.inputs());
    same.mutable_options()->set_truncation(truncation);
    EXPECT_EQ(Values(cut.response.embeddings()),
              Values(server.client().Encode(same, kLong)->encodings(0).vector().values()));
  }
}

TEST(TeiEmbedTest, BadInput_IsRefusedWithCodeFieldAndAllowedRange_BeforeAnyWork) {
  FakeModel fake = ModelOfTexts();
  fake.prompts = {{"query", "query: "}};
  TestServer server(fake, {.max_text_bytes = 1000});
  struct Row {
    const char* name;
    std::function<void(tei::v1::EmbedRequest*)> spoil;
    const char* field;
    const char* message;
  };
  const std::vector<Row> rows = {
      {"empty", [](auto* r) { r->clear_inputs(); }, "inputs",
       "inputs is empty; allowed: 1 to 1000 bytes"},
      {"too many bytes", [](auto* r) { r->set_inputs(std::string(1001, 'x')); }, "inputs",
       "inputs has 1001 bytes; allowed: 1 to 1000 bytes"},
      {"no dimension", [](auto* r) { r->set_dimensions(0); }, "dimensions",
       "dimensions is 0; allowed: 1 to 4"},
      {"too many dimensions", [](auto* r) { r->set_dimensions(5); }, "dimensions",
       "dimensions is 5; allowed: 1 to 4"},
      {"direction",
       [](auto* r) { r->set_truncation_direction(static_cast<tei::v1::TruncationDirection>(7)); },
       "truncation_direction",
       "truncation_direction is 7; allowed: a value of tei.v1.TruncationDirection, 0..1"},
      {"prompt", [](auto* r) { r->set_prompt_name("passage"); }, "prompt_name",
       "prompt_name is 'passage'; allowed: 'query'"},
  };
  for (const Row& row : rows) {
    tei::v1::EmbedRequest request = EmbedText("a text");
    row.spoil(&request);
    const auto result = Embed(server.client(), request);
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << row.name;
    EXPECT_EQ(result.details().field, row.field) << row.name;
    EXPECT_EQ(result.status.error_message(), row.message) << row.name;
  }
  EXPECT_EQ(*fake.texts_computed, 0);
}

TEST(TeiEmbedTest, APromptIsPutInFront) {
  FakeModel fake = ModelOfTexts();
  fake.prompts = {{"query", "query: "}};
  TestServer server(fake);
  tei::v1::EmbedRequest request = EmbedText("of law");
  request.set_prompt_name("query");
  const auto prompted = Embed(server.client(), request);
  ASSERT_TRUE(prompted.status.ok()) << prompted.status.error_message();
  EXPECT_EQ(Values(prompted.response.embeddings()),
            Values(Embed(server.client(), EmbedText("query: of law")).response.embeddings()));
  EXPECT_EQ(prompted.response.metadata().compute_chars(), 6u) << "of the text alone";
}

TEST(TeiEmbedTest, AModelWithoutTokenizer_IsFailedPrecondition) {
  TestServer server;
  const auto result = Embed(server.client(), EmbedText("a text"));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(result.status.error_message(), HasSubstr("no tokenizer"));
}

TEST(TeiEmbedAllTest, TokensBeyondTheLargestAnswer_AreRefusedBeforeTheyAreComputed) {
  FakeModel fake = ModelOfTexts();
  fake.width = 1024;
  TestServer server(fake, {.max_answer_bytes = 64 << 10});
  tei::v1::EmbedAllRequest request;
  request.set_inputs("of the law");
  const auto fits = EmbedAll(server.client(), request);  // 6 tokens of 4 KiB
  ASSERT_TRUE(fits.status.ok()) << fits.status.error_message();
  EXPECT_EQ(fits.response.token_embeddings_size(), 6);
  EXPECT_EQ(*fake.texts_computed, 1);
  for (int i = 0; i < 10; ++i) request.mutable_inputs()->append(" of the law");
  const auto refused = EmbedAll(server.client(), request);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.details().field, "inputs");
  EXPECT_EQ(refused.details().reason, "MAX_ANSWER_BYTES");
  EXPECT_EQ(*fake.texts_computed, 1) << "nothing is computed that cannot be sent";
}

TEST(TeiEmbedAllTest, RoomForTokenVectorsComesBack) {
  FakeModel fake = ModelOfTexts();
  fake.width = 1024;
  // Each answer takes 24 of these 30 KiB.
  TestServer server(fake, {.max_token_vector_bytes = 30 << 10});
  tei::v1::EmbedAllRequest request;
  request.set_inputs("of the law");
  for (int i = 0; i < 5; ++i) {
    const auto result = EmbedAll(server.client(), request);
    ASSERT_TRUE(result.status.ok()) << i << ": " << result.status.error_message();
  }
}

TEST(TeiInfoTest, TellsTheModelAndTheLimitsInForce) {
  TestServer server(ModelOfTexts(), {.tokenizer_threads = 3,
                                     .max_batch_tokens = 2000,
                                     .max_texts_per_request = 7,
                                     .max_concurrent_streams = 10});
  const TeiStubs stubs(server.client());
  const auto result = CallTei<tei::v1::InfoResponse>(
      server.client(),
      [&](auto* context, auto* response) { return stubs.info->Info(context, {}, response); });
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  const tei::v1::InfoResponse& info = result.response;
  EXPECT_EQ(info.version(), server.client().GetModelInfo(kLong)->server_version());
  EXPECT_EQ(info.model_id(), "fake");
  EXPECT_EQ(info.model_dtype(), "float32");
  EXPECT_EQ(info.model_type(), tei::v1::MODEL_TYPE_EMBEDDING);
  EXPECT_EQ(info.max_concurrent_requests(), 10u);
  EXPECT_EQ(info.max_input_length(), 4096u);
  EXPECT_EQ(info.max_batch_tokens(), 2000u);
  EXPECT_EQ(info.max_client_batch_size(), 7u);
  EXPECT_EQ(info.tokenization_workers(), 3u);
  EXPECT_FALSE(info.has_sha() || info.has_docker_label() || info.has_model_sha() ||
               info.has_max_batch_requests());
}

// A page of the server's HTTP port.
std::string Page(int port, const std::string& path) {
  const std::string command = absl::StrCat("curl -s --noproxy '*' http://127.0.0.1:", port, path);
  FILE* pipe = popen(command.c_str(), "r");
  std::string page;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) page.append(buffer, n);
  pclose(pipe);
  return page;
}

// The answer to a call of any method with an empty message.
grpc::Status CallEmpty(const Client& client, const std::string& path) {
  grpc::GenericStub stub(client.channel());
  grpc::ClientContext context;
  client.Prepare(&context, absl::Seconds(20));
  const grpc::Slice empty;
  const grpc::ByteBuffer request(&empty, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, path, {}, &request, &response,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

// gRPC itself answers a method that is not there with UNIMPLEMENTED and no word.
TEST(TeiServiceTest, EveryMethodOfTheContractIsThere_OrSaysWhatToUse) {
  TestServer server(ModelOfTexts());
  const auto* file = tei::v1::EmbedRequest::descriptor()->file();
  std::set<std::string> unserved;
  int methods = 0;
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m, ++methods) {
      const auto* method = file->service(s)->method(m);
      const grpc::Status status = CallEmpty(
          server.client(), absl::StrCat("/", file->service(s)->full_name(), "/", method->name()));
      if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
        unserved.insert(method->name());
        EXPECT_THAT(status.error_message(),
                    AnyOf(HasSubstr("; use Embed"), HasSubstr("; use Rerank")))
            << method->full_name();
      }
    }
  }
  EXPECT_EQ(methods, 17);
  EXPECT_THAT(unserved, ElementsAre("Predict", "PredictPair", "PredictPairStream", "PredictStream",
                                    "RerankStream"));
}

TEST(TeiServiceTest, KeysAreAskedFor_OfEveryMethod) {
  const TemporaryFolder folder;
  TestServer server(ModelOfTexts(), {.auth_keys_file = folder.WriteText("keys", "secret-one\n")});
  for (const char* path :
       {"/tei.v1.Info/Info", "/tei.v1.Embed/Embed", "/tei.v1.Embed/EmbedStream",
        "/tei.v1.Embed/EmbedAll", "/tei.v1.Tokenize/Decode", "/tei.v1.Rerank/Rerank"}) {
    EXPECT_EQ(CallEmpty(server.client(), path).error_code(), grpc::StatusCode::UNAUTHENTICATED)
        << path;
  }
  const auto right =
      *Client::Connect({.server = server.address(), .key = "secret-one", .retry = false});
  EXPECT_TRUE(Embed(*right, EmbedText("a text")).status.ok());
}

TEST(TeiServiceTest, LoadingAndDraining_AreUnavailable) {
  TestServer loading(ModelOfTexts(), {}, /*start=*/false);
  EXPECT_EQ(Embed(loading.client(), EmbedText("a text")).status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
  FakeModel fake = ModelOfTexts();
  TestServer server(fake);
  fake.gate->Close();
  auto accepted =
      std::async(std::launch::async, [&] { return Embed(server.client(), EmbedText("a text")); });
  while (!fake.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  auto drained = std::async(std::launch::async, [&] { return server.server().Drain(); });
  while (true) {
    const auto late = Embed(server.client(), EmbedText("late"), absl::Milliseconds(200));
    if (late.status.error_code() == grpc::StatusCode::UNAVAILABLE) break;
  }
  fake.gate->Open();
  EXPECT_TRUE(accepted.get().status.ok()) << "what was accepted is answered";
  EXPECT_TRUE(drained.get());
}

TEST(TeiServiceTest, TooLarge_TooMuch_TooLate) {
  FakeModel fake = ModelOfTexts();
  TestServer server(fake, {.max_queue_tokens = 200, .max_request_bytes = 1000});
  const auto large = Embed(server.client(), EmbedText(std::string(2000, 'x')));
  EXPECT_EQ(large.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(large.details().reason, "MAX_REQUEST_BYTES");
  fake.gate->Close();
  std::string text = "the";
  for (int i = 0; i < 147; ++i) text += " the";  // 150 tokens
  auto first =
      std::async(std::launch::async, [&] { return Embed(server.client(), EmbedText(text)); });
  while (!fake.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  const auto full = Embed(server.client(), EmbedText(text));
  EXPECT_EQ(full.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(full.details().reason, "MAX_QUEUE_TOKENS");
  EXPECT_GT(full.details().retry_seconds, 0);
  const auto late = Embed(server.client(), EmbedText("the"), absl::Milliseconds(100));
  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  fake.gate->Open();
  EXPECT_TRUE(first.get().status.ok());
}

TEST(TeiServiceTest, MetricsAndLogNameTheMethod) {
  TestServer server(ModelOfTexts(), {.http = "127.0.0.1:0"});
  ASSERT_TRUE(Embed(server.client(), EmbedText("the world")).status.ok());
  EXPECT_FALSE(Embed(server.client(), EmbedText("")).status.ok());
  ASSERT_TRUE(Tokenize(server.client(), {}).status.error_code() ==
              grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(CallEmpty(server.client(), "/tei.v1.Predict/Predict").ok());
  const std::string page = Page(server.server().http_port(), "/metrics");
  for (const char* line :
       {"longspan_requests_total{code=\"OK\",method=\"tei.Embed\"} 1",
        "longspan_requests_total{code=\"INVALID_ARGUMENT\",method=\"tei.Embed\"} 1",
        "longspan_requests_total{code=\"INVALID_ARGUMENT\",method=\"tei.Tokenize\"} 1",
        "longspan_requests_total{code=\"UNIMPLEMENTED\",method=\"tei.Unserved\"} 1",
        "longspan_request_seconds_count{method=\"tei.Embed\"} 2", "longspan_tokens_total 4"})
    EXPECT_THAT(page, HasSubstr(line));
  server.log().Flush();
  std::ifstream file(server.log_path());
  const std::string log{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(log, HasSubstr("\"method\":\"tei.Embed\""));
  EXPECT_THAT(log, testing::Not(HasSubstr("the world")));
}

}  // namespace
}  // namespace longspan
