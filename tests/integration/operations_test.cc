// What an operator sees: health and its Watch during a drain, probes, metrics that promtool
// accepts, the request log, and the process itself: start, signals, exit codes, one OpenMP runtime.
#include <gmock/gmock.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <future>
#include <map>
#include <regex>
#include <set>
#include <thread>

#include "nlohmann/json.hpp"
#include "tests/http_caller.h"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Seconds(20);

// Output and exit code of a shell command.
std::pair<std::string, int> Shell(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  const int status = pclose(pipe);
  return {output, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

std::string Get(int port, const std::string& path) {
  return Shell(
             absl::StrCat("curl -s --noproxy '*' -w ' %{http_code}' http://127.0.0.1:", port, path))
      .first;
}

TEST(HealthTest, Check_KnowsItsNames) {
  TestServer server;
  for (const char* name :
       {"", "liveness", "longspan.v1.EncoderService", "tei.v1.Embed", "tei.v1.Tokenize"})
    EXPECT_EQ(*server.client().Health(name, kLong), "SERVING") << name;
  EXPECT_EQ(server.client().Health("nobody", kLong).status().code(), absl::StatusCode::kNotFound);
}

TEST(HealthTest, List_NamesEveryServiceWithItsStatus) {
  TestServer server;
  const auto stub = grpc::health::v1::Health::NewStub(server.client().channel());
  const auto list = [&] {
    grpc::ClientContext context;
    server.client().Prepare(&context, kLong);
    grpc::health::v1::HealthListResponse response;
    EXPECT_TRUE(stub->List(&context, {}, &response).ok());
    std::map<std::string, int> statuses;
    for (const auto& [name, status] : response.statuses()) statuses[name] = status.status();
    return statuses;
  };
  constexpr int kServing = grpc::health::v1::HealthCheckResponse::SERVING;
  EXPECT_THAT(list(),
              testing::ElementsAre(testing::Pair("", kServing), testing::Pair("liveness", kServing),
                                   testing::Pair("longspan.v1.EncoderService", kServing),
                                   testing::Pair("tei.v1.Embed", kServing),
                                   testing::Pair("tei.v1.Info", kServing),
                                   testing::Pair("tei.v1.Rerank", kServing),
                                   testing::Pair("tei.v1.Tokenize", kServing)));
}

TEST(HealthTest, BeforeWarmUp_NothingIsReadyButTheProcessLives) {
  TestServer server({}, {.http = "127.0.0.1:0"}, /*start=*/false);
  EXPECT_EQ(*server.client().Health("", kLong), "NOT_SERVING");
  EXPECT_EQ(*server.client().Health("longspan.v1.EncoderService", kLong), "NOT_SERVING");
  EXPECT_EQ(*server.client().Health("liveness", kLong), "SERVING");
  const int port = server.server().http_port();
  EXPECT_THAT(Get(port, "/startupz"), HasSubstr(" 503"));
  EXPECT_THAT(Get(port, "/readyz"), HasSubstr(" 503"));
  EXPECT_THAT(Get(port, "/healthz"), HasSubstr("ok\n 200"));
}

TEST(HealthTest, ALostDevice_IsNotServingAndEndsTheProcessOnce) {
  FakeModel fake;
  fake.fault = [](int32_t, int32_t) { return absl::Status(kDeviceLost, "fell off the bus"); };
  std::atomic<int> ends = 0;
  TestServer server(fake, {.http = "127.0.0.1:0"}, /*start=*/true, [&] { ++ends; });
  const auto answer = server.client().Encode(IdsRequest({{1}}), kLong);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("device is lost"));
  const absl::Time until = absl::Now() + kLong;
  while (ends == 0 && absl::Now() < until) absl::SleepFor(absl::Milliseconds(20));
  for (const char* name : {"", "liveness"})
    EXPECT_EQ(*server.client().Health(name, kLong), "NOT_SERVING") << name;
  EXPECT_THAT(Get(server.server().http_port(), "/healthz"), HasSubstr(" 503"));
  EXPECT_EQ(server.client().Encode(IdsRequest({{1}}), kLong).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(ends, 1);
}

TEST(HealthTest, Watch_GetsNotServingInADrainAndEnds) {
  TestServer server;
  const auto stub = grpc::health::v1::Health::NewStub(server.client().channel());
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto watch = stub->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  const absl::Time start = absl::Now();
  auto drained = std::async(std::launch::async, [&] { return server.server().Drain(); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_TRUE(watch->Finish().ok());
  EXPECT_TRUE(drained.get());
  EXPECT_LT(absl::Now() - start, absl::Seconds(5)) << "an open Watch does not hold the shutdown";
}

TEST(HealthTest, Watch_OfAnUnknownNameStaysOpen) {
  TestServer server;
  const auto stub = grpc::health::v1::Health::NewStub(server.client().channel());
  grpc::ClientContext context;
  server.client().Prepare(&context, absl::Seconds(1));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("nobody");
  const auto watch = stub->Watch(&context, request);
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(OperationsTest, ProbesAndMetrics) {
  FakeModel fake;
  fake.team_speeds = {{.teams = {1, 2}, .tokens_per_second = 1250}};
  TestServer server(fake, {.http = "127.0.0.1:0", .threads = 2});
  ASSERT_TRUE(server.client().Encode(IdsRequest({{1, 2, 3}}), kLong).ok());
  EXPECT_FALSE(server.client().Encode({}, kLong).ok());
  const int port = server.server().http_port();
  for (const char* path : {"/healthz", "/readyz", "/startupz"})
    EXPECT_THAT(Get(port, path), HasSubstr("ok\n 200")) << path;
  EXPECT_THAT(Get(port, "/nothing"), HasSubstr(" 404"));
  const std::string metrics = Get(port, "/metrics");
  for (const char* line : {"longspan_requests_total{code=\"OK\",method=\"Encode\"} 1",
                           "longspan_requests_total{code=\"INVALID_ARGUMENT\",method=\"Encode\"} 1",
                           "longspan_rejected_total{reason=\"INVALID_ARGUMENT\"} 1",
                           "longspan_tokens_total 3",
                           "longspan_batch_texts_count 1",
                           "longspan_compute_seconds_count{device=\"cpu\"} 1",
                           "longspan_queue_seconds_count{lane=\"short\"} 1",
                           "longspan_queue_texts 0",
                           "longspan_draining 0",
                           "longspan_request_seconds_by_length_count{bucket=\"128\"} 1",
                           "process_resident_memory_bytes ",
                           "longspan_model_info{",
                           "longspan_build_info{",
                           "longspan_oom_splits_total 0",
                           "longspan_truncated_total 0",
                           "longspan_arena_bytes ",
                           "longspan_batch_prediction_ratio_count 1",
                           "longspan_cost_correction_ratio{lane=\"short\"} ",
                           "longspan_compute_replicas 1",
                           "longspan_compute_threads 2",
                           "longspan_start_tokens_per_second{replicas=\"1\",threads=\"2\"} 1250"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  const auto [report, code] = Shell(absl::StrCat("curl -s --noproxy '*' http://127.0.0.1:", port,
                                                 "/metrics | promtool check metrics 2>&1"));
  ASSERT_NE(code, 127) << "promtool is missing: ./dev test fetches it (Debian: package prometheus)";
  EXPECT_EQ(code, 0) << report;
}

TEST(OperationsTest, TeiMetricNames_CountTheSameCalls) {
  TestServer server({}, {.http = "127.0.0.1:0", .tei_metric_names = true});
  ASSERT_TRUE(server.client().Encode(IdsRequest({{1, 2, 3}, {4}}), kLong).ok());
  EXPECT_FALSE(server.client().Encode({}, kLong).ok());
  v1::EncodeStreamRequest item;
  *item.mutable_input() = IdsRequest({{5}}).inputs(0);
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = server.client().stub().EncodeStream(&context);
  ASSERT_TRUE(stream->Write(item));
  stream->WritesDone();
  v1::EncodeStreamResponse answer;
  while (stream->Read(&answer)) EXPECT_EQ(answer.encoding().status().code(), 0);
  EXPECT_TRUE(stream->Finish().ok());
  const std::string metrics = Get(server.server().http_port(), "/metrics");
  for (const char* line :
       {"te_request_count{method=\"batch\"} 1", "te_request_success{method=\"batch\"} 1",
        "te_request_success{method=\"single\"} 1", "te_request_failure{err=\"validation\"} 1",
        "te_embed_success 3", "te_embed_duration_count 3", "te_request_input_length_sum 5",
        "te_batch_next_tokens_sum 5", "te_queue_size 0", "longspan_tokens_total 5"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

TEST(OperationsTest, RequestLogIsOneJsonObjectALineWithoutTheText) {
  TestServer server;
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  context.AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  context.AddMetadata("x-request-id", "request-7");
  v1::EncodeRequest request;
  request.add_inputs()->set_text("a secret text");
  v1::EncodeResponse response;
  EXPECT_FALSE(server.client().stub().Encode(&context, request, &response).ok());
  // gRPC's clients repeat no call of which initial metadata have come.
  EXPECT_EQ(context.GetServerInitialMetadata().count("x-request-id"), 0u);
  EXPECT_EQ(context.GetServerTrailingMetadata().find("x-request-id")->second, "request-7");
  bool seen = false;
  for (int i = 0; i < 50 && !seen; ++i) {
    server.log().Flush();
    absl::SleepFor(absl::Milliseconds(20));
    std::ifstream file(server.log_path());
    for (std::string line; std::getline(file, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      ASSERT_TRUE(json.is_object()) << line;
      EXPECT_THAT(line, Not(HasSubstr("secret")));
      if (json["event"] != "request") continue;
      seen = true;
      EXPECT_EQ(json["method"], "Encode");
      EXPECT_EQ(json["code"], "FAILED_PRECONDITION");
      EXPECT_EQ(json["request_id"], "request-7");
      EXPECT_EQ(json["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    }
  }
  EXPECT_TRUE(seen);
}

TEST(OperationsTest, Start_LogsEachWarningOfTheModelFolderOnce) {
  FakeModel fake;
  fake.warnings = {"/m/config.json: \"colour\" is not known",
                   "/m/config.json: \"shape\" is not known"};
  TestServer server(fake);
  std::vector<std::string> seen;
  for (int i = 0; i < 50 && seen.size() < 2; ++i) {
    server.log().Flush();
    absl::SleepFor(absl::Milliseconds(20));
    seen.clear();
    std::ifstream file(server.log_path());
    for (std::string line; std::getline(file, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (json["event"] != "model_folder") continue;
      EXPECT_EQ(json["level"], "warning");
      seen.push_back(json["warning"]);
    }
  }
  EXPECT_EQ(seen, fake.warnings);
}

TEST(OperationsTest, Tls_AnswersTheHolderOfTheAuthorityAndNobodyElse) {
  const TemporaryFolder folder;
  const std::string key = folder.path() + "/key.pem", cert = folder.path() + "/cert.pem";
  const auto [output, code] = Shell(
      absl::StrCat("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext ",
                   "subjectAltName=IP:127.0.0.1 -keyout ", key, " -out ", cert, " 2>&1"));
  if (code == 127) GTEST_SKIP() << "openssl is not installed";
  ASSERT_EQ(code, 0) << output;
  TestServer server({}, {.http = "127.0.0.1:0", .tls_cert = cert, .tls_key = key});
  const auto trusting =
      *Client::Connect({.server = server.address(), .ca_file = cert, .retry = false});
  EXPECT_TRUE(trusting->Encode(IdsRequest({{1, 2}}), kLong).ok());
  EXPECT_EQ(server.client().Encode(IdsRequest({{1, 2}}), absl::Seconds(2)).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_THAT(Get(server.server().http_port(), "/healthz"), HasSubstr("ok\n 200"));
}

TEST(OperationsTest, HttpTls_HasTheCertificateOfGrpc_AndKeysForItsPages) {
  const TemporaryFolder folder;
  const TestIdentity first = MakeIdentity({.common_name = "first"});
  const TestIdentity second = MakeIdentity({.common_name = "second"});
  const std::string cert = folder.WriteText("cert", first.cert_pem);
  const std::string key = folder.WriteText("key", first.key_pem);
  TestServer server({}, {.http = "127.0.0.1:0",
                         .tls_cert = cert,
                         .tls_key = key,
                         .auth_keys_file = folder.WriteText("keys", "sesame\n"),
                         .http_tls = true,
                         .http_page_keys = true});
  const int port = server.server().http_port();
  HttpCaller caller(port, CallerTls{});
  EXPECT_EQ(caller.Get("/healthz").code, 401);
  EXPECT_EQ(caller.Get("/healthz", "Authorization: Bearer sesame\r\n").body, "ok\n");
  const HttpAnswer metrics = caller.Get("/metrics", "Authorization: Bearer sesame\r\n");
  EXPECT_THAT(metrics.body,
              HasSubstr(R"(longspan_http_requests_total{code="401",route="/healthz"} 1)"));
  HttpCaller plain(port);
  EXPECT_EQ(plain.Get("/healthz").code, 0);
  folder.WriteText("cert", second.cert_pem);
  folder.WriteText("key", second.key_pem);
  std::string shown;
  for (int i = 0; i < 400 && shown != "second"; ++i) {
    const HttpCaller next(port, CallerTls{});
    shown = next.CommonName();
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(shown, "second");
  EXPECT_EQ(caller.Get("/healthz", "Authorization: Bearer sesame\r\n").code, 200) << "goes on";
}

TEST(OperationsTest, FromSigtermOn_HttpAnswersAreTheLastOfTheirConnections) {
  TestServer server({}, {.http = "127.0.0.1:0"});
  HttpCaller caller(server.server().http_port());
  EXPECT_EQ(caller.Get("/readyz").code, 200);
  EXPECT_TRUE(server.server().Drain());
  const HttpAnswer answer = caller.Get("/readyz");
  EXPECT_EQ(answer.code, 503);
  EXPECT_EQ(answer.header("connection"), "close");
}

const std::string kFixture = LONGSPAN_FIXTURES "/longformer-windows";

TEST(ProcessTest, EncodesThenDrainsOnSigterm_WithOneOpenMpRuntime) {
  ServerProcess process({"--model", kFixture, "--drain-delay", "0"});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  v1::EncodeRequest request = IdsRequest({{52, 44, 17}, {28}});
  const auto together = client->Encode(request, kLong);
  ASSERT_TRUE(together.ok()) << together.status();
  const auto alone = client->Encode(IdsRequest({{52, 44, 17}}), kLong);
  ASSERT_TRUE(alone.ok());
  for (int i = 0; i < 32; ++i) {  // in a batch as alone
    EXPECT_NEAR(together->encodings(0).vector().values(i), alone->encodings(0).vector().values(i),
                1e-5);
  }
  std::set<std::string> runtimes;
  std::ifstream maps(absl::StrCat("/proc/", process.pid(), "/maps"));
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path != std::string::npos && std::regex_search(line, std::regex("lib(g|i|)omp[0-9]*\\.so")))
      runtimes.insert(line.substr(path));
  }
  EXPECT_EQ(runtimes.size(), 1u) << ::testing::PrintToString(runtimes);
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), 0);
}

TEST(ProcessTest, ListsOfProcessesCallItByItsName) {
  ServerProcess process({"--model", kFixture, "--drain-delay", "0"});
  ASSERT_GT(process.Port(), 0);
  std::ifstream file(absl::StrCat("/proc/", process.pid(), "/comm"));
  std::string name;
  std::getline(file, name);
  EXPECT_EQ(name, "longspan-server");
}

TEST(ProcessTest, EitherDivisionOfTheCores_GivesTheSameVectors) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer runs under a limit of one thread (./dev test)";
#endif
  std::vector<std::vector<uint32_t>> texts;
  for (uint32_t text = 0; text < 16; ++text) texts.push_back({52, 44, 17 + text, 28});
  std::vector<v1::EncodeResponse> answers;
  for (const auto& [replicas, threads] :
       {std::pair("1", "2"), std::pair("2", "1"), std::pair("0", "0")}) {  // 0: measured
    ServerProcess process(
        {"--model", kFixture, "--drain-delay", "0", "--replicas", replicas, "--threads", threads});
    const int port = process.Port();
    ASSERT_GT(port, 0);
    const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
    const auto info = client->GetModelInfo(kLong);
    ASSERT_TRUE(info.ok()) << info.status();
    if (*replicas == '0') {
      EXPECT_GE(info->num_replicas() * info->threads_per_replica(), 1u);
    } else {
      EXPECT_EQ(absl::StrCat(info->num_replicas()), replicas);
      EXPECT_EQ(absl::StrCat(info->threads_per_replica()), threads);
    }
    const auto answer = client->Encode(IdsRequest(texts), kLong);
    ASSERT_TRUE(answer.ok()) << answer.status();
    answers.push_back(*answer);
  }
  for (size_t mode = 1; mode < answers.size(); ++mode) {
    for (int text = 0; text < 16; ++text) {
      for (int i = 0; i < 32; ++i) {
        EXPECT_NEAR(answers[mode].encodings(text).vector().values(i),
                    answers[0].encodings(text).vector().values(i), 1e-6);
      }
    }
  }
}

TEST(ProcessTest, SecondSignalExitsWith3) {
  ServerProcess process({"--model", kFixture, "--drain-delay", "60"});
  ASSERT_GT(process.Port(), 0);
  process.Signal(SIGTERM);
  absl::SleepFor(absl::Milliseconds(300));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), 3);
}

TEST(ProcessTest, AStartThatCannotWorkEndsWithACode) {
  EXPECT_EQ(ServerProcess({"--model", "/nowhere"}).Wait(), 1);
  EXPECT_EQ(ServerProcess({"--model", kFixture, "--max-batch-tokens", "many"}).Wait(), 2);
  EXPECT_EQ(ServerProcess({}).Wait(), 2);
}

}  // namespace
}  // namespace longspan
