#include "client/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "client/answer_writer.h"
#include "client/bench.h"
#include "client/bulk/bulk.h"
#include "client/bulk/merge.h"
#include "client/cli_options.h"
#include "client/collection_commands.h"
#include "client/encode_files.h"
#include "client/encode_options.h"
#include "client/exit_code.h"
#include "client/info_text.h"
#include "client/search_files.h"
#include "client/steady_now.h"
#include "client/summary.h"
#include "client/text_file.h"
#include "client/variable_names.h"

namespace longspan {
namespace {

// Texts wait behind others of the same run, and a rollout of all servers takes its time.
constexpr absl::Duration kBulkDeadline = absl::Hours(1);

static_assert(kWrongUsage == static_cast<int>(CLI::ExitCodes::ValidationError));

constexpr char kExitCodes[] =
    "Exit codes:\n"
    "  0    done\n"
    "  1    the server answered with an error (code and message on stderr); of many files, for "
    "one\n"
    "       at least, and the others are done;\n"
    "       bench: also where its --lengths are wrong or its CA file cannot be read;\n"
    "       bulk: some records have no vector (rejects.jsonl), all others are done\n"
    "  2    the server cannot be reached, is not SERVING, or the deadline passed\n"
    "  3    a text file or the CA file cannot be read, a text is not UTF-8, the output cannot\n"
    "       be written, or fewer than 16 files may be open\n"
    "  4    bulk: the servers refuse the run, or more records than --max-rejects; it is not done\n"
    "  100+ wrong usage; bulk: 130 and 143 after SIGINT and SIGTERM\n"
    "Environment: LONGSPAN_SERVER (--server; where it is not set, LONGSPAN_LISTEN of a server on\n"
    "this machine), LONGSPAN_CA (--ca), LONGSPAN_KEY (bearer key).";

v1::EncodeRequest BuildRequest(const EncodeCommand& command, const std::string& id,
                               const std::string& text) {
  v1::EncodeRequest request;
  v1::Input* input = request.add_inputs();
  input->set_id(id);
  input->set_text(text);
  *request.mutable_options() = OptionsOf(command);
  return request;
}

// The cosine of the angle between two vectors; 0 where one of them is zero.
double Cosine(const v1::Vector& a, const v1::Vector& b) {
  double sum = 0, aa = 0, bb = 0;
  for (int i = 0; i < std::min(a.values_size(), b.values_size()); ++i) {
    sum += static_cast<double>(a.values(i)) * b.values(i);
    aa += static_cast<double>(a.values(i)) * a.values(i);
    bb += static_cast<double>(b.values(i)) * b.values(i);
  }
  return aa > 0 && bb > 0 ? sum / std::sqrt(aa * bb) : 0;
}

// Prints the 5 spans of the document that are nearest to the query, the nearest first. The vector
// of a span has seen the whole document (late chunking), so a span can match although the words
// that make it match stand elsewhere.
int PrintRanking(Client* client, const CommonOptions& common, const EncodeCommand& command,
                 const std::string& text, const v1::Encoding& document) {
  EncodeCommand plain = command;
  plain.spans.clear();
  plain.span_min_tokens = plain.span_max_tokens = 0;
  const auto query = client->Encode(BuildRequest(plain, "query", command.query), common.deadline);
  if (!query.ok()) return FailCall(query.status());
  std::vector<std::pair<double, int>> ranking;
  ranking.reserve(document.spans_size());
  for (int i = 0; i < document.spans_size(); ++i)
    ranking.emplace_back(Cosine(query->encodings(0).vector(), document.spans(i).vector()), i);
  std::sort(ranking.rbegin(), ranking.rend());
  for (size_t r = 0; r < std::min<size_t>(ranking.size(), 5); ++r) {
    const v1::Range& bytes = document.spans(ranking[r].second).bytes();
    std::printf("%.4f  bytes %llu..%llu  %s\n", ranking[r].first,
                static_cast<unsigned long long>(bytes.begin()),
                static_cast<unsigned long long>(bytes.end()),
                JoinLines(text.substr(bytes.begin(), bytes.end() - bytes.begin()), 160).c_str());
  }
  return 0;
}

void AddEncoding(CLI::App* app, EncodeCommand* command) {
  app->add_option("--spans", command->spans,
                  "a vector for each, beside the text's: none | sentences | paragraphs | "
                  "fixed:TOKENS[:OVERLAP], as fixed:128:16")
      ->check(CLI::Validator(CheckSpans, ""));
  app->add_option("--span-min-tokens", command->span_min_tokens,
                  "with --spans: merge shorter ones with their neighbours; 0 = none")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--span-max-tokens", command->span_max_tokens,
                  "with --spans: divide longer ones at the best places; 0 = none")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--max-tokens", command->max_tokens,
                  "longest text in tokens, at most the server's limit; 0 = that limit")
      ->check(CLI::NonNegativeNumber);
  AddChoice(app, "--truncation", &command->truncation,
            {"reject", "head", "tail", "head_tail", "windows"},
            "for a text longer than the model takes; default: reject");
  AddChoice(app, "--pooling", &command->pooling,
            {"cls", "mean", "max", "mean_sqrt_len", "weighted_mean", "last_token"},
            "default: the model's own");
  app->add_option("--prompt", command->prompt_name,
                  "name of one of the model's prompts; default: the model's own, if it has one");
  app->add_option("--dimensions", command->dimensions, "keep the first so many values; 0 = all")
      ->check(CLI::NonNegativeNumber);
}

