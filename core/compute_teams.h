// Compute teams: how the cores are divided among the replicas of a server. A replica is a thread
// that runs forward passes with a team of its own.
//
// One pass with all cores answers a lone text soonest. One pass for each core has no barriers and
// moves more texts where many wait, as long as the caches hold what so many passes read. How far to
// divide the cores depends on the model and the processor, so it is measured.
//
// Free functions. MeasureTeams must run while nothing else computes. Proven by compute_teams_test.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/encoder.h"

namespace longspan {

struct ComputeTeams {
  int replicas = 1;  // forward passes at once
  int threads = 1;   // of each replica
  bool operator==(const ComputeTeams&) const = default;
};

struct TeamSpeed {
  ComputeTeams teams;
  double tokens_per_second = 0;  // of all replicas together
};

// The divisions of the cores that are tried: 1, 2, 4, 8 replicas, as far as they divide the cores
// evenly, and one replica for each core where there are at most 8 cores or nothing else is left;
// without those whose teams are larger than `most_threads`. Each replica keeps as many threads as
// there are cores, for the texts that it gets all of them for: hence no more than 8.
std::vector<ComputeTeams> TeamCandidates(int cores,
                                         int most_threads = std::numeric_limits<int>::max());

// Measures the candidates in turn, A B A B; the best turn of each counts. In a turn, all replicas
// run passes of one text at once for some tenths of a second. The text has a length for which a
// pass takes about a tenth of a second. Leaves SetComputeThreads at the last candidate's threads.
// An error is that of a pass.
absl::StatusOr<std::vector<TeamSpeed>> MeasureTeams(const Encoder& encoder,
                                                    std::span<const ComputeTeams> candidates);

// The division with the most replicas that moves at least 1 / 1.05 of what the fastest one moves.
// Nothing else ran while they were measured; in a server, tokenizers and calls take cores away for
// moments, and each time a team waits for its slowest thread. A lone text loses nothing by it,
// since the server gives it all cores. `speeds` is not empty.
ComputeTeams ChooseTeams(std::span<const TeamSpeed> speeds);

}  // namespace longspan
