#include "server/server_options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/backend/open_backend.h"
#include "core/error_details.h"
#include "core/model_info.h"
#include "proto/longspan/v1/address.h"
#include "server/settings/config_file.h"
#include "server/settings/known_variables.h"
#include "server/settings/quantity.h"

namespace longspan {
namespace {

// The kinds of settings: each holds a pointer to the member of ServerOptions, and what is allowed.
struct Text {
  std::string ServerOptions::*member;
};
struct ListenOn {
  std::string ServerOptions::*member;
  bool is_http;
};
struct Choice {
  std::string ServerOptions::*member;
  std::vector<std::string> allowed;
};
struct Device {
  std::string ServerOptions::*member;
};
struct Integer {
  int64_t ServerOptions::*member;
  int64_t min;
  int64_t max;
};
// Bytes or tokens, which may have a suffix (server/settings/quantity.h).
struct Quantity {
  int64_t ServerOptions::*member;
  int64_t min;
  int64_t max;
  Counted counted;
};
Quantity Bytes(int64_t ServerOptions::*member, int64_t min, int64_t max) {
  return {member, min, max, Counted::kBytes};
}
Quantity Tokens(int64_t ServerOptions::*member, int64_t min, int64_t max) {
  return {member, min, max, Counted::kThings};
}
struct Real {
  double ServerOptions::*member;
  double min;
  double max;
};
struct Switch {
  bool ServerOptions::*member;
};
struct Time {
  absl::Duration ServerOptions::*member;
  absl::Duration min;
  absl::Duration max;
};
// A list, separated by commas; on the command line also the flag again and again.
struct Origins {
  std::vector<std::string> ServerOptions::*member;
};
using Kind =
    std::variant<Text, ListenOn, Choice, Device, Integer, Quantity, Real, Switch, Time, Origins>;

struct Setting {
  std::string name;
  std::string help;
  Kind kind;
};

// Largest count of tokens or bytes that may be set: beyond any machine, and far from where sums of
// a few such values overflow int64.
constexpr int64_t kMost = int64_t{1} << 40;

constexpr char kExitCodes[] =
    "Exit codes:\n"
    "  0  drained after SIGTERM or SIGINT: everything that was accepted has been answered\n"
    "  1  cannot start: model, device, address, certificates, threads\n"
    "  2  bad settings\n"
    "  3  a second signal, or the drain limit passed with work left\n"
    "  4  the computing device is lost, a worker hangs, or the gRPC port no longer answers\n"
    "Settings come from, later ones win: defaults, --config FILE, the environment, the command "
    "line. Bytes and tokens may have a suffix: 8MiB, 4Gi, 512k.";

using O = ServerOptions;

const std::vector<Setting>& Settings() {
  static const auto* settings = new std::vector<Setting>{
      {"model", "model folder (config.json, model.safetensors, tokenizer.json)", Text{&O::model}},
      {"model-name",
       "name of the model in answers, metrics and log; default: the folder's, or org/name where it "
       "is in a cache of the hub",
       Text{&O::model_name}},
      {"device",
       "cpu | cuda (the first card) | cuda:N | cuda:N,M,... (a replica on each) | auto: the first "
       "card, else the CPU, and the log says why",
       Device{&O::device}},
      {"dtype",
       "float32 | bfloat16 | float16 (cards) | int8 | auto: int8 of a quantized folder, else "
       "bfloat16 on a card or a CPU that has it, else float32",
       Choice{&O::dtype, {"float32", "bfloat16", "float16", "int8", "auto"}}},
      {"listen", "gRPC: HOST:PORT, [IPv6]:PORT, unix:PATH, unix-abstract:NAME; port 0: a free one",
       ListenOn{&O::listen, /*is_http=*/false}},
      {"http", "page, metrics and probes: HOST:PORT (IPv4), or off", ListenOn{&O::http, true}},
      {"page", "the HTTP port serves a page for people at /", Switch{&O::page}},
      {"replicas",
       "workers, each with a compute team; 0 = what moves most tokens in a measurement at start; "
       "on a card two",
       Integer{&O::replicas, 0, 1024}},
      {"threads",
       "threads of one team; 0 = CPU quota / replicas, or as the load asks for; on a card one",
       Integer{&O::threads, 0, 1024}},
      {"tokenizer-threads", "threads that read texts", Integer{&O::tokenizer_threads, 1, 256}},
      {"memory-budget", "bytes of tensors, weights included; 0 = 90 % of the cgroup's limit",
       Bytes(&O::memory_budget, 0, kMost << 10)},
      {"preempt", "short texts may run between the layers of a long one", Switch{&O::preempt}},
      {"max-tokens", "longest text in tokens; 0 = what the model and the memory allow",
       Tokens(&O::max_tokens, 0, kMost)},
      {"max-batch-tokens",
       "tokens of one forward pass; a longer text runs alone; 0 = 16384, on a card 65536 or what "
       "its memory holds",
       Tokens(&O::max_batch_tokens, 0, kMost)},
      {"batch-timeout", "how long a batch below its budget waits for company",
       Time{&O::batch_timeout, absl::ZeroDuration(), absl::Seconds(60)}},
      {"max-queue-tokens", "tokens accepted and not done", Tokens(&O::max_queue_tokens, 1, kMost)},
      {"max-queue-bytes", "text bytes accepted and not done", Bytes(&O::max_queue_bytes, 1, kMost)},
      {"max-queue-seconds", "longest predicted wait", Real{&O::max_queue_seconds, 0.001, 1e6}},
      {"max-texts-per-request", "inputs of one request",
       Integer{&O::max_texts_per_request, 1, 1 << 20}},
      {"max-text-bytes", "bytes of one text", Bytes(&O::max_text_bytes, 1, kMost)},
      {"max-global-spans-per-text", "ranges and positions of global attention of one text",
       Integer{&O::max_global_spans_per_text, 1, 1 << 24}},
      {"max-global-tokens", "tokens of one text with global attention",
       Tokens(&O::max_global_tokens, 1, kMost)},
      {"max-request-bytes", "bytes of one message",
       Bytes(&O::max_request_bytes, 1024, (int64_t{1} << 31) - 1)},
      {"max-concurrent-streams", "calls at once on one connection",
       Integer{&O::max_concurrent_streams, 1, 1 << 20}},
      {"max-connections",
       "connections to the gRPC port; 0 = as many as descriptors allow, at most 4096",
       Integer{&O::max_connections, 0, 1 << 20}},
      {"max-connections-per-client",
       "connections of one address, at most three quarters of max-connections; 0 = no limit",
       Integer{&O::max_connections_per_client, 0, 1 << 20}},
      {"max-stream-inputs", "items of one stream in work or unsent",
       Integer{&O::max_stream_inputs, 1, 1 << 20}},
      {"max-token-vector-bytes", "token vectors computed and not yet sent",
       Bytes(&O::max_token_vector_bytes, 1024, kMost)},
      {"max-answer-bytes", "one answer; all that are computed or unread may take twice as much",
       Bytes(&O::max_answer_bytes, 1024, int64_t{1} << 30)},
      {"max-receiving-bytes", "messages that have begun to arrive, of all callers",
       Bytes(&O::max_receiving_bytes, 1 << 20, kMost)},
      {"collections", "documents can be kept, to be searched in", Switch{&O::collections}},
      {"max-collection-bytes",
       "kept documents of all callers; 0 = 256 MiB, or a sixteenth of the cgroup's memory",
       Bytes(&O::max_collection_bytes, 0, kMost << 10)},
      {"max-collection-bytes-per-key",
       "kept documents of one key of --auth-keys-file; 0 = as --max-collection-bytes",
       Bytes(&O::max_collection_bytes_per_key, 0, kMost << 10)},
      {"collections-directory",
       "folder where kept documents lie, a file a collection; none: in memory, gone with the "
       "server",
       Text{&O::collections_directory}},
      {"collection-ttl", "how long a document is kept at most; 0 = until it is deleted",
       Time{&O::collection_ttl, absl::ZeroDuration(), absl::Hours(24) * 36500}},
      {"max-deadline", "longest deadline of a call",
       Time{&O::max_deadline, absl::Milliseconds(1), absl::Hours(24)}},
      {"default-deadline", "deadline of calls that bring none",
       Time{&O::default_deadline, absl::Milliseconds(1), absl::Hours(24)}},
      {"drain-delay", "after SIGTERM: NOT_SERVING but answering for so long",
       Time{&O::drain_delay, absl::ZeroDuration(), absl::Hours(1)}},
      {"drain-limit", "then: accepted work may take so long",
       Time{&O::drain_limit, absl::ZeroDuration(), absl::Hours(24)}},
      {"watchdog-factor",
       "a pass silent for so many times its predicted time, and a minute, is a stuck worker",
       Real{&O::watchdog_factor, 1, 1e6}},
      {"tls-cert", "PEM certificate chain; with --tls-key", Text{&O::tls_cert}},
      {"tls-key", "PEM private key", Text{&O::tls_key}},
      {"tls-client-ca", "PEM authority of client certificates (mTLS)", Text{&O::tls_client_ca}},
      {"auth-keys-file", "one bearer key a line; without it every caller is let in",
       Text{&O::auth_keys_file}},
      {"http-tls", "the HTTP port speaks TLS, with the files of --tls-...", Switch{&O::http_tls}},
      {"strict-json", "the HTTP port's APIs refuse fields that they do not know",
       Switch{&O::strict_json}},
      {"http-page-keys", "the page, /metrics and the probes need a key of --auth-keys-file, too",
       Switch{&O::http_page_keys}},
      {"cors-origin",
       "web pages that may call the HTTP port's APIs: https://app.example, a list, or * for all",
       Origins{&O::cors_origins}},
      {"reflection", "serve gRPC reflection, v1 and v1alpha", Switch{&O::reflection}},
      {"tei-metric-names", "serve metrics under the names of text-embeddings-inference too",
       Switch{&O::tei_metric_names}},
      {"log-format", "json | text", Choice{&O::log_format, {"json", "text"}}},
      {"log-level", "debug | info | warning | error",
       Choice{&O::log_level, {"debug", "info", "warning", "error"}}},
  };
  return *settings;
}

// What is allowed for an address; nullopt where `text` is one.
std::optional<std::string> WhatAddress(const std::string& text, bool is_http) {
  const auto address = ReadAddress(text);
  if (is_http) {
    // A name or an IPv4 address. IPv6 callers reach the wildcard address.
    const bool listens =
        address.has_value() && address->has_port() && address->kind != Address::Kind::kIpv6;
    if (listens || text == "off") return std::nullopt;
    return "HOST:PORT with a name or an IPv4 address and a port from 0 to 65535, or off";
  }
  if (address.has_value()) return std::nullopt;
  return absl::StrCat(
      "HOST:PORT or [IPv6]:PORT with a port from 0 to 65535, unix:PATH or unix-abstract:NAME of at "
      "most ",
      kMaxSocketPathBytes, " bytes");
}

// What a browser sends as Origin: a scheme, a host, a port where it is not the scheme's own.
bool IsOrigin(std::string_view text) {
  if (text == "*") return true;
  const size_t slashes = text.find("://");
  if (slashes == 0 || slashes == std::string_view::npos) return false;
  const auto is_of = [](std::string_view part, std::string_view others) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [others](unsigned char byte) {
      return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) ||
             others.find(static_cast<char>(byte)) != std::string_view::npos;
    });
  };
  return is_of(text.substr(0, slashes), "+-.") && is_of(text.substr(slashes + 3), "-._:[]");
}

