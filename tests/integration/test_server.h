// TestServer: a real Server on free ports in this process, over a FakeModel that is easy to check.
// The vector of a text is [mean of its ids, number of its tokens, 0, ...]; the row of a token is
// [id, position, 0, ...]. A Gate holds the computation, so that a test can fill the queues.
#pragma once

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "server/server.h"

namespace longspan {

class Gate {
 public:
  void Close() { Set(false); }
  void Open() { Set(true); }
  // Whether somebody has come while it was closed.
  bool held() const {
    absl::MutexLock lock(&mu_);
    return held_;
  }
  // Waits until the gate is open, or until every text of the batch is dropped: a real pass looks
  // between its layers.
  void Pass(int32_t texts, const EncodeControl& control) {
    while (true) {
      {
        absl::MutexLock lock(&mu_);
        if (mu_.AwaitWithTimeout(absl::Condition(&open_), absl::Milliseconds(2))) return;
        held_ = true;
      }
      if (control.at_seam) control.at_seam();
      int32_t dropped = 0;
      for (int32_t i = 0; i < texts; ++i) dropped += control.is_dropped && control.is_dropped(i);
      if (dropped == texts) return;
    }
  }

 private:
  void Set(bool open) {
    absl::MutexLock lock(&mu_);
    open_ = open;
  }
  mutable absl::Mutex mu_;
  bool open_ = true;
  bool held_ = false;
};

struct FakeModel {
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  // Holds the preparation of texts, on the thread that prepares them; null = nothing does.
  std::shared_ptr<Gate> preparation_gate;
  std::shared_ptr<std::atomic<int64_t>> texts_computed = std::make_shared<std::atomic<int64_t>>(0);
  // What goes wrong with the text that begins with this id, in a batch of so many texts.
  std::function<absl::Status(int32_t first_id, int32_t batch_texts)> fault;
  int64_t width = 4;
  int64_t vocab_size = 1000;
  int64_t max_tokens = 4096;
  double seconds_per_token = 1e-6;
  std::vector<TeamSpeed> team_speeds;
  std::vector<std::string> warnings;
  std::string tokenizer_folder;  // empty: token_ids only
  std::map<std::string, std::string> prompts;
  bool supports_global_attention = false;
  // Writes the vector of a token, [width]; empty = [id, position, 0, ...].
  std::function<void(int32_t id, int64_t position, float* row)> token_row;
  std::optional<MultiVector> multi_vector;  // then there are vectors of tokens alone

  ServedModel Load() const {
    ServedModel model;
    model.info.name = "fake";
    model.info.architecture = "fake";
    model.info.hidden_size = model.info.token_dimensions = model.info.output_dimensions = width;
    model.info.vocab_size = vocab_size;
    model.info.max_tokens = max_tokens;
    model.team_speeds = team_speeds;
    model.warnings = warnings;
    model.info.prompts = prompts;
    model.info.supports_global_attention = supports_global_attention;
    model.info.multi_vector = multi_vector;
    if (!tokenizer_folder.empty()) {
      model.tokenizer = *Tokenizer::Load(tokenizer_folder);
      model.info.vocab_size = model.tokenizer->vocab_size();
    }
    if (preparation_gate != nullptr) {
      model.validate = [held = preparation_gate](const TokenBatch::Text&, const EncodeOptions&) {
        held->Pass(1, {});
        return absl::OkStatus();
      };
    }
    model.encoders.push_back([gate = gate, computed = texts_computed, fault = fault, width = width,
                              row = token_row, multi_vector = multi_vector](
                                 const TokenBatch& batch, std::span<const EncodeOptions> options,
                                 const EncodeControl& control) {
      gate->Pass(batch.num_texts(), control);
      std::vector<absl::StatusOr<EncodedText>> results;
      for (int32_t i = 0; i < batch.num_texts(); ++i) {
        if (control.is_dropped && control.is_dropped(i)) {
          results.emplace_back(absl::CancelledError("dropped"));
          continue;
        }
        ++*computed;
        const absl::Status broken =
            fault ? fault(batch.token_ids()[batch.cu_seqlens()[i]], batch.num_texts())
                  : absl::OkStatus();
        if (!broken.ok()) {
          results.emplace_back(broken);
        } else {
          results.emplace_back(EncodeOne(batch, i, options[i], width, row, multi_vector));
        }
      }
      return results;
    });
    model.cost.text_seconds = [cost = seconds_per_token](const TextShape& text) {
      return cost * static_cast<double>(text.tokens);
    };
    model.cost.batch_seconds = [cost = seconds_per_token](std::span<const TextShape> texts) {
      double sum = 0;
      for (const TextShape& text : texts) sum += cost * static_cast<double>(text.tokens);
      return sum;
    };
    return model;
  }

