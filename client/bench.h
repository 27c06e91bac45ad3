// `longspan bench`: load on a server, and what came of it. Two kinds:
//
//   open loop (default): requests leave at Poisson times whether or not the answers of earlier ones are there, so a slow server
//     meets a growing queue as it would in life. The rate is given (--rate), or as a multiple of the capacity (--load 0.7):
//     tokens a second of a closed loop, all of whose texts are answered, over the mean length of a text.
//   closed loop (--concurrency N): N callers, each sends its next text when it has its answer. Finds the capacity; hides queues.
//
// Lengths come from a profile (chat, rag, contracts, books) or from --lengths (length_mix.h). One
// text a request. The generator's own lateness is in the report, and latencies count from the time
// a request was due.
#pragma once

#include <cstdint>
#include <string>

#include "client/commands.h"

namespace longspan {

struct BenchCommand {
  std::string profile = "rag";   // chat | rag | contracts | books
  std::string lengths;           // instead of a profile
  double rate = 10;              // requests a second offered
  double load = 0;               // instead: this multiple of the capacity; 0 = rate counts
  double capacity_seconds = 10;  // how long callers send to measure the capacity for `load`
  int concurrency = 0;           // closed loop with so many callers; 0 = open loop
  int connections = 8;  // a server allows so many calls at once on each (--max-concurrent-streams)
  double seconds = 10;  // measured, after the warm-up
  double warmup_seconds = 1;             // load that is not counted
  double request_deadline_seconds = 10;  // an answer after this is an error
  uint64_t seed = 1;
};

// One JSON object: goodput, tokens/s, errors by code, p50/p95/p99 by length class, refusals,
// stages, lateness. A progress bar goes to stderr where that is a terminal. An error is one of
// connecting or of the command; what single requests meet is in the report.
absl::StatusOr<std::string> RunBench(const CommonOptions& common, const BenchCommand& command);

}  // namespace longspan