// Seconds ("2.5") or a duration with a unit ("2500ms", "10m").
bool ParseTime(const std::string& text, absl::Duration* out) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    *out = absl::Seconds(seconds);
    return true;
  }
  return absl::ParseDuration(text, out);
}

// Sets the value of a setting from its text. Returns nullopt where that worked, else what is
// allowed.
struct Setter {
  ServerOptions& options;
  const std::string& text;

  std::optional<std::string> operator()(const Text& kind) const {
    options.*kind.member = text;
    return std::nullopt;
  }
  std::optional<std::string> operator()(const ListenOn& kind) const {
    auto allowed = WhatAddress(text, kind.is_http);
    if (!allowed.has_value()) options.*kind.member = text;
    return allowed;
  }
  std::optional<std::string> operator()(const Choice& kind) const {
    if (std::find(kind.allowed.begin(), kind.allowed.end(), text) == kind.allowed.end())
      return absl::StrJoin(kind.allowed, ", ");
    options.*kind.member = text;
    return std::nullopt;
  }
  std::optional<std::string> operator()(const Device& kind) const {
    if (!SplitDevices(text).ok()) return kDeviceNames;
    options.*kind.member = text;
    return std::nullopt;
  }
  std::optional<std::string> operator()(const Integer& kind) const {
    int64_t value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < kind.min || value > kind.max) {
      return absl::StrCat("a whole number from ", kind.min, " to ", kind.max);
    }
    options.*kind.member = value;
    return std::nullopt;
  }
  std::optional<std::string> operator()(const Quantity& kind) const {
    const absl::StatusOr<int64_t> value = ParseQuantity(text, kind.counted);
    if (value.ok() && *value >= kind.min && *value <= kind.max) {
      options.*kind.member = *value;
      return std::nullopt;
    }
    const std::string_view forms = QuantityForms(kind.counted);
    return absl::StrCat(value.ok() ? "" : absl::StrCat("(", value.status().message(), ") "),
                        "from ", FormatQuantity(kind.min, kind.counted), " to ",
                        FormatQuantity(kind.max, kind.counted), ", in ",
                        absl::string_view(forms.data(), forms.size()));
  }
  std::optional<std::string> operator()(const Real& kind) const {
    double value = 0;
    if (!absl::SimpleAtod(text, &value) || !(value >= kind.min && value <= kind.max)) {
      return absl::StrCat("a number from ", kind.min, " to ", kind.max);
    }
    options.*kind.member = value;
    return std::nullopt;
  }
  std::optional<std::string> operator()(const Switch& kind) const {
    if (!absl::SimpleAtob(text, &(options.*kind.member))) return "true or false";
    return std::nullopt;
  }
  std::optional<std::string> operator()(const Time& kind) const {
    absl::Duration value;
    if (!ParseTime(text, &value) || value < kind.min || value > kind.max) {
      return absl::StrCat("a time from ", absl::FormatDuration(kind.min), " to ",
                          absl::FormatDuration(kind.max), " (seconds, or with a unit)");
    }
    options.*kind.member = value;
    return std::nullopt;
  }
  std::optional<std::string> operator()(const Origins& kind) const {
    std::vector<std::string> origins;
    for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
      origins.emplace_back(absl::StripAsciiWhitespace(part));
      if (!IsOrigin(origins.back()))
        return "SCHEME://HOST or SCHEME://HOST:PORT in lower case without a path, several with "
               "commas between them, or *";
    }
    options.*kind.member = std::move(origins);
    return std::nullopt;
  }
};

