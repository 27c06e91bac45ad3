// Every metric that operators are promised: its name, labels and value after one known event.
// operations_test has promtool check a scrape of a real server.
#include "server/telemetry/metrics.h"

#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ModelInfo Model() {
  ModelInfo model;
  model.name = "tiny";
  model.architecture = "longformer";
  model.device = "cpu";
  model.weight_bytes = 4096;
  return model;
}

CallOutcome Answered() {
  return {.method = RpcMethod::kEncode,
          .status = absl::OkStatus(),
          .total = absl::Milliseconds(20),
          .tokens = 600,
          .longest_text = 500,
          .truncated_texts = 2,
          .timings = {.tokenize = absl::Milliseconds(2), .stage = Stage::kCompute},
          .tokenized = true};
}

class MetricsTest : public ::testing::Test {
 protected:
  explicit MetricsTest(bool tei_names = false) : metrics_(Model(), tei_names) {}
  void Call(absl::Status status, Stage stage = Stage::kQueue) {
    metrics_.OnCall(
        {.method = RpcMethod::kEncode, .status = std::move(status), .timings = {.stage = stage}});
  }
  // The value of one line of the scrape, name and labels as they stand there.
  double Value(const std::string& series) {
    const std::string text = "\n" + metrics_.Text();
    const size_t at = text.find("\n" + series + " ");
    EXPECT_NE(at, std::string::npos) << series << " is not in\n" << text;
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
  }
  Metrics metrics_;
};

TEST_F(MetricsTest, RequestsTotal_CountsByMethodAndCode) {
  metrics_.OnCall(Answered());
  Call(absl::InvalidArgumentError("bad"));
  EXPECT_EQ(Value("longspan_requests_total{code=\"OK\",method=\"Encode\"}"), 1);
  EXPECT_EQ(Value("longspan_requests_total{code=\"INVALID_ARGUMENT\",method=\"Encode\"}"), 1);
}

TEST_F(MetricsTest, RequestsTotal_CountsOn_AndNamesOnlyWhatOccurred) {
  for (int i = 0; i < 3; ++i) metrics_.OnCall(Answered());
  metrics_.OnCall({.method = RpcMethod::kTokenize, .status = absl::OkStatus()});
  EXPECT_EQ(Value("longspan_requests_total{code=\"OK\",method=\"Encode\"}"), 3);
  EXPECT_EQ(Value("longspan_requests_total{code=\"OK\",method=\"Tokenize\"}"), 1);
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("longspan_requests_total{code=\"INTERNAL\"")));
}

