#include "client/commands.h"

#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/summary.h"

namespace longspan {
namespace {

constexpr char kExitCodes[] =
    "Exit codes: 0 done; 1 refused or failed; 2 bad usage or unreadable input; 3 no server or not ready; 4 deadline passed; 5 "
    "overloaded.";

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, " cannot be read; give a text file, or - for standard input"));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (google::protobuf::util::MessageToJsonString(message, &json, options).ok()) std::printf("%s\n", json.c_str());
}

v1::EncodeRequest BuildRequest(const EncodeCommand& command, const std::string& text) {
  v1::EncodeRequest request;
  v1::Input* input = request.add_inputs();
  input->set_id(command.file);
  input->set_text(text);
  v1::EncodeOptions* options = request.mutable_options();
  const auto upper = [](std::string name) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
    return name;
  };
  v1::Truncation truncation = v1::TRUNCATION_UNSPECIFIED;
  if (v1::Truncation_Parse("TRUNCATION_" + upper(command.truncation), &truncation)) options->set_truncation(truncation);
  v1::Pooling pooling = v1::POOLING_UNSPECIFIED;
  if (v1::Pooling_Parse("POOLING_" + upper(command.pooling), &pooling)) options->set_pooling(pooling);
  v1::SpanPolicy spans = v1::SPAN_POLICY_UNSPECIFIED;
  if (v1::SpanPolicy_Parse("SPAN_POLICY_" + upper(command.spans), &spans)) options->set_span_policy(spans);
  options->set_dimensions(static_cast<uint32_t>(command.dimensions));
  options->set_prompt_name(command.prompt_name);
  return request;
}

double Dot(const v1::Vector& a, const v1::Vector& b) {
  double sum = 0, aa = 0, bb = 0;
  for (int i = 0; i < std::min(a.values_size(), b.values_size()); ++i) {
    sum += static_cast<double>(a.values(i)) * b.values(i);
    aa += static_cast<double>(a.values(i)) * a.values(i);
    bb += static_cast<double>(b.values(i)) * b.values(i);
  }
  return aa > 0 && bb > 0 ? sum / std::sqrt(aa * bb) : 0;
}

// The spans of the document, nearest to the query first: what late chunking is for.
int PrintRanking(Client* client, const CommonOptions& common, const EncodeCommand& command, const std::string& text,
                 const v1::Encoding& document) {
  EncodeCommand plain = command;
  plain.spans.clear();
  const auto query = client->Encode(BuildRequest(plain, command.query), absl::Seconds(common.deadline_seconds));
  if (!query.ok()) return Report(query.status());
  std::vector<std::pair<double, int>> ranking;
  for (int i = 0; i < document.spans_size(); ++i)
    ranking.emplace_back(Dot(query->encodings(0).vector(), document.spans(i).vector()), i);
  std::sort(ranking.rbegin(), ranking.rend());
  for (size_t r = 0; r < std::min<size_t>(ranking.size(), 5); ++r) {
    const v1::Range& bytes = document.spans(ranking[r].second).bytes();
    std::printf("%.4f  bytes %llu..%llu  %s\n", ranking[r].first, static_cast<unsigned long long>(bytes.begin()),
                static_cast<unsigned long long>(bytes.end()),
                OneLine(text.substr(bytes.begin(), bytes.end() - bytes.begin()), 160).c_str());
  }
  return 0;
}

void AddEncode(CLI::App* app, EncodeCommand* command) {
  app->add_option("FILE", command->file, "text file, or - for standard input");
  app->add_flag("--summary", command->summary, "print for people: tokens read, vector head, time by stage, tokens/s");
  app->add_option("--spans", command->spans, "one vector each: sentences | paragraphs")
      ->check(CLI::IsMember({"sentences", "paragraphs"}));
  app->add_option("--query", command->query, "print the spans nearest to this text (sentences where --spans is not given)");
  app->add_option("--truncation", command->truncation, "reject | head | tail | head-tail | windows")
      ->check(CLI::IsMember({"reject", "head", "tail", "head-tail", "windows"}));
  app->add_option("--pooling", command->pooling,
                  "cls | mean | max | mean-sqrt-len | weighted-mean | last-token; default: the model's");
  app->add_option("--prompt", command->prompt_name, "name of one of the model's prompts");
  app->add_option("--dimensions", command->dimensions, "keep the first so many values")->check(CLI::NonNegativeNumber);
}

}  // namespace

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kNotFound:
      return 2;
    case absl::StatusCode::kUnavailable:
      return 3;
    case absl::StatusCode::kDeadlineExceeded:
      return 4;
    case absl::StatusCode::kResourceExhausted:
      return 5;
    default:
      return 1;
  }
}