// The value of a setting as text, in the form that Setter reads.
struct Getter {
  const ServerOptions& options;
  std::string operator()(const Text& kind) const { return options.*kind.member; }
  std::string operator()(const ListenOn& kind) const { return options.*kind.member; }
  std::string operator()(const Choice& kind) const { return options.*kind.member; }
  std::string operator()(const Device& kind) const { return options.*kind.member; }
  std::string operator()(const Integer& kind) const { return absl::StrCat(options.*kind.member); }
  std::string operator()(const Quantity& kind) const {
    return FormatQuantity(options.*kind.member, kind.counted);
  }
  std::string operator()(const Real& kind) const { return absl::StrCat(options.*kind.member); }
  std::string operator()(const Switch& kind) const {
    return options.*kind.member ? "true" : "false";
  }
  std::string operator()(const Time& kind) const {
    return absl::FormatDuration(options.*kind.member);
  }
  std::string operator()(const Origins& kind) const {
    return absl::StrJoin(options.*kind.member, ",");
  }
};

absl::Status Apply(const Setting& setting, const std::string& text, const std::string& origin,
                   ParsedOptions* parsed) {
  const auto allowed = std::visit(Setter{parsed->options, text}, setting.kind);
  if (allowed.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(setting.name, " is ", Quoted(text), " (", origin, "); allowed: ", *allowed));
  }
  parsed->origins[setting.name] = origin;
  return absl::OkStatus();
}