// A counter that appears with its first event starts at 1: its rate never shows that event.
TEST_F(MetricsTest, SmallLabelSets_AreExportedFromTheStart_With0) {
  for (const char* method : {"Encode",
                             "EncodeStream",
                             "EncodeTokens",
                             "Tokenize",
                             "Search",
                             "PutDocuments",
                             "DeleteDocuments",
                             "ListCollections",
                             "http.put_documents",
                             "http.delete_documents",
                             "http.list_collections",
                             "GetModelInfo",
                             "tei.Info",
                             "tei.Embed",
                             "tei.EmbedStream",
                             "tei.EmbedAll",
                             "tei.EmbedAllStream",
                             "tei.EmbedSparse",
                             "tei.EmbedSparseStream",
                             "tei.Tokenize",
                             "tei.TokenizeStream",
                             "tei.Decode",
                             "tei.DecodeStream",
                             "tei.Unserved"})
    EXPECT_EQ(Value(absl::StrCat("longspan_request_seconds_count{method=\"", method, "\"}")), 0);
  for (const char* bucket : {"128", "512", "2048", "8192", "32768", "131072", "524288", "more"}) {
    EXPECT_EQ(
        Value(absl::StrCat("longspan_request_seconds_by_length_count{bucket=\"", bucket, "\"}")),
        0);
  }
  for (const char* lane : {"short", "long", "bulk"}) {
    EXPECT_EQ(Value(absl::StrCat("longspan_queue_seconds_count{lane=\"", lane, "\"}")), 0);
    EXPECT_EQ(Value(absl::StrCat("longspan_cost_correction_ratio{lane=\"", lane, "\"}")), 1);
  }
  for (const char* stage : {"receive", "await_tokenizer", "tokenize", "queue", "compute", "send"}) {
    EXPECT_EQ(Value(absl::StrCat("longspan_cancelled_total{stage=\"", stage, "\"}")), 0);
    EXPECT_EQ(Value(absl::StrCat("longspan_expired_total{stage=\"", stage, "\"}")), 0);
  }
  for (const char* reason : {"RESOURCE_EXHAUSTED",
                             "DEADLINE_UNREACHABLE",
                             "DEADLINE_TOO_SHORT",
                             "UNAVAILABLE",
                             "INVALID_ARGUMENT",
                             "FAILED_PRECONDITION",
                             "UNAUTHENTICATED",
                             "MEMORY",
                             "MAX_TOKENS",
                             "MAX_TEXT_BYTES",
                             "MAX_TEXTS_PER_REQUEST",
                             "MAX_REQUEST_BYTES",
                             "MAX_SPANS_PER_TEXT",
                             "MAX_GLOBAL_SPANS_PER_TEXT",
                             "MAX_GLOBAL_TOKENS",
                             "MAX_ID_BYTES",
                             "MAX_PROMPT_NAME_BYTES",
                             "MAX_METADATA_BYTES",
                             "MAX_QUEUE_TOKENS",
                             "MAX_QUEUE_BYTES",
                             "MAX_QUEUE_SECONDS",
                             "MAX_TOKEN_VECTOR_BYTES",
                             "MAX_ANSWER_BYTES",
                             "MAX_RECEIVING_BYTES",
                             "MAX_UNCUT_BYTES",
                             "MAX_COLLECTIONS",
                             "MAX_COLLECTION_BYTES",
                             "MAX_COLLECTION_BYTES_PER_KEY"})
    EXPECT_EQ(Value(absl::StrCat("longspan_rejected_total{reason=\"", reason, "\"}")), 0);
}

TEST_F(MetricsTest, RequestSeconds_IsTheTimeOfEveryCall) {
  metrics_.OnCall(Answered());
  EXPECT_NEAR(Value("longspan_request_seconds_sum{method=\"Encode\"}"), 0.02, 1e-9);
  EXPECT_EQ(Value("longspan_request_seconds_bucket{method=\"Encode\",le=\"0.03\"}"), 1);
}

TEST_F(MetricsTest, RequestSecondsByLength_GoesByTheLongestText_UpToMinutes) {
  metrics_.OnCall(Answered());
  EXPECT_EQ(Value("longspan_request_seconds_by_length_count{bucket=\"512\"}"), 1);
  EXPECT_EQ(Value("longspan_request_seconds_by_length_bucket{bucket=\"512\",le=\"600\"}"), 1);
}

TEST_F(MetricsTest, RequestSecondsByLength_AClassHoldsItsBound) {
  for (const int64_t tokens : {128, 129, 524288, 524289}) {
    CallOutcome call = Answered();
    call.longest_text = tokens;
    metrics_.OnCall(call);
  }
  for (const char* bucket : {"128", "512", "524288", "more"}) {
    EXPECT_EQ(
        Value(absl::StrCat("longspan_request_seconds_by_length_count{bucket=\"", bucket, "\"}")),
        1);
  }
}

TEST_F(MetricsTest, TokenizeSeconds_IsOfCallsThatBroughtText) {
  metrics_.OnCall(Answered());
  CallOutcome ids = Answered();
  ids.tokenized = false;
  metrics_.OnCall(ids);
  EXPECT_EQ(Value("longspan_tokenize_seconds_count"), 1);
  EXPECT_NEAR(Value("longspan_tokenize_seconds_sum"), 0.002, 1e-9);
}

TEST_F(MetricsTest, QueueSeconds_ByLane) {
  metrics_.OnQueueTime(Lane::kLong, absl::Milliseconds(500));
  EXPECT_NEAR(Value("longspan_queue_seconds_sum{lane=\"long\"}"), 0.5, 1e-9);
}

