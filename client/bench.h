// `longspan bench`: puts load on a server and reports how it was answered. There are two kinds of
// load:
//
//   open loop (default)
//     Requests leave at Poisson times, whether or not earlier ones are answered. A slow server
//     therefore meets a growing queue, as it does in production. The rate is given in requests a
//     second (--rate) or as a multiple of the server's capacity (--load 0.7). The capacity is
//     measured first: the tokens a second of a closed loop, until all of its texts are answered,
//     divided by the mean length of a text.
//   closed loop (--concurrency N)
//     N callers each send their next text when the last one is answered. This finds the capacity,
//     but it hides queues: a slow server is simply asked less often.
//
// Each request holds one text. Its length is drawn from a profile (chat, rag, contracts, books) or
// from --lengths (see length_mix.h). A latency counts from the moment when the request was due, and
// the report says how late the load generator itself was.
#pragma once

#include <cstdint>
#include <string>

#include "client/commands.h"

namespace longspan {

struct BenchCommand {
  std::string profile = "rag";   // chat | rag | contracts | books
  std::string lengths;           // a mix in the form of LengthMix::Parse; wins over `profile`
  double rate = 10;              // requests a second that an open loop sends
  double load = 0;               // rate as a multiple of the capacity; 0 = `rate` is used
  double capacity_seconds = 10;  // how long callers send to measure the capacity for `load`
  int concurrency = 0;           // number of callers of a closed loop; 0 = open loop
  // Connections that share the requests. A server bounds the calls that are open at once on each
  // connection (--max-concurrent-streams), and an open loop may have more than that under way.
  int connections = 8;
  double seconds = 10;                   // length of the measured window
  double warmup_seconds = 1;             // seconds of load before the window, which do not count
  double request_deadline_seconds = 10;  // a request without an answer by then is an error
  uint64_t seed = 1;                     // of arrival times, lengths and words
};

// Runs the load and returns the report, one JSON object: goodput, tokens/s, errors by code, p50,
// p95 and p99 by length class, refusals, stages, and the lateness of the generator. Where stderr is
// a terminal, a progress bar is drawn there. The status is an error where the server cannot be
// reached or the command is wrong; errors of single requests are counted in the report.
absl::StatusOr<std::string> RunBench(const CommonOptions& common, const BenchCommand& command);

}  // namespace longspan
