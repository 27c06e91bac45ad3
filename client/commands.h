// The commands of the program `longspan`. Each reads its options, makes its calls, prints the
// result on stdout and returns the exit code of the program:
//
//   0     done
//   1     the server answered with an error, or `bench` cannot make the load that is asked for; of
//         many files the server refused one at least; of the records of `bulk` one at least has no
//         vector
//   2     the server cannot be reached, is not SERVING, or the deadline passed
//   3     an input file or the CA file cannot be read, or a text is not UTF-8; `bench` returns 1
//         for a CA file that cannot be read
//   4     the servers refuse what `bulk` asks for, or more records are rejected than it may reject
//   100+  wrong usage, with the numbers of CLI11; `bulk` returns 128 + N after signal N
//
// Codes 1 to 4 come with one line on stderr, or of many files one for each that failed, which has
// the status code and the message. The one exception is `health`, which prints the state of a
// server that is not SERVING on stdout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/server_name.h"

namespace longspan {

struct CommonOptions {
  ClientOptions client;
  absl::Duration deadline = absl::Seconds(120);  // of one call, with all its attempts
};

struct EncodeCommand {
  std::vector<std::string> files = {"-"};  // and folders; - = standard input
  std::vector<std::string> include;        // of folders: which names; empty = all
  std::string format;       // json | jsonl | table | npy; empty = json of one text, else jsonl
  std::string out;          // the file of npy
  bool summary = false;     // print a summary for people instead of JSON
  std::string spans;        // none | sentences | paragraphs | fixed:TOKENS[:OVERLAP]; empty = none
  int span_min_tokens = 0;  // shorter spans are merged; 0 = none
  int span_max_tokens = 0;  // longer spans are divided; 0 = none
  int64_t max_tokens = 0;   // longest text in tokens; 0 = the server's limit
  std::string truncation = "reject";
  std::string pooling;           // empty = the model's own
  std::string prompt_name;       // empty = the model's default
  std::string query;             // print what answers it best instead of JSON
  int dimensions = 0;            // values to keep of each vector; 0 = all
  bool lexical = false;          // lexical vectors too
  std::string lexical_language;  // of their stems; empty = english
};

// `plain`: the environment asks for no colour (NO_COLOR).
int RunEncode(const CommonOptions& common, const EncodeCommand& command, bool plain = false);
// `json`: for scripts; else for people.
int RunInfo(const CommonOptions& common, bool json);
// Asks once where `wait` is 0. Else it asks again until the answer is SERVING, for at most `wait`;
// an error that time cannot heal, such as an unknown service, ends it at once.
int RunHealth(const CommonOptions& common, const std::string& service, absl::Duration wait);

// Parses the command line, runs the command and returns the exit code. Of the environment it reads
// LONGSPAN_SERVER, LONGSPAN_KEY and LONGSPAN_CA; LONGSPAN_LISTEN, by which a server beside it, in
// the same container, may have been told where to listen; and the variables that name proxies. A
// name among `variables` ("NAME=VALUE") that is nearly one of the first four is wrong usage.
int RunCommandLine(int argc, char** argv, const Environment& environment,
                   const std::vector<std::string>& variables = {});

}  // namespace longspan