absl::Status ApplyConfigFile(const std::string& path, ParsedOptions* parsed) {
  auto values = ReadConfigFile(path);
  if (!values.ok()) return values.status();
  for (const Setting& setting : Settings()) {
    for (const std::string& key : {setting.name, absl::StrReplaceAll(setting.name, {{"-", "_"}})}) {
      const auto found = values->find(key);
      if (found == values->end()) continue;
      if (absl::Status status = Apply(setting, found->second, "config " + path, parsed);
          !status.ok())
        return status;
      values->erase(found);
    }
  }
  if (values->empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("config ", path, " sets ",
                                                 Quoted(values->begin()->first),
                                                 ", which is no setting; see --help"));
}

std::string EnvironmentName(const std::string& setting) {
  return "LONGSPAN_" + absl::AsciiStrToUpper(absl::StrReplaceAll(setting, {{"-", "_"}}));
}

std::vector<std::string> KnownVariables() {
  std::vector<std::string> names = {"LONGSPAN_CONFIG"};
  for (const Setting& setting : Settings()) names.push_back(EnvironmentName(setting.name));
  return names;
}

// The command line: the text given for each setting, and the flags that are no settings.
struct CommandLine {
  CLI::App app{"longspan-server: long text into vectors over gRPC", "longspan-server"};
  std::vector<std::string> values;  // by setting, in the order of Settings()
  std::vector<CLI::Option*> given;  // in the same order; counts how often each was given
  std::string config;
  bool print_config = false;