int Report(const absl::Status& status) {
  std::fprintf(stderr, "longspan: %s: %s\n", absl::StatusCodeToString(status.code()).c_str(),
               std::string(status.message()).c_str());
  return ExitCode(status);
}

int RunEncode(const CommonOptions& common, const EncodeCommand& given) {
  EncodeCommand command = given;
  if (!command.query.empty() && command.spans.empty()) command.spans = "sentences";
  const auto text = ReadInput(command.file);
  if (!text.ok()) return Report(text.status());
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Report(client.status());
  const absl::Time start = absl::Now();
  const auto response = (*client)->Encode(BuildRequest(command, *text), absl::Seconds(common.deadline_seconds));
  if (!response.ok()) return Report(response.status());
  const absl::Duration wall = absl::Now() - start;
  if (!command.query.empty()) return PrintRanking(client->get(), common, command, *text, response->encodings(0));
  if (command.summary) {
    std::printf("%s", SummaryText(*text, *response, wall).c_str());
  } else {
    PrintJson(*response);
  }
  return 0;
}

int RunInfo(const CommonOptions& common) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Report(client.status());
  const auto info = (*client)->GetModelInfo(absl::Seconds(common.deadline_seconds));
  if (!info.ok()) return Report(info.status());
  PrintJson(*info);
  return 0;
}

int RunHealth(const CommonOptions& common, const std::string& service, double wait_seconds) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Report(client.status());
  const absl::Time until = absl::Now() + absl::Seconds(wait_seconds);
  while (true) {
    const auto health = (*client)->Health(service, absl::Seconds(std::min(common.deadline_seconds, 10.0)));
    const bool serving = health.ok() && *health == "SERVING";
    const bool may_change = health.ok() || absl::IsUnavailable(health.status()) || absl::IsDeadlineExceeded(health.status());
    if (!serving && may_change && absl::Now() < until) {
      absl::SleepFor(absl::Milliseconds(200));
      continue;
    }
    if (!health.ok()) return Report(health.status());
    std::printf("{\"service\":\"%s\",\"status\":\"%s\"}\n", service.c_str(), health->c_str());
    return serving ? 0 : 3;
  }
}

int RunCommandLine(int argc, char** argv, const std::string& environment_server, const std::string& environment_key) {
  CLI::App app{"longspan: long text into vectors", "longspan"};
  app.set_version_flag("--version", std::string("longspan " LONGSPAN_VERSION));
  app.footer(kExitCodes);
  app.require_subcommand(1);
  app.fallthrough();  // --server may stand before or behind the command
  CommonOptions common;
  if (!environment_server.empty()) common.client.server = environment_server;
  common.client.key = environment_key;
  app.add_option("--server", common.client.server, "HOST:PORT [LONGSPAN_SERVER]")->capture_default_str();
  app.add_option("--deadline", common.deadline_seconds, "seconds a call may take")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--ca", common.client.ca_file, "PEM authority of the server's certificate: use TLS");
  EncodeCommand encode;
  std::string service;
  double wait_seconds = 0;
  CLI::App* encode_app = app.add_subcommand("encode", "encode a text and print JSON");
  AddEncode(encode_app, &encode);
  CLI::App* info_app = app.add_subcommand("info", "print the model and the limits in force");
  CLI::App* health_app = app.add_subcommand("health", "print SERVING or NOT_SERVING");
  health_app->add_option("SERVICE", service, "name to ask for; default: the whole server");
  health_app->add_option("--wait", wait_seconds, "ask until SERVING, for at most so many seconds")->check(CLI::NonNegativeNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (encode_app->parsed()) return RunEncode(common, encode);
  if (info_app->parsed()) return RunInfo(common);
  return RunHealth(common, service, wait_seconds);
}

}  // namespace longspan