void AddEncode(CLI::App* app, EncodeCommand* command) {
  app->add_option("FILE", command->files,
                  "text files, folders with all text files below them, or - for standard input");
  app->add_option("--include", command->include,
                  "of folders: only files of such names, as '*.md' (may be given again)")
      ->allow_extra_args(false);
  app->add_option(
         "--format", command->format,
         "json: the answer to one text | jsonl: a line for each, as they come | table: for "
         "people | npy: numpy's matrix in --out, with the ids beside it; default: json for "
         "one file, jsonl for more and for folders")
      ->check(CLI::IsMember({"json", "jsonl", "table", "npy"}));
  app->add_option("--out", command->out, "the file of --format npy, as vectors.npy");
  app->add_flag("--summary", command->summary,
                "print for people: tokens read, vector head, time by stage, tokens/s");
  app->add_option("--query", command->query,
                  "print only the 5 passages that answer this best, as `search` finds them; with "
                  "--spans the 5 spans whose vectors are nearest");
  AddEncoding(app, command);
  CLI::Option* lexical = app->add_flag("--lexical", command->lexical,
                                       "the words' weights too, for stores of sparse vectors");
  app->add_option("--lexical-language", command->lexical_language,
                  "whose rules make stems of the words, as german; none = none; default: english")
      ->needs(lexical);
}

void AddSearch(CLI::App* app, SearchCommand* command) {
  app->add_option("QUERY", command->query, "the question")->required();
  CLI::Option* const collection =
      AddCollectionName(app, "--collection", &command->collection,
                        "instead of FILE: the name of a collection of kept documents (`put`)");
  app->add_option("FILE", command->files,
                  "files, folders with all files below them, or - for standard input: texts, also "
                  "gzip and zstd; PDF by pdftotext, HTML by w3m or lynx")
      ->excludes(collection);
  app->add_option("--include", command->include,
                  "of folders: only files of such names, as '*.md' (may be given again)")
      ->allow_extra_args(false)
      ->excludes(collection);
  app->add_option("--limit", command->limit, "files of the answer")
      ->check(CLI::Range(1u, UINT32_MAX))
      ->capture_default_str();
  app->add_option("--spans", command->spans, "passages of each file")
      ->check(CLI::Range(1u, UINT32_MAX))
      ->capture_default_str();
  app->add_option("--span-tokens", command->span_tokens,
                  "tokens of a passage, even, 8 to 8192; default: the server's, 64")
      ->excludes(collection);
  app->add_option("--format", command->format, "text: for people | json: for scripts")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app->add_option("--color,--colour", command->colour,
                  "auto: on a terminal, unless NO_COLOR is set | always | never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  app->add_option("--language", command->language,
                  "whose rules find the stems of words: english, german, ... | none")
      ->excludes(collection);
  app->add_option("--late-weight", command->late_weight,
                  "weight of the tokens' similarity, 0 to 1000; default: the server's, 1")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--lexical-weight", command->lexical_weight,
                  "weight of the words (BM25), 0 to 1000; default: the server's, 0.5")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--max-tokens", command->max_tokens,
                  "longest text in tokens, at most the server's limit; 0 = that limit")
      ->check(CLI::NonNegativeNumber)
      ->excludes(collection);
  AddChoice(app, "--truncation", &command->truncation,
            {"reject", "head", "tail", "head_tail", "windows"},
            "for a text longer than the model takes; default: reject")
      ->excludes(collection);
}

