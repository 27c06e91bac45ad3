// A real Server on free ports in this process, over a model that is easy to check: the vector of a text is [mean of its ids,
// number of its tokens, 0, ...], the row of a token is [id, position, 0, ...]. A gate holds the compute so that queues can be
// filled at will.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
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
  // Waits until open, or until every text of the batch is dropped, as a pass between its layers would.
  void Pass(int32_t texts, const EncodeControl& control) {
    while (true) {
      {
        absl::MutexLock lock(&mu_);
        if (mu_.AwaitWithTimeout(absl::Condition(&open_), absl::Milliseconds(2))) return;
      }
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
  absl::Mutex mu_;
  bool open_ = true;
};

struct FakeModel {
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  int64_t width = 4;
  int64_t vocab_size = 1000;
  int64_t max_tokens = 4096;
  double seconds_per_token = 1e-6;
  std::vector<TeamSpeed> team_speeds;

  LoadedModel Load() const {
    LoadedModel model;
    model.info.name = "fake";
    model.info.architecture = "fake";
    model.info.hidden_size = model.info.token_dimensions = model.info.output_dimensions = width;
    model.info.vocab_size = vocab_size;
    model.info.max_tokens = max_tokens;
    model.team_speeds = team_speeds;
    model.encode = [gate = gate, width = width](const TokenBatch& batch, std::span<const EncodeOptions> options,
                                                const EncodeControl& control) {
      gate->Pass(batch.num_texts(), control);
      std::vector<absl::StatusOr<EncodedText>> results;
      for (int32_t i = 0; i < batch.num_texts(); ++i) {
        if (control.is_dropped && control.is_dropped(i)) {
          results.emplace_back(absl::CancelledError("dropped"));
        } else {
          results.emplace_back(EncodeOne(batch, i, options[i], width));
        }
      }
      return results;
    };
    model.cost.text_seconds = [cost = seconds_per_token](int64_t tokens) { return cost * static_cast<double>(tokens); };
    model.cost.batch_seconds = [cost = seconds_per_token](std::span<const int64_t> lengths) {
      double sum = 0;
      for (const int64_t length : lengths) sum += cost * static_cast<double>(length);
      return sum;
    };
    return model;
  }

  static EncodedText EncodeOne(const TokenBatch& batch, int32_t text, const EncodeOptions& options, int64_t width) {
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
      std::vector<float> rows(n * width);
      for (int64_t t = 0; t < n; ++t) {
        rows[t * width] = static_cast<float>(batch.token_ids()[begin + t]);
        rows[t * width + 1] = static_cast<float>(t);
      }
      options.token_sink(0, n, rows.data());
    }
    return out;
  }
};

class TestServer {
 public:
  explicit TestServer(const FakeModel& fake = {}, ServerOptions options = {})
      : log_path_(LogPath()), log_("json", "debug", log_path_) {
    options.model = "fake";
    options.listen = "127.0.0.1:0";
    if (options.http == ServerOptions().http) options.http = "off";
    if (options.drain_delay == absl::Seconds(5)) options.drain_delay = absl::ZeroDuration();
    auto created = Server::Create(std::move(options), fake.Load(), &log_);
    EXPECT_TRUE(created.ok()) << created.status();
    server_ = *std::move(created);
    EXPECT_TRUE(server_->Start().ok());
    client_ = *Client::Connect({.server = address(), .retry = false});
  }
  ~TestServer() {
    server_.reset();
    std::filesystem::remove(log_path_);
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", server_->grpc_port()); }
  Server& server() { return *server_; }
  Client& client() { return *client_; }
  const std::string& log_path() const { return log_path_; }
  Log& log() { return log_; }

 private:
  static std::string LogPath() {
    static std::atomic<int> number{0};
    return (std::filesystem::temp_directory_path() / absl::StrCat("longspan-test-", getpid(), "-", number++, ".log")).string();
  }

  const std::string log_path_;
  Log log_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

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