TEST_F(MetricsTest, Batches_CountTextsTokensWasteAndTime) {
  metrics_.OnBatch({.pieces = 3,
                    .tokens = 75,
                    .padded_tokens = 100,
                    .predicted_seconds = 0.3,
                    .compute = absl::Milliseconds(200)});
  EXPECT_EQ(Value("longspan_batch_texts_sum"), 3);
  EXPECT_EQ(Value("longspan_batch_tokens_sum"), 75);
  EXPECT_NEAR(Value("longspan_batch_wasted_ratio_sum"), 0.25, 1e-9);
  EXPECT_NEAR(Value("longspan_compute_seconds_sum{device=\"cpu\"}"), 0.2, 1e-9);
  EXPECT_NEAR(Value("longspan_batch_prediction_ratio_sum"), 1.5, 1e-9);
}

TEST_F(MetricsTest, Tokens_PerRequestAndInTotal) {
  metrics_.OnCall(Answered());
  EXPECT_EQ(Value("longspan_request_tokens_sum"), 600);
  EXPECT_EQ(Value("longspan_tokens_total"), 600);
}

TEST_F(MetricsTest, TruncatedTotal_CountsTexts) {
  metrics_.OnCall(Answered());
  EXPECT_EQ(Value("longspan_truncated_total"), 2);
}

TEST_F(MetricsTest, RejectedTotal_ByReason) {
  Call(absl::InvalidArgumentError("bad"));
  Call(absl::ResourceExhaustedError("full"));
  Call(WithReason(WithRetryAfter(absl::ResourceExhaustedError("late"), absl::Seconds(1)),
                  kReasonDeadlineUnreachable));
  Call(absl::UnavailableError("draining"));
  Call(WithReason(absl::ResourceExhaustedError("full"), kReasonMaxQueueTokens));
  Call(WithReason(absl::InvalidArgumentError("long"), kReasonMaxTokens));
  for (const char* reason : {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_UNREACHABLE",
                             "UNAVAILABLE", "MAX_QUEUE_TOKENS", "MAX_TOKENS"})
    EXPECT_EQ(Value(absl::StrCat("longspan_rejected_total{reason=\"", reason, "\"}")), 1) << reason;
}

// Only a wait could be shortened by more servers; LongspanOverloaded counts the one and not the
// other.
TEST_F(MetricsTest, RejectedTotal_TellsAWaitThatIsTooLongFromADeadlineThatIsTooShort) {
  Call(WithReason(absl::ResourceExhaustedError("computing takes longer"),
                  kReasonDeadlineUnreachable));
  EXPECT_EQ(Value("longspan_rejected_total{reason=\"DEADLINE_TOO_SHORT\"}"), 1);
  EXPECT_EQ(Value("longspan_rejected_total{reason=\"DEADLINE_UNREACHABLE\"}"), 0);
}

TEST_F(MetricsTest, RejectedTotal_CountsAReasonThatIsNotListedUnderItsCode) {
  Call(WithReason(absl::ResourceExhaustedError("full"), "free text of a caller"));
  EXPECT_EQ(Value("longspan_rejected_total{reason=\"RESOURCE_EXHAUSTED\"}"), 1);
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("free text")));
}

TEST_F(MetricsTest, Limits_AndMemory) {
  const std::vector<NamedLimit> limits = {{"max_queue_tokens", 4096}, {"max_queue_seconds", 0.5}};
  metrics_.SetLimits(limits);
  metrics_.SetMemoryLimits({.container = 4 << 20, .tensors = 3 << 20, .device = 2 << 20});
  EXPECT_EQ(Value("longspan_limit{limit=\"max_queue_tokens\"}"), 4096);
  EXPECT_EQ(Value("longspan_limit{limit=\"max_queue_seconds\"}"), 0.5);
  EXPECT_EQ(Value("longspan_memory_limit_bytes{kind=\"container\"}"), 4 << 20);
  EXPECT_EQ(Value("longspan_memory_limit_bytes{kind=\"tensors\"}"), 3 << 20);
  EXPECT_EQ(Value("longspan_memory_limit_bytes{kind=\"device\"}"), 2 << 20);
}

