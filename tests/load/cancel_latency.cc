// Measures how long after a cancel the cores are free again, and prints one JSON object.
//
//   cancel_latency MODEL_DIR [TOKENS] [ROUNDS]
//
// In each round a text of TOKENS tokens runs through scheduler, worker and encoder, and is
// cancelled at a random moment of its pass. Two times are taken from there: until the caller has
// its answer, and until the worker is idle. A pass stops between two layers, so either time is at
// most that of one layer, as a rule.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/cost_model.h"
#include "core/encoder.h"
#include "nlohmann/json.hpp"
#include "server/batching/batch_scheduler.h"
#include "server/engine/encoder_worker.h"

namespace longspan {
namespace {

class Bench {
 public:
  Bench(const Encoder& encoder, int64_t tokens)
      : encoder_(encoder),
        scheduler_({.max_batch_tokens = tokens},
                   {.text_seconds =
                        [&](const TextShape& n) { return encoder_.cost_model().TextSeconds(n); },
                    .batch_seconds =
                        [&](std::span<const TextShape> n) {
                          return encoder_.cost_model().BatchSeconds(n);
                        }},
                   &clock_),
        worker_(
            [&](const TokenBatch& batch, std::span<const EncodeOptions> options,
                const EncodeControl& control) { return encoder_.Encode(batch, options, control); },
            &scheduler_, nullptr, &clock_),
        tokens_(tokens) {}
  ~Bench() { scheduler_.Drain(); }

  // Seconds of a pass that nobody cancels.
  double WholePass() {
    const absl::Time start = absl::Now();
    Submitted whole = Submit();
    whole.answered->WaitForNotification();
    return absl::ToDoubleSeconds(absl::Now() - start);
  }
  // Cancels a pass `after` seconds after its text was submitted. Returns the seconds from the
  // cancel until the caller has its answer, and until the worker is idle.
  std::pair<double, double> Cancel(double after) {
    Submitted text = Submit();
    absl::SleepFor(absl::Seconds(after));
    const absl::Time cancel = absl::Now();
    text.cancel->Cancel();
    scheduler_.NotifyCancelled();
    text.answered->WaitForNotification();
    const absl::Time answered = absl::Now();
    while (worker_.heartbeat().busy) absl::SleepFor(absl::Microseconds(50));
    return {absl::ToDoubleSeconds(answered - cancel), absl::ToDoubleSeconds(absl::Now() - cancel)};
  }

 private:
  struct Submitted {
    std::shared_ptr<CancelFlag> cancel = std::make_shared<CancelFlag>();
    std::shared_ptr<absl::Notification> answered = std::make_shared<absl::Notification>();
  };
  Submitted Submit() {
    Submitted submitted;
    PreparedText prepared;
    TextPiece piece;
    for (int64_t i = 0; i < tokens_; ++i)
      piece.token_ids.push_back(static_cast<int32_t>(5 + i % (encoder_.info().vocab_size - 5)));
    piece.global_positions = ResolveGlobalPositions(encoder_.info(), std::nullopt, {}, tokens_);
    prepared.pieces.push_back(std::move(piece));
    prepared.document.push_back({0, -1, 1});
    EncodeTask::Params params{.arrival = clock_.Now(), .cancel = submitted.cancel};
    params.done = [answered = submitted.answered](const absl::StatusOr<EncodedDocument>&,
                                                  const StageTimings&) { answered->Notify(); };
    auto task = std::make_shared<EncodeTask>(std::move(params), &clock_);
    task->SetPrepared(std::move(prepared));
    scheduler_.Submit(std::move(task));
    return submitted;
  }

  const Encoder& encoder_;
  SteadyClock clock_;
  BatchScheduler scheduler_;
  EncoderWorker worker_;
  const int64_t tokens_;
};

// The share `share` (0 to 1) of the samples is below the result, in ms. Sorts the samples.
double At(std::vector<double>& seconds, double share) {
  std::sort(seconds.begin(), seconds.end());
  return 1000 * seconds[std::min(seconds.size() - 1,
                                 static_cast<size_t>(share * static_cast<double>(seconds.size())))];
}

int Main(const std::string& model_dir, int64_t tokens, int rounds) {
  const auto encoder = Encoder::Load(model_dir);
  if (!encoder.ok())
    return std::fprintf(stderr, "%s\n", std::string(encoder.status().message()).c_str()), 1;
  Bench bench(**encoder, tokens);
  bench.WholePass();  // the first pass maps the memory in and does not count
  const double whole = bench.WholePass();
  std::mt19937_64 random(1);
  std::vector<double> answered, freed;
  for (int round = 0; round < rounds; ++round) {
    const auto [to_answer, to_idle] =
        bench.Cancel(whole * std::uniform_real_distribution<double>(0.05, 0.85)(random));
    answered.push_back(to_answer);
    freed.push_back(to_idle);
  }
  const auto layers = static_cast<double>((*encoder)->info().layers.size());
  const nlohmann::ordered_json report = {
      {"tokens", tokens},
      {"pass_ms", 1000 * whole},
      {"layer_ms", 1000 * whole / layers},
      {"cancel_to_answer_ms", {{"p50", At(answered, 0.5)}, {"max", At(answered, 1)}}},
      {"cancel_to_idle_ms", {{"p50", At(freed, 0.5)}, {"max", At(freed, 1)}}}};
  std::printf("%s\n", report.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "cancel_latency MODEL_DIR [TOKENS] [ROUNDS]\n"), 2;
  return longspan::Main(argv[1], argc > 2 ? std::atoll(argv[2]) : 16'384,
                        argc > 3 ? std::atoi(argv[3]) : 20);
}
