#include "server/served_model.h"

#include <algorithm>
#include <utility>

#include "core/checkpoint/model_folder.h"
#include "core/cost_model.h"
#include "core/encoder.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/memory.h"

namespace longspan {
namespace {

// Threads of a server that neither compute nor tokenise: those of gRPC, HTTP, the log and the
// watchdog. There were 14 of them when a server of two computing threads had started.
constexpr int64_t kOtherThreads = 16;

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& folder) {
  auto tokenizer = Tokenizer::Load(folder);
  if (absl::IsNotFound(tokenizer.status())) return std::unique_ptr<Tokenizer>();
  return tokenizer;
}

// What a team can have at most, and why that is less than the settings would take; an empty cause =
// it is not less, or the settings say how many.
struct TeamLimit {
  int threads = 0;
  std::string cause;
};

// Fills in replicas and threads where they are 0. RESOURCE_EXHAUSTED: so many threads cannot be
// started beside one another; the message names the limit.
absl::StatusOr<TeamLimit> DivideCores(ServerOptions* options) {
  const int64_t cores = AvailableCores();
  if (options->replicas == 0)
    options->replicas = std::max<int64_t>(1, options->threads == 0 ? 1 : cores / options->threads);
  const int64_t wanted =
      options->threads > 0 ? options->threads : std::max<int64_t>(1, cores / options->replicas);
  const int64_t computing = std::max(options->replicas * wanted, cores);
  if (absl::Status status = CheckThreadsStart(
          static_cast<int>(computing + options->tokenizer_threads + kOtherThreads));
      !status.ok())
    return status;
  TeamLimit limit;
  limit.threads = SetComputeThreads(static_cast<int>(wanted));
  if (options->threads > 0) return limit;
  options->threads = limit.threads;
  limit.cause = ThreadLimitCause();
  return limit;
}

}  // namespace

absl::StatusOr<ServedModel> LoadServedModel(ServerOptions* options) {
  const auto folder = ModelFolder::Open(options->model);
  if (!folder.ok()) return folder.status();
  auto tokenizer = LoadTokenizer(options->model);
  if (!tokenizer.ok()) return tokenizer.status();
  const bool measure = options->replicas == 0 && options->threads == 0 && AvailableCores() > 1;
  const auto limit = DivideCores(options);
  if (!limit.ok()) return limit.status();
  // A tenth of the cgroup's limit is left for what is not a tensor: texts, answers, gRPC's buffers.
  const int64_t budget = options->memory_budget > 0 ? options->memory_budget
                                                    : CgroupMemoryLimit().value_or(0) / 10 * 9;
  SetMemoryBudget(budget);
  const auto dtype = ResolveDataType(options->dtype, *folder);
  if (!dtype.ok()) return dtype.status();
  auto loaded =
      Encoder::Load(*folder, {.dtype = *dtype, .num_threads = static_cast<int>(options->threads)});
  if (!loaded.ok()) return loaded.status();
  const std::shared_ptr<Encoder> encoder = *std::move(loaded);

  ServedModel model;
  model.thread_limit = limit->cause;
  if (measure) {
    auto speeds = MeasureTeams(*encoder, TeamCandidates(AvailableCores(), limit->threads));
    if (!speeds.ok()) return speeds.status();
    const ComputeTeams teams = ChooseTeams(*speeds);
    options->replicas = teams.replicas;
    options->threads = teams.threads;
    SetComputeThreads(teams.threads);
    model.team_speeds = *std::move(speeds);
  }
  model.info = encoder->info();
  model.tokenizer = *std::move(tokenizer);
  model.encode = [encoder](const TokenBatch& batch, std::span<const EncodeOptions> wanted,
                           const EncodeControl& control) {
    return encoder->Encode(batch, wanted, control);
  };
  model.cost.text_seconds = [encoder](int64_t tokens) {
    return encoder->cost_model().TextSeconds(tokens);
  };
  model.cost.batch_seconds = [encoder](std::span<const int64_t> lengths) {
    return encoder->cost_model().BatchSeconds(lengths);
  };
  model.validate = [encoder](const TokenBatch::Text& text, const EncodeOptions& wanted) {
    return encoder->Validate(text, wanted);
  };
  model.warm_up = [encoder, largest = options->max_batch_tokens] {
    return encoder->WarmUp(largest);
  };
  return model;
}

}  // namespace longspan
