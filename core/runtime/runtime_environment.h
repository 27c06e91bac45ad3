// Settings that libgomp and oneDNN read from the environment only, and only before main: the mains
// call this first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace longspan {

// Adds to the environment what is not set there, and takes out what would make vectors wrong, crash
// the process or bind all of its threads to a core of one (SettingUse::kRemoved in
// core/runtime/library_settings.h). If anything was changed, it starts this program again in place
// (same process id, same arguments), so that the libraries see it. Returns on the second start, or
// if the second start fails.
//
//   OMP_WAIT_POLICY=passive              A compute thread spins for some microseconds at a barrier,
//   GOMP_SPINCOUNT=2000                  then it sleeps. That is long enough to pass from one layer
//                                        to the next and takes no processor time from RPC threads.
//                                        With threads that spin on, a busy machine ran 3 times
//                                        slower; with threads that sleep at once, a lone text of 16
//                                        tokens ran 1.7 times slower.
//   ONEDNN_PRIMITIVE_CACHE_CAPACITY=256  Bounds how many products are kept set up, each with half a
//                                        MiB: each number of rows that is seen adds some. Where the
//                                        memory is limited, fewer (KeptProducts).
void EnterRuntimeEnvironment(char** argv);

// How many products oneDNN keeps set up, where the container may have `memory_limit` bytes: at most
// 256, at least 32, and between them as many as take a 32nd of the limit.
int64_t KeptProducts(std::optional<int64_t> memory_limit);
inline constexpr int64_t kKeptProductBytes = int64_t{512} << 10;

// The variables that the first start of this program took out, as NAME=VALUE; for the log.
std::vector<std::string> RemovedSettings();

}  // namespace longspan
