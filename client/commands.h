// The commands of `longspan`: each reads its options, makes its calls, prints, and gives the exit
// code.
//   0 done
//   1 the server answered with an error: its code and message are one line on stderr
//   2 the server cannot be reached, is not SERVING, or the deadline passed
//   3 the input (or CA) file cannot be read, or the text is not UTF-8
//   100 and above: wrong usage, as CLI11 numbers it
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/client.h"

namespace longspan {

struct CommonOptions {
  ClientOptions client;
  absl::Duration deadline = absl::Seconds(120);  // of one call, all its attempts together
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
// Asks once, or until SERVING for at most `wait`.
int RunHealth(const CommonOptions& common, const std::string& service, absl::Duration wait);

// Parses the command line and runs; what main() returns. `environment_server` is LONGSPAN_SERVER or
// empty, `environment_key` LONGSPAN_KEY.
int RunCommandLine(int argc, char** argv, const std::string& environment_server,
                   const std::string& environment_key);

}  // namespace longspan
