// Compute teams: how the cores are divided among the replicas of a server, each a thread that runs
// forward passes with a team of its own. One replica with all cores answers a lone text soonest;
// one replica a core has no barriers and moves more texts where many wait. Which is worth it
// depends on the model, the cores and their neighbours, so it is measured.
//
// Free functions; MeasureTeams must run while nothing else computes.
#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/encoder.h"

namespace longspan {

struct ComputeTeams {
  int replicas = 1;  // forward passes at once
  int threads = 1;   // of each
  bool operator==(const ComputeTeams&) const = default;
};

struct TeamSpeed {
  ComputeTeams teams;
  double tokens_per_second = 0;  // of all replicas together
};

// The divisions of the cores that are tried: 1, 2, 4, ... replicas as far as they divide them, and
// one a core.
std::vector<ComputeTeams> TeamCandidates(int cores);

// Runs passes of one text in every replica at once, of a length that takes about a tenth of a
// second, some tenths for each candidate, in turn A B A B; the best of its turns counts. Leaves
// SetComputeThreads at the last candidate's. An error is a pass's.
absl::StatusOr<std::vector<TeamSpeed>> MeasureTeams(const Encoder& encoder,
                                                    std::span<const ComputeTeams> candidates);

// The fewest replicas that move at least 1 / 1.25 of what the fastest division moves: a team that
// is nearly as fast wins, since it answers a lone text in a fraction of the time. `speeds` is not
// empty.
ComputeTeams ChooseTeams(std::span<const TeamSpeed> speeds);

}  // namespace longspan