void AddBulk(CLI::App* app, BulkCommand* command) {
  app->add_option("FILE", command->files,
                  "JSONL, also gzip or zstd, or - for standard input: a record on each line, as "
                  "{\"id\": \"a\", \"text\": \"...\"} or {\"id\": \"a\", \"path\": \"a.txt\"}");
  app->add_option("--out", command->out,
                  "the folder: vectors.npy, rows.jsonl, rejects.jsonl, with spans also spans.npy "
                  "and spans.jsonl. Where it was begun by the same command, that run goes on")
      ->required();
  app->add_option("--text-field", command->text_field, "name of the field with the text")
      ->capture_default_str();
  app->add_option("--path-field", command->path_field,
                  "name of the field with the path of a text, from the folder of FILE")
      ->capture_default_str();
  app->add_option("--id-field", command->id_field,
                  "name of the field with the id; a record without one has its number")
      ->capture_default_str();
  app->add_option("--type", command->type, "of the values: float32 | float16")
      ->check(CLI::IsMember({"float32", "float16"}))
      ->capture_default_str();
  app->add_option("--shard", command->shard,
                  "INDEX/NUMBER: only the records whose number modulo NUMBER is INDEX")
      ->check(CLI::Validator(CheckShard, ""))
      ->capture_default_str();
  app->add_option("--concurrency", command->concurrency, "requests under way")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app->add_option("--max-rejects", command->max_rejects,
                  "end where more records are rejected; -1 = any number is taken")
      ->check(CLI::Range(int64_t{-1}, INT64_MAX))
      ->capture_default_str();
  AddDuration(app, "--checkpoint-every", &command->checkpoint_every, /*allow_zero=*/false,
              "so much work is done again after a kill, at most");
  AddEncoding(app, &command->encode);
}

void AddBench(CLI::App* app, BenchCommand* command) {
  app->add_option("--profile", command->profile, "lengths of texts: chat | rag | contracts | books")
      ->check(CLI::IsMember({"chat", "rag", "contracts", "books"}))
      ->capture_default_str();
  app->add_option("--lengths", command->lengths,
                  "instead: [SHARE%:]MEDIAN[~SIGMA][/MIN-MAX], ... in tokens, for example "
                  "95%:74~0.8/8-250,5%:32768")
      ->excludes("--profile");
  app->add_option("--rate", command->rate, "requests a second, at Poisson times")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--load", command->load,
                  "instead: this multiple of the capacity, which is measured first")
      ->check(CLI::PositiveNumber)
      ->excludes("--rate");
  app->add_option(
         "--capacity-seconds", command->capacity_seconds,
         "seconds for which --load sends texts to measure the capacity, before it awaits their "
         "answers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--concurrency", command->concurrency,
                  "instead: closed loop of so many callers, each waiting for its answer")
      ->check(CLI::Range(1, 4096))
      ->excludes("--rate")
      ->excludes("--load");
  app->add_option("--connections", command->connections, "connections that share the requests")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app->add_option("--seconds", command->seconds, "how long is measured, in seconds")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--warmup", command->warmup_seconds,
                  "seconds of load before that, which are not measured")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app->add_option("--request-deadline", command->request_deadline_seconds,
                  "seconds from sending until an answer is too late and counts as an error")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--seed", command->seed, "of arrival times, lengths and words")
      ->capture_default_str();
}

// Whether the command names one text, and no folder.
bool IsOneText(const EncodeCommand& command) {
  std::error_code error;
  return command.files.size() == 1 &&
         (command.files.front() == "-" ||
          !std::filesystem::is_directory(command.files.front(), error));
}

// `encode FILE --query` as a search: five passages of one file.
SearchCommand SearchOf(const EncodeCommand& command) {
  return {.query = command.query,
          .files = command.files,
          .spans = 5,
          .truncation = command.truncation,
          .max_tokens = command.max_tokens,
          .prompt_name = command.prompt_name};
}

