// The exit codes of the program `longspan` (client/commands.h), and the line on stderr that comes
// with them.
#pragma once

#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "client/summary.h"

namespace longspan {

enum ExitCode {
  kDone = 0,
  kServerError = 1,
  kNoAnswer = 2,
  kBadFile = 3,
  kRefused = 4,
  kWrongUsage = 105,  // CLI11's ValidationError
};

// Prints the code and the message as one line on stderr, also where the message has several lines.
inline int Fail(ExitCode code, const absl::Status& status) {
  std::fprintf(stderr, "longspan: %s: %s\n", absl::StatusCodeToString(status.code()).c_str(),
               JoinLines(std::string(status.message()), std::string::npos).c_str());
  return code;
}

// Fail for options that do not go together.
inline int FailUsage(const std::string& wrong) {
  return Fail(kWrongUsage, absl::InvalidArgumentError(wrong));
}

// Fail for a call that ended with an error: the exit code says whether there was an answer at all.
inline int FailCall(const absl::Status& status) {
  const bool no_answer = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  return Fail(no_answer ? kNoAnswer : kServerError, status);
}

}  // namespace longspan