  static EncodedText EncodeOne(const TokenBatch& batch, int32_t text, const EncodeOptions& options,
                               int64_t width,
                               const std::function<void(int32_t, int64_t, float*)>& row,
                               const std::optional<MultiVector>& multi_vector) {
    const int64_t begin = batch.cu_seqlens()[text], n = batch.length(text);
    const auto mean = [&](TokenRange range) {
      std::vector<float> vector(width);
      double sum = 0;
      for (int64_t t = range.begin; t < range.end; ++t) sum += batch.token_ids()[begin + t];
      vector[0] = static_cast<float>(sum / static_cast<double>(range.size()));
      vector[1] = static_cast<float>(range.size());
      return vector;
    };
    EncodedText out;
    if (options.document_vector) out.vector = mean({0, n});
    for (const TokenRange& span : options.spans) out.span_vectors.push_back(mean(span));
    if (options.token_sink) {
      // Rows handed over at once, so that a long text needs little memory.
      constexpr int64_t kBlock = 1024;
      std::vector<float> rows(std::min(n, kBlock) * width);
      for (int64_t first = 0; first < n; first += kBlock) {
        const int64_t count = std::min(kBlock, n - first);
        for (int64_t t = 0; t < count; ++t) {
          const int32_t id = batch.token_ids()[begin + first + t];
          if (row) {
            row(id, first + t, rows.data() + t * width);
            continue;
          }
          rows[t * width] = static_cast<float>(id);
          rows[t * width + 1] = static_cast<float>(first + t);
        }
        const auto is_skipped = [&](int64_t t) {
          return multi_vector.has_value() &&
                 multi_vector->Skips(options.text_role, batch.token_ids()[begin + first + t]);
        };
        for (int64_t from = 0, to; from < count; from = to + 1) {
          for (to = from; to < count && !is_skipped(to);) ++to;
          if (to > from) options.token_sink(first + from, to - from, rows.data() + from * width);
        }
      }
    }
    return out;
  }
};

class TestServer {
 public:
  // `start` = false: the server listens, but has not warmed up.
  explicit TestServer(const FakeModel& fake = {}, ServerOptions options = {}, bool start = true,
                      std::function<void()> on_lost = {})
      : log_path_(LogPath()), log_("json", "debug", log_path_) {
    options.model = "fake";
    if (options.listen == ServerOptions().listen) options.listen = "127.0.0.1:0";
    if (options.http == ServerOptions().http) options.http = "off";
    if (options.drain_delay == absl::Seconds(5)) options.drain_delay = absl::ZeroDuration();
    auto created = Server::Create(std::move(options), fake.Load(), &log_, std::move(on_lost));
    EXPECT_TRUE(created.ok()) << created.status();
    server_ = *std::move(created);
    EXPECT_TRUE(!start || server_->Start().ok());
    client_ = *Client::Connect({.server = address(), .retry = false});
  }
  ~TestServer() {
    server_.reset();
    std::filesystem::remove(log_path_);
  }

  std::string address() const { return server_->grpc_address(); }
  Server& server() { return *server_; }
  Client& client() { return *client_; }
  const std::string& log_path() const { return log_path_; }
  Log& log() { return log_; }

 private:
  static std::string LogPath() {
    static std::atomic<int> number{0};
    return (std::filesystem::temp_directory_path() /
            absl::StrCat("longspan-test-", getpid(), "-", number++, ".log"))
        .string();
  }

  const std::string log_path_;
  Log log_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

// A raw Encode with everything that came back.
struct RawResult {
  grpc::Status status;
  v1::EncodeResponse response;
  std::string field, reason, pushback;
  double retry_seconds = 0;
};

inline RawResult CallEncode(Client& client, const v1::EncodeRequest& request,
                            absl::Duration deadline = absl::Seconds(20),
                            grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) {
  RawResult result;
  grpc::ClientContext context;
  client.Prepare(&context, deadline);
  context.set_compression_algorithm(compression);
  result.status = client.stub().Encode(&context, request, &result.response);
  const auto trailers = context.GetServerTrailingMetadata();
  if (const auto found = trailers.find("grpc-retry-pushback-ms"); found != trailers.end()) {
    result.pushback.assign(found->second.data(), found->second.size());
  }
  google::rpc::Status detailed;
  detailed.ParseFromString(result.status.error_details());
  for (const auto& any : detailed.details()) {
    google::rpc::BadRequest bad;
    google::rpc::RetryInfo retry;
    google::rpc::ErrorInfo error;
    if (any.UnpackTo(&bad)) result.field = bad.field_violations(0).field();
    if (any.UnpackTo(&retry))
      result.retry_seconds =
          static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() * 1e-9;
    if (any.UnpackTo(&error)) result.reason = error.reason();
  }
  return result;
}

inline void FillIds(const std::vector<uint32_t>& ids, v1::Input* input) {
  for (const uint32_t id : ids) input->mutable_token_ids()->add_ids(id);
}

inline v1::EncodeRequest IdsRequest(const std::vector<std::vector<uint32_t>>& texts) {
  v1::EncodeRequest request;
  for (size_t i = 0; i < texts.size(); ++i) {
    v1::Input* input = request.add_inputs();
    input->set_id(absl::StrCat("text-", i));
    FillIds(texts[i], input);
  }
  return request;
}

}  // namespace longspan