// What is wrong with the output that is asked for; empty = nothing is.
std::string CheckOutput(const EncodeCommand& command, bool one_text) {
  if (command.format == "npy" && command.out.empty())
    return "--format npy needs --out FILE, as in --out vectors.npy";
  if (command.format != "npy" && !command.out.empty())
    return "--out goes with --format npy; other formats are written to standard output";
  if (!one_text && (command.summary || !command.query.empty() || command.format == "json"))
    return "--summary, --query and --format json take one FILE, no folder";
  const bool other = !command.format.empty() && command.format != "json";
  if (other && (command.summary || !command.query.empty()))
    return "--summary and --query have a form of their own; leave out --format";
  return "";
}

}  // namespace

int RunEncode(const CommonOptions& common, const EncodeCommand& command, bool plain) {
  const bool one = IsOneText(command);
  if (const std::string wrong = CheckOutput(command, one); !wrong.empty()) return FailUsage(wrong);
  if (!one || (command.format != "json" && !command.format.empty()))
    return EncodeFiles(common, command);
  if (!command.query.empty() && command.spans.empty())
    return RunSearch(common, SearchOf(command), plain);
  const std::string& file = command.files.front();
  const auto text = ReadTextFile(file);
  if (!text.ok()) return Fail(kBadFile, text.status());
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const absl::Time start = SteadyNow();
  const auto response =
      (*client)->Encode(BuildRequest(command, IdOfPath(file), *text), common.deadline);
  if (!response.ok()) return FailCall(response.status());
  const absl::Duration wall = SteadyNow() - start;
  if (!command.query.empty())
    return PrintRanking(client->get(), common, command, *text, response->encodings(0));
  if (command.summary) {
    std::printf("%s", SummaryText(*text, *response, wall).c_str());
  } else {
    std::printf("%s\n", JsonLine(*response).c_str());
  }
  return 0;
}

int RunInfo(const CommonOptions& common, bool json) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const auto info = (*client)->GetModelInfo(common.deadline);
  if (!info.ok()) return FailCall(info.status());
  if (json) {
    std::printf("%s\n", JsonLine(*info).c_str());
  } else {
    std::printf("%s", InfoText(*info).c_str());
  }
  return 0;
}

int RunHealth(const CommonOptions& common, const std::string& service, absl::Duration wait) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const absl::Time until = SteadyNow() + wait;
  while (true) {
    // A server that is well answers at once, so a question gets 10 s at most. Nor may it take
    // longer than the rest of the wait, or --wait 1 would hang on a host that swallows packets. The
    // last question gets 100 ms even where less of the wait is left.
    absl::Duration deadline = std::min(common.deadline, absl::Seconds(10));
    if (wait > absl::ZeroDuration())
      deadline = std::min(deadline, std::max(until - SteadyNow(), absl::Milliseconds(100)));
    const auto health = (*client)->Health(service, deadline);
    const bool serving = health.ok() && *health == "SERVING";
    const bool may_change = health.ok() || absl::IsUnavailable(health.status()) ||
                            absl::IsDeadlineExceeded(health.status());
    if (!serving && may_change && SteadyNow() < until) {
      // Five questions a second. While there is no server, AwaitConnection is the pause; it returns
      // early when the server appears, and then a short sleep keeps a server that accepts the
      // connection but does not answer from being asked without a pause.
      constexpr absl::Duration kPause = absl::Milliseconds(200);
      if (!absl::IsUnavailable(health.status()) || (*client)->AwaitConnection(kPause))
        absl::SleepFor(kPause);
      continue;
    }
    if (!health.ok()) return FailCall(health.status());
    std::printf("%s\n", health->c_str());
    return serving ? kDone : kNoAnswer;
  }
}

namespace {

int PrintBench(const CommonOptions& common, const BenchCommand& command) {
  const auto report = RunBench(common, command);
  if (!report.ok()) return FailCall(report.status());
  std::printf("%s\n", report->c_str());
  return kDone;
}

}  // namespace

