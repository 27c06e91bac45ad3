#include "server/start/served_model.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/open_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/checkpoint/model_name.h"
#include "core/cost_model.h"
#include "core/encoder.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/memory.h"
#include "core/runtime/process_checks.h"
#include "server/start/model_fingerprint.h"
#include "server/start/model_memory.h"

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

absl::Status WarmUp(Encoder& encoder, const std::string& folder, int64_t max_batch_tokens) {
  absl::Status status = OfFolder(folder, encoder.WarmUp(max_batch_tokens));
  if (!absl::IsResourceExhausted(status) || !encoder.on_backend()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; max-batch-tokens is ", max_batch_tokens,
                                   ", give fewer or more room on ", encoder.info().device));
}

// Settles options.max_collection_bytes.
void SetCollectionBytes(ServerOptions* options) {
  constexpr int64_t kUsual = int64_t{256} << 20;
  constexpr int64_t kShare = 16;
  if (options->max_collection_bytes > 0) return;
  const std::optional<int64_t> limit = CgroupMemoryLimit();
  options->max_collection_bytes = limit.has_value() ? std::min(kUsual, *limit / kShare) : kUsual;
}

// What the collections may take of memory.
int64_t CollectionMemory(const ServerOptions& options) {
  return options.collections && options.collections_directory.empty() ? options.max_collection_bytes
                                                                      : 0;
}

