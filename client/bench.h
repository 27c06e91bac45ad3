// `longspan bench`: open-loop load. Requests leave at Poisson times whether or not the answers of earlier ones are there, so a
// slow server meets a growing queue as it would in life (a closed loop would wait politely and hide it). Lengths come from a
// profile:
//   chat 8..500 tokens   rag passages, one in twenty a whole page   contracts around 6,000   books around 40,000
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "client/commands.h"

namespace longspan {

struct BenchCommand {
  std::string profile = "rag";           // chat | rag | contracts | books
  double rate = 10;                      // requests a second offered
  double seconds = 10;                   // how long requests are sent
  double request_deadline_seconds = 10;  // an answer after this is an error
  uint64_t seed = 1;
};

// One JSON object: goodput, tokens/s, errors by code, p50/p95/p99 by length class. Progress goes to stderr. An error is one of
// connecting; what single requests meet is in the report.
absl::StatusOr<std::string> RunBench(const CommonOptions& common, const BenchCommand& command);

// Number of tokens of the next request of a profile, at least 1, at most max_tokens (0 = no bound).
int64_t DrawLength(const std::string& profile, int64_t max_tokens, std::mt19937_64* random);

}  // namespace longspan