TEST_F(MetricsTest, CancelledAndExpired_ByStage) {
  Call(absl::CancelledError("gone"), Stage::kCompute);
  Call(absl::DeadlineExceededError("late"), Stage::kQueue);
  Call(absl::DeadlineExceededError("late"), Stage::kTokenize);
  EXPECT_EQ(Value("longspan_cancelled_total{stage=\"compute\"}"), 1);
  EXPECT_EQ(Value("longspan_expired_total{stage=\"queue\"}"), 1);
  EXPECT_EQ(Value("longspan_expired_total{stage=\"tokenize\"}"), 1);
}

TEST_F(MetricsTest, OutOfMemorySplits) {
  metrics_.OnOutOfMemorySplit(8);
  EXPECT_EQ(Value("longspan_oom_splits_total"), 1);
}

TEST_F(MetricsTest, AStreamsTexts_CountAsWork_NotAsCalls) {
  CallOutcome item = Answered();
  item.method = RpcMethod::kEncodeStream;
  metrics_.OnStreamItem(item);
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("longspan_requests_total{")));
  item.itemised = true;  // the call itself, at its end
  metrics_.OnCall(item);
  EXPECT_EQ(Value("longspan_requests_total{code=\"OK\",method=\"EncodeStream\"}"), 1);
  EXPECT_EQ(Value("longspan_tokens_total"), 600) << "once";
}

TEST_F(MetricsTest, AStreamsTexts_CountByTheirOwnCode) {
  CallOutcome item = Answered();
  item.method = RpcMethod::kEncodeStream;
  metrics_.OnStreamItem(item);
  metrics_.OnStreamItem(item);
  item.status = absl::ResourceExhaustedError("full");
  metrics_.OnStreamItem(item);
  EXPECT_EQ(Value("longspan_stream_items_total{code=\"OK\"}"), 2);
  EXPECT_EQ(Value("longspan_stream_items_total{code=\"RESOURCE_EXHAUSTED\"}"), 1);
}

TEST_F(MetricsTest, WhatCallersKeptWaiting_IsCountedByReason_From0) {
  for (const char* reason : {"slow_request", "receiving_memory", "unread_answer"})
    EXPECT_EQ(Value(absl::StrCat("longspan_dropped_calls_total{reason=\"", reason, "\"}")), 0);
  EXPECT_EQ(Value("longspan_messages_too_large_total"), 0);
  metrics_.OnDropped(DropReason::kUnreadAnswer);
  metrics_.OnMessageTooLarge();
  EXPECT_EQ(Value("longspan_dropped_calls_total{reason=\"unread_answer\"}"), 1);
  EXPECT_EQ(Value("longspan_messages_too_large_total"), 1);
}

TEST_F(MetricsTest, OpenCallsAndWhatTheyHold_AreGauges) {
  ServerGauges gauges{.open_calls = {1, 2, 3, 4, 9, 10, 11, 12, 5},
                      .receiving_calls = 6,
                      .answer_bytes = 7,
                      .token_vector_bytes = 8};
  metrics_.SetGaugeSource([&] { return gauges; });
  EXPECT_EQ(Value("longspan_open_calls{method=\"Encode\"}"), 1);
  EXPECT_EQ(Value("longspan_open_calls{method=\"EncodeTokens\"}"), 3);
  EXPECT_EQ(Value("longspan_open_calls{method=\"Search\"}"), 9);
  EXPECT_EQ(Value("longspan_open_calls{method=\"PutDocuments\"}"), 10);
  EXPECT_EQ(Value("longspan_open_calls{method=\"DeleteDocuments\"}"), 11);
  EXPECT_EQ(Value("longspan_open_calls{method=\"ListCollections\"}"), 12);
  EXPECT_EQ(Value("longspan_open_calls{method=\"GetModelInfo\"}"), 5);
  EXPECT_EQ(Value("longspan_receiving_calls"), 6);
  EXPECT_EQ(Value("longspan_answer_bytes"), 7);
  EXPECT_EQ(Value("longspan_token_vector_bytes"), 8);
}