  CommandLine() : values(Settings().size()) {
    app.footer(kExitCodes);
    app.set_version_flag("--version", std::string("longspan-server " LONGSPAN_VERSION));
    app.add_option("--config", config,
                   "JSON object or key = value lines with any of the settings below");
    app.add_flag("--print-config", print_config,
                 "print the values in force and where each came from, and exit");
    for (size_t i = 0; i < Settings().size(); ++i) {
      const Setting& setting = Settings()[i];
      const std::string help =
          absl::StrCat(setting.help, " [", EnvironmentName(setting.name),
                       "; default: ", std::visit(Getter{ServerOptions{}}, setting.kind), "]");
      given.push_back(std::holds_alternative<Switch>(setting.kind)
                          ? app.add_flag("--" + setting.name, values[i], help)
                          : app.add_option("--" + setting.name, values[i], help));
      if (std::holds_alternative<Origins>(setting.kind))
        given.back()->multi_option_policy(CLI::MultiOptionPolicy::Join)->delimiter(',');
    }
  }
};

absl::Status ApplyLayers(const CommandLine& line, const Environment& environment,
                         ParsedOptions* parsed) {
  for (const Setting& setting : Settings()) parsed->origins[setting.name] = "default";
  const std::string config =
      line.config.empty() ? environment("LONGSPAN_CONFIG").value_or("") : line.config;
  if (!config.empty()) {
    if (absl::Status status = ApplyConfigFile(config, parsed); !status.ok()) return status;
  }
  for (const Setting& setting : Settings()) {
    const std::string name = EnvironmentName(setting.name);
    const auto value = environment(name);
    if (!value.has_value()) continue;
    if (absl::Status status = Apply(setting, *value, "environment " + name, parsed); !status.ok())
      return status;
  }
  for (size_t i = 0; i < Settings().size(); ++i) {
    if (line.given[i]->count() == 0) continue;
    if (absl::Status status = Apply(Settings()[i], line.values[i], "command line", parsed);
        !status.ok())
      return status;
  }
  return absl::OkStatus();
}

}  // namespace

