// ServerOptions: everything that can be set, with its default. Values come from four layers, and
// later ones win: the defaults in this struct, --config FILE (a JSON object or `key = value`
// lines), the environment (LONGSPAN_MAX_BATCH_TOKENS), the command line (--max-batch-tokens). One
// table in the .cc file holds name, range and help of each setting. Errors name the setting, its
// value, where the value came from and what is allowed.
//
// Plain values. Parsing is a pure function of the arguments and the given environment.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace longspan {

struct ModelInfo;

struct ServerOptions {
  // What is served, and where.
  std::string model;       // folder
  std::string model_name;  // in answers, metrics and log; empty = that of the folder
  // cpu | cuda | cuda:N | cuda:N,M,... | auto (core/backend/open_backend.h)
  std::string device = "cpu";
  std::string dtype = "float32";  // float32 | bfloat16 | float16 (on cards) | int8 | auto
  // What ReadAddress reads (proto/longspan/v1/address.h). Port 0 picks a free one.
  std::string listen = "0.0.0.0:50051";
  std::string http = "0.0.0.0:8080";  // a name or an IPv4 address with a port, or "off"
  bool page = true;                   // the HTTP port serves the page for people (server/page)

  // Compute.
  // Worker threads, each with a compute team. 0 = two on a card; on the CPU, CPU quota / threads
  // where threads is set, else measured at start.
  int64_t replicas = 0;
  int64_t threads = 0;  // of one compute team; 0 = one on a card, else CPU quota / replicas
  int64_t tokenizer_threads = 2;
  // Bytes of tensors, weights included. 0 = 90 % of the cgroup's memory limit; none where it has
  // none.
  int64_t memory_budget = 0;
  bool preempt = true;  // short texts may run inside the passes of long ones

  // Limits.
  int64_t max_tokens = 0;  // longest text; 0 = what the model and the memory allow
  // The longest text of which a pass fits in memory beside the weights; 0 = no bound is known. No
  // setting: LoadServedModel finds it.
  int64_t memory_max_tokens = 0;
  // Most bytes of a text without a place where the tokenizer can cut it; 0 = no bound. No setting:
  // LoadServedModel finds it.
  int64_t max_uncut_bytes = 0;
  // Of one forward pass; a longer text runs alone. 0 = DefaultBatchTokens, or less where a card's
  // memory holds less (LoadServedModel).
  int64_t max_batch_tokens = 0;
  absl::Duration batch_timeout = absl::ZeroDuration();
  int64_t max_queue_tokens = int64_t{4} << 20;   // accepted and not done
  int64_t max_queue_bytes = int64_t{256} << 20;  // of texts accepted and not done
  double max_queue_seconds = 60;                 // predicted wait
  int64_t max_texts_per_request = 128;
  int64_t max_text_bytes = int64_t{8} << 20;
  // Spans and positions with which one text may ask for global attention: four times as many as
  // there may be global tokens, so more could only name the same tokens again and again.
  int64_t max_global_spans_per_text = 16384;
  // Global tokens of one text. Each sees all of the text and is seen by all of it, so a text costs
  // (text tokens x global tokens) more.
  int64_t max_global_tokens = 4096;
  int64_t max_request_bytes = int64_t{16} << 20;  // of one message
  int64_t max_concurrent_streams = 256;           // calls at once on one connection
  int64_t max_connections = 0;  // to the gRPC port, open at once; 0 = what descriptors allow
  int64_t max_connections_per_client = 1024;          // of one address; 0 = no limit
  int64_t max_stream_inputs = 64;                     // of one stream, in work or unsent
  int64_t max_token_vector_bytes = int64_t{2} << 30;  // computed and not yet sent, of all calls
  // One answer, as it is sent; those of all calls together may take twice as much.
  int64_t max_answer_bytes = int64_t{256} << 20;
  int64_t max_receiving_bytes = int64_t{256} << 20;  // messages that have begun to arrive
  absl::Duration max_deadline = absl::Seconds(600);
  absl::Duration default_deadline = absl::Seconds(60);  // of calls that bring none

  // Kept documents (server/collections).
  bool collections = true;
  // Of all collections together. 0 = 256 MiB, or a sixteenth of the cgroup's memory limit where
  // that is less (LoadServedModel).
  int64_t max_collection_bytes = 0;
  int64_t max_collection_bytes_per_key = 0;  // of those of one key; 0 = no bound of its own
  std::string collections_directory;         // empty = in memory
  absl::Duration collection_ttl = absl::ZeroDuration();  // longest that a document is kept; 0 = any

  // Life.
  // After SIGTERM the server says NOT_SERVING and still answers for this long.
  absl::Duration drain_delay = absl::Seconds(5);
  // After drain_delay, accepted work may take this long. What is left after it is dropped, and the
  // exit code is 3.
  absl::Duration drain_limit = absl::Seconds(60);
  // A worker is stuck when its pass is silent for longer than this times its predicted time, and
  // for at least 60 s.
  double watchdog_factor = 20;

  // Security. The tls_... files are PEM and are read again every ten seconds.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;    // clients must show a certificate of this authority
  std::string auth_keys_file;   // one bearer key a line, read again when it changes
  bool http_tls = false;        // the HTTP port speaks TLS, with the same files
  bool http_page_keys = false;  // the page, /metrics and the probes need a key, too
  bool strict_json = false;     // unknown fields of JSON requests are refused
  // Web pages of these may call the APIs of the HTTP port: "https://app.example", or "*".
  std::vector<std::string> cors_origins;
  bool reflection = false;

  // Output.
  bool tei_metric_names = false;    // metrics under the names of text-embeddings-inference, too
  std::string log_format = "json";  // json | text
  std::string log_level = "info";   // debug | info | warning | error
};

// The tokens of a pass where the settings leave them open.
constexpr int64_t DefaultBatchTokens(bool on_card) { return on_card ? 65536 : 16384; }

// The longest text in force, in tokens: the smallest of options.max_tokens, the model's own bound
// and what memory allows, of those that are set. 0 = none is.
int64_t MaxTokensInForce(const ServerOptions& options, const ModelInfo& model);
// Which of them that is: "setting", "model" or "memory"; empty where none is set. Of two that are
// the same the one that is named first here.
std::string_view MaxTokensSetBy(const ServerOptions& options, const ModelInfo& model);

struct ParsedOptions {
  ServerOptions options;
  // By setting: "default", "config FILE", "environment NAME" or "command line".
  std::map<std::string, std::string> origins;
  // With --help, --version and --print-config: print this and exit with 0.
  std::optional<std::string> print_and_exit;
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The real environment, one variable and all of them ("NAME=VALUE"); the only readers of it in the
// server.
std::optional<std::string> ProcessEnvironment(const std::string& name);
std::vector<std::string> ProcessVariables();

// Parses all layers and checks each value by itself. INVALID_ARGUMENT in one line, also where one
// of `variables` ("NAME=VALUE") looks like a setting and is none
// (server/settings/known_variables.h).
absl::StatusOr<ParsedOptions> ParseServerOptions(const std::vector<std::string>& arguments,
                                                 const Environment& environment,
                                                 const std::vector<std::string>& variables = {});

// Checks that need more than one value: the model is named, addresses can be read, certificates
// come with keys, the default deadline is within the longest.
absl::Status Validate(const ServerOptions& options);

// One line per setting: `max-batch-tokens = 16384    # default`.
std::string DescribeOptions(const ParsedOptions& parsed);

}  // namespace longspan
