// ServerOptions: everything that can be set, with its default. Four layers, later ones win: the
// struct, --config FILE (a JSON object or `key = value` lines), the environment
// (LONGSPAN_MAX_BATCH_TOKENS), the command line (--max-batch-tokens). One table in the .cc holds
// name, range and help of each; errors name the setting, the value, what is allowed and its origin.
//
// Plain values; parsing is a pure function of arguments and the given environment.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace longspan {

struct ServerOptions {
  // what is served, where
  std::string model;  // folder
  std::string device = "cpu";
  std::string dtype = "float32";         // float32 | bfloat16 | int8 | auto
  std::string listen = "0.0.0.0:50051";  // port 0 picks a free one
  std::string http = "0.0.0.0:8080";     // or "off"

  // compute
  int64_t replicas =
      // worker threads with a compute team each; 0 = measured at start (quota / threads where that
      // is set)
      0;
  int64_t threads = 0;  // of one compute team; 0 = CPU quota / replicas
  int64_t tokenizer_threads = 2;
  int64_t memory_budget =
      0;  // bytes of tensors, weights included; 0 = 90 % of the cgroup's limit, if any
  bool preempt = true;  // short texts may run between the layers of a long one

  // limits
  int64_t max_tokens = 0;  // longest text; 0 = the model's own bound
  int64_t max_batch_tokens = 16384;
  absl::Duration batch_timeout = absl::ZeroDuration();
  int64_t max_queue_tokens = int64_t{4} << 20;
  int64_t max_queue_bytes = int64_t{256} << 20;
  double max_queue_seconds = 60;  // predicted
  int64_t max_texts_per_request = 128;
  int64_t max_text_bytes = int64_t{8} << 20;
  int64_t max_request_bytes = int64_t{16} << 20;
  int64_t max_concurrent_streams = 256;
  int64_t max_stream_inputs = 64;  // EncodeStream: inputs of one stream in work or unsent
  int64_t max_token_vector_bytes = int64_t{2} << 30;
  absl::Duration max_deadline = absl::Seconds(600);
  absl::Duration default_deadline = absl::Seconds(60);

  // life
  absl::Duration drain_delay = absl::Seconds(5);  // NOT_SERVING, still answering
  absl::Duration drain_limit =
      absl::Seconds(60);  // then whatever is left is dropped and the exit code is 3
  double watchdog_factor =
      20;  // a batch silent for longer than this x predicted (at least 60 s) = dead device

  // security
  std::string tls_cert;  // PEM files, re-read when they change
  std::string tls_key;
  std::string tls_client_ca;   // asks clients for certificates of this authority
  std::string auth_keys_file;  // one bearer key a line, re-read when it changes
  bool reflection = false;
  bool tei_metric_names = false;

  // output
  std::string log_format = "json";  // json | text
  std::string log_level = "info";   // debug | info | warning | error
};

struct ParsedOptions {
  ServerOptions options;
  std::map<std::string, std::string>
      origins;  // by setting: "default", "config FILE", "environment NAME", "command line"
  std::optional<std::string>
      print_and_exit;  // --help, --version, --print-config: print this, exit 0
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The real environment; the only reader of it in the server.
std::optional<std::string> ProcessEnvironment(const std::string& name);

// Parses all layers and checks each value; INVALID_ARGUMENT in one line.
absl::StatusOr<ParsedOptions> ParseServerOptions(const std::vector<std::string>& arguments,
                                                 const Environment& environment);

// Checks that need more than one value: the model is named, certificates come with keys, ranges
// that depend on each other.
absl::Status Validate(const ServerOptions& options);

// One line per setting: `max-batch-tokens = 16384    # default`.
std::string DescribeOptions(const ParsedOptions& parsed);

}  // namespace longspan
