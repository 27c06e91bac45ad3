// The commands of `longspan`: each reads its options, makes its calls, prints, and gives the exit code.
//   0 done   1 the server refused or failed (the line on stderr says what)   2 bad usage or unreadable input
//   3 no server, or not ready (UNAVAILABLE, NOT_SERVING)                     4 deadline passed   5 overloaded
//   (RESOURCE_EXHAUSTED)
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"

namespace longspan {

struct CommonOptions {
  ClientOptions client;
  double deadline_seconds = 120;
};

struct EncodeCommand {
  std::string file = "-";  // - = standard input
  bool summary = false;    // for people instead of JSON
  std::string spans;       // "", sentences, paragraphs
  std::string truncation = "reject";
  std::string pooling;
  std::string prompt_name;
  std::string query;  // rank spans by similarity with this text
  int dimensions = 0;
};

int RunEncode(const CommonOptions& common, const EncodeCommand& command);
int RunInfo(const CommonOptions& common);
// Asks once, or until SERVING for at most wait_seconds.
int RunHealth(const CommonOptions& common, const std::string& service, double wait_seconds);

int ExitCode(const absl::Status& status);
// Prints one line on stderr and gives the exit code.
int Report(const absl::Status& status);

// Parses the command line and runs; what main() returns. `environment_server` is LONGSPAN_SERVER or empty.
int RunCommandLine(int argc, char** argv, const std::string& environment_server, const std::string& environment_key);

}  // namespace longspan