TEST_F(MetricsTest, Gauges_AreReadAtTheScrape) {
  ServerGauges gauges{.queue_texts = 4,
                      .queue_tokens = 900,
                      .queue_predicted_seconds = 1.5,
                      .queue_oldest_seconds = 0.25,
                      .computing_threads = 3,
                      .draining = true,
                      .live = false,
                      .cost_correction = {0.5, 1, 2}};
  metrics_.SetGaugeSource([&] { return gauges; });
  EXPECT_EQ(Value("longspan_queue_texts"), 4);
  EXPECT_EQ(Value("longspan_queue_tokens"), 900);
  EXPECT_EQ(Value("longspan_queue_predicted_seconds"), 1.5);
  EXPECT_EQ(Value("longspan_queue_oldest_seconds"), 0.25);
  EXPECT_EQ(Value("longspan_computing_threads"), 3);
  EXPECT_EQ(Value("longspan_draining"), 1);
  EXPECT_EQ(Value("longspan_live"), 0);
  EXPECT_EQ(Value("longspan_cost_correction_ratio{lane=\"short\"}"), 0.5);
  EXPECT_EQ(Value("longspan_cost_correction_ratio{lane=\"bulk\"}"), 2);
  gauges.queue_texts = 0;
  EXPECT_EQ(Value("longspan_queue_texts"), 0);
}

TEST_F(MetricsTest, KeptDocuments_AreGauges_From0) {
  CollectionGauges kept;
  metrics_.SetGaugeSource([&] { return ServerGauges{.collections = kept}; });
  for (const char* series :
       {"longspan_collections{state=\"usable\"}", "longspan_collections{state=\"unusable\"}",
        "longspan_kept_documents", "longspan_kept_bytes{kind=\"documents\"}",
        "longspan_kept_bytes{kind=\"files\"}"})
    EXPECT_EQ(Value(series), 0) << series;
  kept = {.collections = 5, .unusable = 2, .documents = 70, .bytes = 800, .on_disk_bytes = 900};
  EXPECT_EQ(Value("longspan_collections{state=\"usable\"}"), 3);
  EXPECT_EQ(Value("longspan_collections{state=\"unusable\"}"), 2);
  EXPECT_EQ(Value("longspan_kept_documents"), 70);
  EXPECT_EQ(Value("longspan_kept_bytes{kind=\"documents\"}"), 800);
  EXPECT_EQ(Value("longspan_kept_bytes{kind=\"files\"}"), 900);
}

TEST_F(MetricsTest, ModelAndBuild_AreNamed) {
  EXPECT_EQ(Value("longspan_model_info{architecture=\"longformer\",device=\"cpu\",dtype="
                  "\"float32\",model=\"tiny\"}"),
            1);
  EXPECT_EQ(Value("longspan_build_info{version=\"" LONGSPAN_VERSION "\"}"), 1);
}

TEST_F(MetricsTest, Memory_ByKind) {
  EXPECT_GE(Value("longspan_arena_bytes"), 0);
  EXPECT_EQ(Value("longspan_device_memory_bytes{kind=\"weights\"}"), 4096);
  EXPECT_GT(Value("longspan_device_memory_bytes{kind=\"resident\"}"), 1 << 20);
  EXPECT_GE(Value("longspan_device_memory_bytes{kind=\"peak\"}"),
            Value("longspan_device_memory_bytes{kind=\"resident\"}"));
}