int64_t MaxTokensInForce(const ServerOptions& options, const ModelInfo& model) {
  int64_t least = 0;
  for (const int64_t bound : {options.max_tokens, model.max_tokens, options.memory_max_tokens}) {
    if (bound > 0) least = least == 0 ? bound : std::min(least, bound);
  }
  return least;
}

std::string_view MaxTokensSetBy(const ServerOptions& options, const ModelInfo& model) {
  const int64_t in_force = MaxTokensInForce(options, model);
  if (in_force == 0) return "";
  if (options.max_tokens == in_force) return "setting";
  return model.max_tokens == in_force ? "model" : "memory";
}

std::vector<std::string> ProcessVariables() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
    variables.emplace_back(*variable);
  return variables;
}

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

absl::StatusOr<ParsedOptions> ParseServerOptions(const std::vector<std::string>& arguments,
                                                 const Environment& environment,
                                                 const std::vector<std::string>& variables) {
  ParsedOptions parsed;
  CommandLine line;
  try {
    // CLI11 takes the arguments last one first.
    line.app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    parsed.print_and_exit = line.app.help();
    return parsed;
  } catch (const CLI::CallForVersion&) {
    parsed.print_and_exit = line.app.version() + "\n";
    return parsed;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), " (see --help)"));
  }
  if (absl::Status status = CheckVariables(variables, KnownVariables()); !status.ok())
    return status;
  if (absl::Status status = ApplyLayers(line, environment, &parsed); !status.ok()) return status;
  if (line.print_config) parsed.print_and_exit = DescribeOptions(parsed);
  return parsed;
}

absl::Status Validate(const ServerOptions& options) {
  if (options.model.empty())
    return absl::InvalidArgumentError(
        "model is not set; give --model DIR, a folder with config.json");
  for (const Setting& setting : Settings()) {
    const auto* address = std::get_if<ListenOn>(&setting.kind);
    if (address == nullptr) continue;
    const std::string& text = options.*address->member;
    if (const auto allowed = WhatAddress(text, address->is_http); allowed.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(setting.name, " is ", Quoted(text), "; allowed: ", *allowed));
    }
  }
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("tls-cert and tls-key go together; set both or none");
  }
  if (!options.tls_client_ca.empty() && options.tls_cert.empty()) {
    return absl::InvalidArgumentError(
        "tls-client-ca is set without tls-cert and tls-key; set all three");
  }
  if (options.http_tls && options.tls_cert.empty()) {
    return absl::InvalidArgumentError(
        "http-tls is set without tls-cert and tls-key; set all three");
  }
  if (options.http_page_keys && options.auth_keys_file.empty()) {
    return absl::InvalidArgumentError(
        "http-page-keys is set without auth-keys-file; set both or none");
  }
  if (options.default_deadline > options.max_deadline) {
    return absl::InvalidArgumentError(absl::StrCat(
        "default-deadline is ", absl::FormatDuration(options.default_deadline),
        "; allowed: at most max-deadline, ", absl::FormatDuration(options.max_deadline)));
  }
  return absl::OkStatus();
}

std::string DescribeOptions(const ParsedOptions& parsed) {
  constexpr size_t kOriginColumn = 44;  // behind the longest name with its default
  std::string text;
  for (const Setting& setting : Settings()) {
    const std::string line =
        absl::StrCat(setting.name, " = ", std::visit(Getter{parsed.options}, setting.kind));
    const auto origin = parsed.origins.find(setting.name);
    absl::StrAppend(&text, line,
                    std::string(line.size() < kOriginColumn ? kOriginColumn - line.size() : 1, ' '),
                    "# ", origin == parsed.origins.end() ? "default" : origin->second, "\n");
  }
  return text;
}

}  // namespace longspan
