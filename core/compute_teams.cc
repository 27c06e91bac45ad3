#include "core/compute_teams.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <thread>

#include "core/runtime/compute_threads.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kPassSeconds = 0.1;  // what a pass should take, with all cores
// How long one turn of a candidate is measured; a pass that pays for set-up runs before that.
constexpr double kMeasuredSeconds = 0.2;
constexpr int kTurns = 2;               // of each candidate
constexpr double kNearlyAsFast = 1.05;  // the speeds of two divisions; the measurement is no better
constexpr int kMostReplicas = 8;

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

absl::Status EncodeOne(const Encoder& encoder, int64_t num_tokens) {
  std::vector<int32_t> ids(num_tokens);
  for (int64_t i = 0; i < num_tokens; ++i)
    ids[i] = static_cast<int32_t>((i * 7 + 3) % encoder.info().vocab_size);
  const std::vector<int32_t> globals =
      ResolveGlobalPositions(encoder.info(), std::nullopt, {}, num_tokens);
  TokenBatch batch;
  batch.Add({.token_ids = ids, .global_positions = globals});
  return encoder.Encode(batch, std::vector{PlainOptions(encoder.info())})[0].status();
}

// The length of a text that takes about kPassSeconds, scaled from the time of a short one.
absl::StatusOr<int64_t> ProbeLength(const Encoder& encoder) {
  constexpr int64_t kFirst = 64;
  constexpr int64_t kLongest = 2048;
  const int64_t limit = encoder.info().CutToLongest(kLongest);
  const int64_t first = std::min(kFirst, limit);
  double seconds = 0;
  for (int pass = 0; pass < 2; ++pass) {  // the first pass pays for set-up
    const Clock::time_point begin = Clock::now();
    if (absl::Status status = EncodeOne(encoder, first); !status.ok()) return status;
    seconds = Seconds(begin);
  }
  return std::clamp(static_cast<int64_t>(static_cast<double>(first) * kPassSeconds / seconds),
                    first, limit);
}

// The tokens per second of one turn: from the common start on, every replica runs passes until
// kMeasuredSeconds are over, at least one.
absl::StatusOr<double> Turn(const Encoder& encoder, const ComputeTeams& teams, int64_t num_tokens) {
  SetComputeThreads(teams.threads);
  std::barrier start(teams.replicas);
  std::vector<absl::StatusOr<double>> speeds(teams.replicas, 0.0);
  std::vector<std::thread> replicas;
  replicas.reserve(speeds.size());
  for (absl::StatusOr<double>& speed : speeds) {
    replicas.emplace_back([&] {
      absl::Status status = EncodeOne(encoder, num_tokens);
      start.arrive_and_wait();
      const Clock::time_point begin = Clock::now();
      int64_t tokens = 0;
      for (; status.ok() && (tokens == 0 || Seconds(begin) < kMeasuredSeconds);
           tokens += num_tokens) {
        status = EncodeOne(encoder, num_tokens);
      }
      speed = status.ok() ? absl::StatusOr<double>(static_cast<double>(tokens) / Seconds(begin))
                          : status;
    });
  }
  for (std::thread& replica : replicas) replica.join();
  double sum = 0;
  for (const absl::StatusOr<double>& speed : speeds) {
    if (!speed.ok()) return speed.status();
    sum += *speed;
  }
  return sum;
}

}  // namespace

std::vector<ComputeTeams> TeamCandidates(int cores, int most_threads) {
  std::vector<ComputeTeams> candidates;
  for (int replicas = 1; replicas < cores && replicas <= kMostReplicas; replicas *= 2) {
    if (cores % replicas == 0 && cores / replicas <= most_threads)
      candidates.push_back({replicas, cores / replicas});
  }
  if (cores <= kMostReplicas || candidates.empty()) candidates.push_back({cores, 1});
  return candidates;
}

absl::StatusOr<std::vector<TeamSpeed>> MeasureTeams(const Encoder& encoder,
                                                    std::span<const ComputeTeams> candidates) {
  const absl::StatusOr<int64_t> num_tokens = ProbeLength(encoder);
  if (!num_tokens.ok()) return num_tokens.status();
  std::vector<TeamSpeed> speeds;
  for (const ComputeTeams& teams : candidates) speeds.push_back({.teams = teams});
  for (int turn = 0; turn < kTurns; ++turn) {
    for (TeamSpeed& speed : speeds) {
      const absl::StatusOr<double> measured = Turn(encoder, speed.teams, *num_tokens);
      if (!measured.ok()) return measured.status();
      speed.tokens_per_second = std::max(speed.tokens_per_second, *measured);
    }
  }
  return speeds;
}

ComputeTeams ChooseTeams(std::span<const TeamSpeed> speeds) {
  double best = 0;
  for (const TeamSpeed& speed : speeds) best = std::max(best, speed.tokens_per_second);
  const TeamSpeed* chosen = &speeds.front();
  for (const TeamSpeed& speed : speeds) {
    const auto fast = [best](const TeamSpeed& any) {
      return any.tokens_per_second * kNearlyAsFast >= best;
    };
    if (fast(speed) && (!fast(*chosen) || speed.teams.replicas > chosen->teams.replicas))
      chosen = &speed;
  }
  return chosen->teams;
}

}  // namespace longspan
