#include "server/served_model.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/cost_model.h"
#include "core/encoder.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/memory.h"
#include "core/runtime/process_checks.h"
#include "server/batching/memory_bound.h"

namespace longspan {
namespace {

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& folder) {
  auto tokenizer = Tokenizer::Load(folder);
  if (absl::IsNotFound(tokenizer.status())) return std::unique_ptr<Tokenizer>();
  return tokenizer;
}

// Refuses token types that the tokenizer gives and the model has no vectors for.
absl::Status CheckTokenTypes(const Tokenizer* tokenizer, const ModelInfo& info,
                             const std::string& folder) {
  if (tokenizer == nullptr || info.num_token_types == 0) return absl::OkStatus();
  const int32_t largest = tokenizer->types().largest();
  if (largest < info.num_token_types) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      folder, ": the tokenizer's post_processor gives token type ", largest, "; allowed: 0 to ",
      info.num_token_types - 1, " (type_vocab_size of config.json)"));
}

// An error of a pass over the model, with the folder that it came from.
absl::Status OfFolder(const std::string& folder, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(folder, ": ", status.message()));
}

// Bytes that tensors may take; 0 = no bound.
absl::StatusOr<int64_t> MemoryBudget(const ServerOptions& options) {
  if (options.memory_budget > 0) return options.memory_budget;
  const std::optional<int64_t> limit = CgroupMemoryLimit();
  if (!limit.has_value()) return 0;
  const int64_t used = ResidentPrivateBytes();
  const int64_t budget = TensorBudget(*limit, used);
  if (budget > 0) return budget;
  return absl::FailedPreconditionError(
      absl::StrCat("the container may have ", *limit, " bytes of memory and ", used,
                   " are taken before the model is loaded; give it more"));
}

// What a team can have at most, and why that is less than the settings would take; an empty cause =
// it is not less, or the settings say how many.
struct TeamLimit {
  int threads = 0;
  std::string cause;
};

// Fills in replicas and threads where they are 0.
TeamLimit DivideCores(ServerOptions* options) {
  const int64_t cores = AvailableCores();
  if (options->replicas == 0)
    options->replicas = std::max<int64_t>(1, options->threads == 0 ? 1 : cores / options->threads);
  const int64_t wanted =
      options->threads > 0 ? options->threads : std::max<int64_t>(1, cores / options->replicas);
  TeamLimit limit;
  limit.threads = SetComputeThreads(static_cast<int>(wanted));
  if (options->threads > 0) return limit;
  options->threads = limit.threads;
  limit.cause = ThreadLimitCause();
  return limit;
}

// What a text takes beside the tensors of its pass, for each token: some 8 bytes of text, 41 of ids
// and offsets as the tokenizer gives them, and their copies in the pieces and in the batch.
constexpr int64_t kBesideTensors = 96;

// Finds how long a text may be by memory, once the weights are loaded and the cores divided.
void BoundByMemory(const std::shared_ptr<Encoder>& encoder, ServerOptions* options,
                   ServedModel* model) {
  model->piece_bytes = [encoder](const TextShape& text) {
    return encoder->cost_model().BatchBytes(std::span(&text, 1));
  };
  model->container_bytes = CgroupMemoryLimit().value_or(0);
  if (model->tensor_bytes == 0) return;
  // A long text has not all that is left to itself: passes of others run beside it, on other
  // replicas or inside it, and must fit too. Where half would not do for them, the text keeps half.
  const int64_t left = model->tensor_bytes - GetMemoryStats().live_bytes;
  const int64_t passes_beside = model->teams_follow_load ? 1 : options->replicas;
  const int64_t batch = model->piece_bytes(model->info.CutToLongest(options->max_batch_tokens));
  model->max_piece_bytes = std::max<int64_t>(1, std::max(left / 2, left - passes_beside * batch));
  MemoryRoom room{.tensor_bytes = model->max_piece_bytes};
  if (model->container_bytes > 0) {
    room.process_bytes = std::max<int64_t>(
        1, model->container_bytes - ResidentPrivateBytes() - (left - model->max_piece_bytes));
  }
  options->memory_max_tokens = LongestTextInMemory(
      {.pass_bytes = [&](int64_t num_tokens) { return model->piece_bytes(num_tokens); },
       // With EncodeTokens every token's vector is kept until it is sent.
       .bytes_per_token = kBesideTensors + 4 * model->info.token_dimensions},
      room);
}

}  // namespace

absl::StatusOr<ServedModel> LoadServedModel(ServerOptions* options) {
  const auto folder = ModelFolder::Open(options->model);
  if (!folder.ok()) return folder.status();
  auto tokenizer = LoadTokenizer(options->model);
  if (!tokenizer.ok()) return tokenizer.status();
  const bool measure = options->replicas == 0 && options->threads == 0 && AvailableCores() > 1;
  const TeamLimit limit = DivideCores(options);
  const auto budget = MemoryBudget(*options);
  if (!budget.ok()) return budget.status();
  SetMemoryBudget(*budget);
  const auto dtype = ResolveDataType(options->dtype, *folder);
  if (!dtype.ok()) return dtype.status();
  auto loaded =
      Encoder::Load(*folder, {.dtype = *dtype, .num_threads = static_cast<int>(options->threads)});
  if (!loaded.ok()) return loaded.status();
  const std::shared_ptr<Encoder> encoder = *std::move(loaded);
  if (absl::Status status = CheckTokenTypes(tokenizer->get(), encoder->info(), folder->path());
      !status.ok())
    return status;

  ServedModel model;
  model.thread_limit = limit.cause;
  if (measure) {
    auto speeds = MeasureTeams(*encoder, TeamCandidates(AvailableCores(), limit.threads));
    if (!speeds.ok()) return OfFolder(folder->path(), speeds.status());
    const ComputeTeams teams = ChooseTeams(*speeds);
    options->replicas = teams.replicas;
    options->threads = teams.threads;
    // What a lone text has. Each replica then keeps a team of that size.
    const int all = teams.replicas * teams.threads;
    const int64_t started = teams.replicas * all + options->tokenizer_threads + kOtherThreads;
    model.teams_follow_load =
        limit.threads >= all && CheckThreadsStart(static_cast<int>(started)).ok();
    SetComputeThreads(model.teams_follow_load ? all : teams.threads);
    model.team_speeds = *std::move(speeds);
  }
  model.info = encoder->info();
  model.tensor_bytes = *budget;
  BoundByMemory(encoder, options, &model);
  model.tokenizer = *std::move(tokenizer);
  if (model.tokenizer != nullptr && model.tokenizer->cut_rules().Any())
    options->max_uncut_bytes = static_cast<int64_t>(ChunkSizes().longest_uncut);
  model.encode = [encoder](const TokenBatch& batch, std::span<const EncodeOptions> wanted,
                           const EncodeControl& control) {
    return encoder->Encode(batch, wanted, control);
  };
  model.cost.text_seconds = [encoder](const TextShape& text) {
    return encoder->cost_model().TextSeconds(text);
  };
  model.cost.batch_seconds = [encoder](std::span<const TextShape> texts) {
    return encoder->cost_model().BatchSeconds(texts);
  };
  model.validate = [encoder](const TokenBatch::Text& text, const EncodeOptions& wanted) {
    return encoder->Validate(text, wanted);
  };
  model.warm_up = [encoder, path = folder->path(), largest = options->max_batch_tokens] {
    return OfFolder(path, encoder->WarmUp(largest));
  };
  model.warnings = folder->warnings();
  return model;
}

}  // namespace longspan