TEST(MetricsOfACard, DeviceMemory_IsTheCards) {
  ModelInfo model;
  model.device = "cuda:1";
  model.weight_bytes = 4096;
  Metrics metrics(model);
  metrics.SetGaugeSource([] {
    return ServerGauges{.card_memory = DeviceMemory{.total_bytes = 1000, .free_bytes = 300},
                        .recordings = {.recorded = 4, .refused = 1, .repeated = 90}};
  });
  const std::string text = metrics.Text();
  for (const char* line : {"longspan_device_memory_bytes{kind=\"total\"} 1000",
                           "longspan_device_memory_bytes{kind=\"resident\"} 700",
                           "longspan_device_memory_bytes{kind=\"weights\"} 4096",
                           "longspan_compute_seconds_count{device=\"cuda:1\"} 0",
                           "longspan_recordings_total{kind=\"recorded\"} 4",
                           "longspan_recordings_total{kind=\"refused\"} 1",
                           "longspan_recordings_total{kind=\"repeated\"} 90",
                           "device=\"cuda:1\",dtype=\"float32\"", "process_resident_memory_bytes "})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, Not(HasSubstr("kind=\"peak\""))) << "a card does not tell it";
}

TEST_F(MetricsTest, Process_UnderThePrefixThatDashboardsKnow) {
  for (const char* name : {"process_resident_memory_bytes", "process_virtual_memory_bytes",
                           "process_open_fds", "process_max_fds", "process_threads",
                           "process_cpu_seconds_total", "process_start_time_seconds"})
    EXPECT_GT(Value(name), 0) << name;
}

class TeiMetricsTest : public MetricsTest {
 protected:
  TeiMetricsTest() : MetricsTest(/*tei_names=*/true) {}
  static StageTimings Timings() {
    return {.tokenize = absl::Milliseconds(1),
            .queue = absl::Milliseconds(2),
            .compute = absl::Milliseconds(3),
            .total = absl::Milliseconds(7)};
  }
};

TEST_F(MetricsTest, TeiNames_AreServedOnlyWhenAskedFor) {
  metrics_.OnCall(Answered());
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr(" te_")));
}

TEST_F(TeiMetricsTest, Requests_ByMethod_AndFailuresByKind) {
  const auto call = [&](int64_t texts, absl::Status status) {
    metrics_.OnCall({.method = RpcMethod::kEncode, .status = std::move(status), .texts = texts});
  };
  call(1, absl::OkStatus());
  call(3, absl::OkStatus());
  call(5, absl::ResourceExhaustedError("full"));
  call(1, absl::InvalidArgumentError("too long"));
  call(1, absl::InternalError("broken"));
  call(1, absl::CancelledError("gone"));
  metrics_.OnCall({.method = RpcMethod::kTokenize, .status = absl::OkStatus(), .texts = 1});
  metrics_.OnCall({.method = RpcMethod::kEncodeStream,
                   .status = absl::OkStatus(),
                   .texts = 9});  // its items count, the call does not
  metrics_.OnStreamItem(
      {.method = RpcMethod::kEncodeStream, .status = absl::OkStatus(), .texts = 1});
  EXPECT_EQ(Value("te_request_count{method=\"single\"}"), 5);
  EXPECT_EQ(Value("te_request_count{method=\"batch\"}"), 2);
  EXPECT_EQ(Value("te_request_success{method=\"single\"}"), 2);
  EXPECT_EQ(Value("te_request_success{method=\"batch\"}"), 1);
  for (const char* err : {"overloaded", "validation", "inference"})
    EXPECT_EQ(Value(absl::StrCat("te_request_failure{err=\"", err, "\"}")), 1) << err;
  EXPECT_EQ(Value("te_embed_count"), 8) << "texts, less those refused for overload";
}

TEST_F(TeiMetricsTest, Requests_AreThoseOfBothContracts_ThatHaveVectors) {
  for (const RpcMethod method :
       {RpcMethod::kEncode, RpcMethod::kEncodeTokens, RpcMethod::kTeiEmbed, RpcMethod::kTeiEmbedAll,
        RpcMethod::kTokenize, RpcMethod::kTeiTokenize, RpcMethod::kTeiEmbedStream})
    metrics_.OnCall({.method = method, .status = absl::OkStatus(), .texts = 1});
  EXPECT_EQ(Value("te_request_count{method=\"single\"}"), 4);
  for (const RpcMethod method : {RpcMethod::kTeiEmbedStream, RpcMethod::kTeiEmbedAllStream,
                                 RpcMethod::kTeiTokenizeStream, RpcMethod::kTeiDecodeStream})
    metrics_.OnStreamItem({.method = method, .status = absl::OkStatus(), .texts = 1});
  EXPECT_EQ(Value("te_request_count{method=\"single\"}"), 6);
}