int RunCommandLine(int argc, char** argv, const Environment& environment,
                   const std::vector<std::string>& variables) {
  const auto value_of = [&](const std::string& name) { return environment(name).value_or(""); };
  CLI::App app{"longspan: long text into vectors", "longspan"};
  app.set_version_flag("--version", std::string("longspan " LONGSPAN_VERSION));
  app.footer(kExitCodes);
  app.require_subcommand(1);
  app.fallthrough();  // --server and the like may stand before or behind the command
  CommonOptions common;
  for (const std::string& server :
       {ServerOfListen(value_of("LONGSPAN_LISTEN")), value_of("LONGSPAN_SERVER")}) {
    if (!server.empty()) common.client.server = server;
  }
  common.client.key = value_of("LONGSPAN_KEY");
  common.client.ca_file = value_of("LONGSPAN_CA");
  std::vector<std::string> servers = {common.client.server};
  app.add_option("--server", servers,
                 "HOST:PORT or unix:PATH; bulk shares its records among several, each with a "
                 "--server of its own [LONGSPAN_SERVER]")
      ->allow_extra_args(false)
      ->capture_default_str();
  const CLI::Option* const deadline = AddDuration(
      &app, "--deadline", &common.deadline, /*allow_zero=*/false,
      "what a call may take, all attempts together (health: at most 10s; bench: only for "
      "connecting; bulk: 1h); a server that was never reached is tried for 10s at most");
  app.add_option(
      "--ca", common.client.ca_file,
      "PEM file with the authority of the server's certificate; without it no TLS is used "
      "[LONGSPAN_CA]");
  EncodeCommand encode;
  std::string service;
  absl::Duration wait;
  CLI::App* encode_app = app.add_subcommand("encode", "encode texts and print the answers");
  AddEncode(encode_app, &encode);
  SearchCommand search;
  CLI::App* search_app = app.add_subcommand(
      "search", "the files or kept documents, and the places in them, that answer a question best");
  AddSearch(search_app, &search);
  CollectionCommands collections;
  AddCollectionCommands(&app, &collections);
  CLI::App* info_app = app.add_subcommand("info", "print the model and the limits in force");
  std::string info_format = "text";
  info_app->add_option("--format", info_format, "text: for people | json: for scripts")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  CLI::App* health_app = app.add_subcommand("health", "print SERVING or NOT_SERVING");
  health_app->add_option("--service", service, "name to ask for; default: the whole server");
  AddDuration(health_app, "--wait", &wait, /*allow_zero=*/true,
              "ask again until SERVING, for at most so long; default: ask once");
  BenchCommand bench;
  CLI::App* bench_app = app.add_subcommand(
      "bench",
      "load a server and print JSON: goodput, percentiles by length class, errors by code");
  AddBench(bench_app, &bench);
  BulkCommand bulk;
  CLI::App* bulk_app = app.add_subcommand(
      "bulk", "encode the records of JSONL files into a folder of matrices; goes on after a stop");
  AddBulk(bulk_app, &bulk);
  MergeCommand merge;
  CLI::App* merge_app =
      app.add_subcommand("merge", "make one folder of those that bulk wrote with --shard");
  merge_app
      ->add_option("SHARD", merge.shards, "the folders of all shards, or a folder that holds them")
      ->required();
  merge_app->add_option("--out", merge.out, "the folder to make")->required();
  CLI11_PARSE(app, argc, argv);
  if (const absl::Status status = CheckVariableNames(variables); !status.ok())
    return Fail(kWrongUsage, status);
  if (merge_app->parsed()) return RunMerge(merge);
  // Not a check of the option, which would not see what the environment gives.
  for (const std::string& server : servers)
    if (const absl::Status status = CheckServerName(server); !status.ok())
      return Fail(kWrongUsage, status);
  if (servers.size() > 1 && !bulk_app->parsed())
    return FailUsage("only bulk takes more than one --server");
  common.client.server = servers.front();
  common.client.proxy = ProxyOf(common.client.server, environment);
  const bool plain = !value_of("NO_COLOR").empty();
  if (encode_app->parsed()) return RunEncode(common, encode, plain);
  if (search_app->parsed()) return RunSearch(common, search, plain);
  if (const auto code = RunCollectionCommand(common, collections)) return *code;
  if (bulk_app->parsed()) {
    if (deadline->empty()) common.deadline = kBulkDeadline;
    return RunBulk(common, servers, bulk);
  }
  if (info_app->parsed()) return RunInfo(common, info_format == "json");
  if (bench_app->parsed()) return PrintBench(common, bench);
  return RunHealth(common, service, wait);
}

}  // namespace longspan