// Bytes that tensors may take; 0 = no bound.
absl::StatusOr<int64_t> MemoryBudget(const ServerOptions& options) {
  if (options.memory_budget > 0) return options.memory_budget;
  const std::optional<int64_t> limit = CgroupMemoryLimit();
  if (!limit.has_value()) return 0;
  const int64_t used = ResidentPrivateBytes() + CollectionMemory(options);
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

// Passes of a card that are under way at once: one that it computes, and the next one on its queue.
constexpr int64_t kPassesOfACard = 2;

// Fills in replicas and threads where they are 0. The threads of a card's replicas only hand over
// work, and leave the cores to tokenizers and calls.
TeamLimit DivideCores(ServerOptions* options, int cards) {
  if (cards > 0) {
    if (options->replicas == 0) options->replicas = kPassesOfACard * cards;
    options->replicas = std::max<int64_t>(cards, options->replicas);
    options->threads = std::max<int64_t>(1, options->threads);
  }
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

using Backends = std::vector<std::shared_ptr<const Backend>>;
using Encoders = std::vector<std::shared_ptr<Encoder>>;

// The model on each of the backends.
absl::StatusOr<Encoders> LoadEncoders(const ModelFolder& folder, const ServerOptions& options,
                                      const Backends& backends) {
  const auto dtype = ResolveDataType(options.dtype, folder, backends.front().get());
  if (!dtype.ok()) return dtype.status();
  Encoders encoders;
  for (const std::shared_ptr<const Backend>& backend : backends) {
    auto encoder = Encoder::Load(
        folder,
        {.dtype = *dtype, .num_threads = static_cast<int>(options.threads), .backend = backend});
    if (!encoder.ok()) return encoder.status();
    encoders.push_back(*std::move(encoder));
  }
  return encoders;
}

// Divides the cores by a measurement.
absl::Status MeasureDivision(const Encoder& encoder, int most_threads, ServerOptions* options,
                             ServedModel* model) {
  auto speeds = MeasureTeams(encoder, TeamCandidates(AvailableCores(), most_threads));
  if (!speeds.ok()) return speeds.status();
  const ComputeTeams teams = ChooseTeams(*speeds);
  options->replicas = teams.replicas;
  options->threads = teams.threads;
  // What a lone text has. Each replica then keeps a team of that size.
  const int all = teams.replicas * teams.threads;
  const int64_t started = teams.replicas * all + options->tokenizer_threads + kOtherThreads;
  model->teams_follow_load =
      most_threads >= all && CheckThreadsStart(static_cast<int>(started)).ok();
  SetComputeThreads(model->teams_follow_load ? all : teams.threads);
  model->team_speeds = *std::move(speeds);
  return absl::OkStatus();
}

// The memory of all cards together.
DeviceMemory MemoryOf(const Encoders& encoders) {
  DeviceMemory sum;
  for (const std::shared_ptr<Encoder>& encoder : encoders) {
    const DeviceMemory memory = encoder->device_memory();
    sum.total_bytes += memory.total_bytes;
    sum.free_bytes += memory.free_bytes;
  }
  return sum;
}

RecordingCounts RecordingsOf(const Encoders& encoders) {
  RecordingCounts sum;
  for (const std::shared_ptr<Encoder>& encoder : encoders) {
    const RecordingCounts counts = encoder->recordings();
    sum.recorded += counts.recorded;
    sum.refused += counts.refused;
    sum.repeated += counts.repeated;
  }
  return sum;
}

// Predictions and checks are those of the first encoder: the cards of a server are alike.
void SetFunctions(const Encoders& encoders, const std::string& folder, int64_t max_batch_tokens,
                  ServedModel* model) {
  const std::shared_ptr<Encoder>& first = encoders.front();
  for (const std::shared_ptr<Encoder>& encoder : encoders) {
    model->encoders.push_back([encoder](const TokenBatch& batch,
                                        std::span<const EncodeOptions> wanted,
                                        const EncodeControl& control) {
      return encoder->Encode(batch, wanted, control);
    });
  }
  if (model->on_card) {
    model->device_memory = [encoders] { return MemoryOf(encoders); };
    model->recordings = [encoders] { return RecordingsOf(encoders); };
  }
  model->cost.text_seconds = [first](const TextShape& text) {
    return first->cost_model().TextSeconds(text);
  };
  model->cost.batch_seconds = [first](std::span<const TextShape> texts) {
    return first->cost_model().BatchSeconds(texts);
  };
  model->validate = [first](const TokenBatch::Text& text, const EncodeOptions& wanted) {
    return first->Validate(text, wanted);
  };
  model->warm_up = [encoders, folder, max_batch_tokens] {
    for (const std::shared_ptr<Encoder>& encoder : encoders) {
      if (absl::Status status = WarmUp(*encoder, folder, max_batch_tokens); !status.ok())
        return status;
    }
    return absl::OkStatus();
  };
}

absl::StatusOr<ServedModel> LoadOn(const Backends& backends, ServerOptions* options) {
  const auto folder = ModelFolder::Open(options->model);
  if (!folder.ok()) return folder.status();
  auto tokenizer = LoadTokenizer(options->model);
  if (!tokenizer.ok()) return tokenizer.status();
  ServedModel model;
  model.on_card = backends.front() != nullptr;
  const bool measure =
      !model.on_card && options->replicas == 0 && options->threads == 0 && AvailableCores() > 1;
  const int cards = model.on_card ? static_cast<int>(backends.size()) : 0;
  const TeamLimit limit = DivideCores(options, cards);
  model.thread_limit = limit.cause;
  SetCollectionBytes(options);
  const auto budget = MemoryBudget(*options);
  if (!budget.ok()) return budget.status();
  model.tensor_bytes = *budget;
  SetMemoryBudget(*budget);
  const auto encoders = LoadEncoders(*folder, *options, backends);
  if (!encoders.ok()) return encoders.status();
  const Encoder& encoder = *encoders->front();
  model.info = encoder.info();
  if (!options->model_name.empty()) model.info.name = PrintableName(options->model_name);
  if (cards > 1) model.info.device = options->device;
  absl::Status status = CheckTokenTypes(tokenizer->get(), encoder.info(), folder->path());
  if (status.ok() && measure)
    status = OfFolder(folder->path(), MeasureDivision(encoder, limit.threads, options, &model));
  if (!status.ok()) return status;
  BoundByMemory(*encoders, options, &model);
  model.tokenizer = *std::move(tokenizer);
  if (model.tokenizer != nullptr && model.tokenizer->cut_rules().Any())
    options->max_uncut_bytes = static_cast<int64_t>(ChunkSizes().longest_uncut);
  SetFunctions(*encoders, folder->path(), options->max_batch_tokens, &model);
  model.warnings = folder->warnings();
  if (options->collections && !options->collections_directory.empty()) {
    auto fingerprint = ModelFingerprint(folder->path());
    if (!fingerprint.ok()) return fingerprint.status();
    model.fingerprint = *std::move(fingerprint);
  }
  return model;
}

}  // namespace

absl::StatusOr<ServedModel> LoadServedModel(ServerOptions* options) {
  const auto devices = SplitDevices(options->device);
  if (!devices.ok()) return devices.status();
  Backends backends;
  std::string why_cpu;
  for (const std::string& device : *devices) {
    auto backend = OpenBackend(device, {}, &why_cpu);
    if (!backend.ok()) return backend.status();
    backends.push_back(*std::move(backend));
  }
  absl::StatusOr<ServedModel> model = LoadOn(backends, options);
  if (model.ok()) model->why_cpu = std::move(why_cpu);
  return model;
}

}  // namespace longspan