TEST_F(TeiMetricsTest, Requests_AreExportedFromTheStart_With0) {
  for (const char* series :
       {"te_request_count{method=\"single\"}", "te_request_count{method=\"batch\"}",
        "te_request_success{method=\"single\"}", "te_request_success{method=\"batch\"}",
        "te_request_failure{err=\"overloaded\"}", "te_request_failure{err=\"validation\"}",
        "te_request_failure{err=\"inference\"}"})
    EXPECT_EQ(Value(series), 0) << series;
}

TEST_F(TeiMetricsTest, Durations_OfAnsweredRequests_AndOfTexts) {
  metrics_.OnCall({.method = RpcMethod::kEncode,
                   .status = absl::OkStatus(),
                   .total = absl::Milliseconds(8),
                   .texts = 2,
                   .timings = Timings()});
  metrics_.OnCall({.method = RpcMethod::kEncode,
                   .status = absl::InternalError("broken"),
                   .total = absl::Seconds(9),
                   .timings = Timings()});
  metrics_.OnText(40, Timings());
  metrics_.OnText(2, Timings());
  for (const auto& [series, seconds] :
       std::map<std::string, double>{{"te_request_duration", 0.008},
                                     {"te_request_tokenization_duration", 0.001},
                                     {"te_request_queue_duration", 0.002},
                                     {"te_request_inference_duration", 0.003},
                                     {"te_embed_duration", 0.014},
                                     {"te_embed_tokenization_duration", 0.002},
                                     {"te_embed_queue_duration", 0.004},
                                     {"te_embed_inference_duration", 0.006}})
    EXPECT_NEAR(Value(series + "_sum"), seconds, 1e-9) << series;
  EXPECT_EQ(Value("te_embed_success"), 2);
  EXPECT_EQ(Value("te_request_input_length_sum"), 42);
}

TEST_F(TeiMetricsTest, BatchesAndQueue) {
  metrics_.OnBatch(
      {.pieces = 3, .tokens = 75, .padded_tokens = 75, .compute = absl::Milliseconds(200)});
  metrics_.SetGaugeSource([] { return ServerGauges{.queue_texts = 4}; });
  EXPECT_EQ(Value("te_batch_next_size_sum"), 3);
  EXPECT_EQ(Value("te_batch_next_tokens_sum"), 75);
  EXPECT_EQ(Value("te_queue_size"), 4);
}

TEST(HttpMetricsTest, Requests_CountByRouteAndCode_AndUnknownRoutesAsOther) {
  Metrics metrics(ModelInfo{});
  const std::vector<std::string> routes = {"/embed", "/metrics"};
  metrics.SetHttpRoutes(routes);
  EXPECT_THAT(metrics.Text(),
              HasSubstr(R"(longspan_http_requests_total{code="200",route="/embed"} 0)"))
      << "from the start";
  metrics.OnHttpRequest("/embed", 200, absl::Milliseconds(20));
  metrics.OnHttpRequest("/embed", 200, absl::Milliseconds(20));
  metrics.OnHttpRequest("/embed", 499, absl::Milliseconds(20));
  metrics.OnHttpRequest("other", 404, absl::Milliseconds(1));
  metrics.OnHttpRequest("/etc/passwd", 404, absl::Milliseconds(1));
  const std::string text = metrics.Text();
  for (const char* line : {R"(longspan_http_requests_total{code="200",route="/embed"} 2)",
                           R"(longspan_http_requests_total{code="499",route="/embed"} 1)",
                           R"(longspan_http_requests_total{code="404",route="other"} 2)",
                           R"(longspan_http_request_seconds_count{route="/embed"} 3)",
                           R"(longspan_http_request_seconds_count{route="/metrics"} 0)"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, testing::Not(HasSubstr("passwd")));
}

}  // namespace
}  // namespace longspan
