// Encoder::Load and WarmUp: from a folder to an encoder that is ready, with complete model info and
// a calibrated cost model.
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <numeric>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/backend/backend.h"
#include "core/backend/open_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/checkpoint/model_name.h"
#include "core/cost_model.h"
#include "core/encoder.h"
#include "core/layers/linear.h"
#include "core/models/model.h"
#include "core/models/output_head.h"
#include "core/multi_vector.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/library_settings.h"
#include "core/runtime/memory.h"
#include "core/runtime/process_checks.h"
#include "core/weights/int8_weights.h"

namespace longspan {
namespace {

using WarmUpClock = std::chrono::steady_clock;

constexpr double kWarmUpSeconds = 0.7;  // no new shape is begun once so much time has passed
// The same on a backend, where the first pass of a shape may load kernels.
constexpr double kBackendWarmUpSeconds = 3;
constexpr int kMeasuredPasses = 3;         // of each shape
constexpr double kLongPassSeconds = 0.05;  // a longer pass is measured once, to keep this short
// The pass over the largest batch is not stopped before this time: it would save little.
constexpr double kLargestBatchSeconds = 0.5;
constexpr double kPredictionMargin = 1.1;  // by how much a pass may take longer than predicted
// What a vector costs on the worker's thread over what it costs in the encoder: it is joined,
// turned into the answer's bytes and freed there too.
constexpr double kHandedOver = 2;

double SecondsSince(WarmUpClock::time_point begin) {
  return std::chrono::duration<double>(WarmUpClock::now() - begin).count();
}

// The smaller of two bounds, where 0 means that there is none.
int64_t TighterLimit(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

// The architecture's part of the info with what the folder says around it.
ModelInfo CompleteInfo(ModelInfo info, const ModelFolder& folder,
                       std::optional<MultiVector> multi_vector, const OutputHead& head) {
  info.name = ModelName(folder.path());
  info.max_tokens = TighterLimit(info.max_tokens, folder.max_seq_length().value_or(0));
  info.pooling = folder.pooling();
  info.multi_vector = std::move(multi_vector);
  info.normalize = folder.normalize();
  info.pool_prompt = folder.pool_prompt();
  info.prompts = folder.prompts();
  info.default_prompt_name = folder.default_prompt_name();
  info.output_dimensions =
      std::min(head.output_width(), folder.truncate_dim().value_or(head.output_width()));
  if (info.multi_vector.has_value()) {
    info.token_dimensions = head.output_width();
    info.output_dimensions = 0;
  }
  info.num_parameters += head.num_parameters();
  info.weight_bytes += 4 * head.num_parameters();
  return info;
}

// A text of n tokens of the vocabulary, without padding ids.
std::vector<int32_t> SampleIds(const ModelInfo& info, int64_t n) {
  std::vector<int32_t> ids(n);
  for (int64_t i = 0; i < n; ++i) {
    ids[i] = static_cast<int32_t>((i * 7 + 3) % info.vocab_size);
    if (ids[i] == info.pad_token_id) ids[i] = static_cast<int32_t>((ids[i] + 1) % info.vocab_size);
  }
  return ids;
}

using Lengths = std::vector<int64_t>;  // of the texts of a batch, in tokens

// The batches that calibrate the cost model. One short text, many short texts and longer texts tell
// the fixed cost of a batch, the linear layers and the attention apart. On a card launching the
// kernels of a small batch takes longer than they run, so there are larger ones too, where that is
// over, up to max_batch_tokens (0 = any). Texts that the model does not take are left out.
std::vector<Lengths> CalibrationShapes(const ModelInfo& info, bool on_backend,
                                       int64_t max_batch_tokens) {
  std::vector<Lengths> shapes = {{8},    {128},  Lengths(16, 32), {512},
                                 {1024}, {2048}, Lengths(4, 512), {4096}};
  if (on_backend) {
    shapes = {{8},    Lengths(32, 512), {128},          Lengths(16, 32), {512}, Lengths(8, 4096),
              {4096}, Lengths(4, 512),  Lengths(4, 128)};
  }
  std::erase_if(shapes, [&](const Lengths& lengths) {
    const int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
    const bool too_many = on_backend && max_batch_tokens > 0 && tokens > max_batch_tokens;
    return too_many || !info.TakesLength(lengths.front());
  });
  return shapes;
}

// The lengths of texts that have max_batch_tokens tokens together, each as long as the model takes.
std::vector<int64_t> LargestBatch(const ModelInfo& info, int64_t max_batch_tokens) {
  const int64_t longest = info.CutToLongest(max_batch_tokens);
  return std::vector<int64_t>(std::max<int64_t>(1, max_batch_tokens / longest), longest);
}

// What a layer allocates depends on its kind of attention, and models mix the kinds in any order:
// this is how many layers must run until each kind has run once.
size_t LayersUntilEachKindRan(std::span<const LayerAttention> layers) {
  std::set<AttentionKind> seen;
  size_t ran = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (seen.insert(layers[i].kind).second) ran = i + 1;
  }
  return ran;
}

// A team of exactly num_threads where that is set, else of as many of the available cores as can be
// had.
absl::Status SetTeam(int num_threads) {
  if (num_threads > 0) return SetExactComputeThreads(num_threads);
  if (absl::Status status = CheckThreadsStart(AvailableCores() - 1); !status.ok()) return status;
  SetComputeThreads(0);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DataType> ResolveDataType(const std::string& name, const ModelFolder& folder,
                                         const Backend* backend) {
  for (DataType dtype : {DataType::kFloat32, DataType::kBFloat16, DataType::kInt8}) {
    if (name == DataTypeName(dtype)) return dtype;
  }
  const bool is_float16 = name == DataTypeName(DataType::kFloat16);
  if (is_float16 && backend != nullptr) return DataType::kFloat16;
  if (name != "auto") {
    return absl::InvalidArgumentError(absl::StrCat(
        "dtype is '", name, is_float16 ? "', which needs a card (device cuda)" : "'", "; allowed",
        backend != nullptr ? ": float32, bfloat16, float16, int8, auto"
        : is_float16       ? " on device cpu: float32, bfloat16, int8, auto"
                           : ": float32, bfloat16, int8, auto"));
  }
  const absl::StatusOr<std::string> int8 = FindInt8Weights(folder.weight_files());
  if (!int8.ok()) return int8.status();
  if (!int8->empty()) return DataType::kInt8;
  return backend != nullptr ? DataType::kBFloat16 : FastestAccurateDataType();
}

absl::StatusOr<std::unique_ptr<Encoder>> Encoder::Load(const std::string& model_dir,
                                                       const EncoderOptions& options) {
  const absl::StatusOr<ModelFolder> folder = ModelFolder::Open(model_dir);
  if (!folder.ok()) return folder.status();
  return Load(*folder, options);
}

absl::StatusOr<std::unique_ptr<Encoder>> Encoder::Load(const ModelFolder& folder,
                                                       const EncoderOptions& options) try {
  std::shared_ptr<const Backend> backend = options.backend;
  if (backend == nullptr) {
    absl::StatusOr<std::shared_ptr<const Backend>> opened = OpenBackend(options.device);
    if (!opened.ok()) return opened.status();
    backend = *std::move(opened);
  }
  if (backend == nullptr) {
    if (absl::Status status = CheckDataTypeSupported(options.dtype); !status.ok()) return status;
  }
  if (absl::Status status = CheckExecutableMemory(); !status.ok()) return status;
  InstallTensorAllocator();
  if (absl::Status status = CheckLibrarySettings(); !status.ok()) return status;
  if (absl::Status status = SetTeam(options.num_threads); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<EncoderModel>> model =
      LoadEncoderModel(folder, {options.dtype, backend.get()});
  if (!model.ok()) return model.status();
  const int64_t pooled_width = (*model)->info().token_dimensions *
                               std::max<int64_t>(1, static_cast<int64_t>(folder.pooling().size()));
  absl::StatusOr<std::unique_ptr<OutputHead>> head = OutputHead::Load(folder, pooled_width);
  if (!head.ok()) return head.status();

  std::optional<MultiVector> multi_vector;
  if (folder.multi_vector().has_value()) {
    absl::StatusOr<MultiVector> resolved = ResolveMultiVector(folder);
    if (!resolved.ok()) return resolved.status();
    multi_vector = *std::move(resolved);
  }
  const int64_t query_tokens = multi_vector.has_value() && multi_vector->expansion.has_value()
                                   ? multi_vector->expansion->length
                                   : 0;

  auto encoder = std::unique_ptr<Encoder>(new Encoder);
  encoder->info_ = CompleteInfo((*model)->info(), folder, std::move(multi_vector), **head);
  if (!encoder->info_.TakesLength(query_tokens)) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder.path(), ": queries are expanded to ", query_tokens,
                     " tokens; the model takes at most ", encoder->info_.max_tokens));
  }
  if (backend != nullptr) encoder->info_.device = backend->name();
  encoder->backend_ = std::move(backend);
  encoder->model_ = *std::move(model);
  encoder->head_ = *std::move(head);
  encoder->cost_model_ = std::make_unique<CostModel>(encoder->info_, encoder->on_backend());
  TrimMemory();  // gives back what loading held beyond the weights
  return encoder;
} catch (const c10::OutOfMemoryError& error) {
  return absl::ResourceExhaustedError(absl::StrCat(
      folder.path(), ": not enough memory for the weights: ", error.what_without_backtrace()));
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError(
      absl::StrCat(folder.path(), ": not enough memory for the weights"));
} catch (const c10::Error& error) {
  return absl::InternalError(
      absl::StrCat(folder.path(), ": LibTorch: ", error.what_without_backtrace()));
} catch (const std::exception& error) {  // oneDNN's own
  return absl::InternalError(absl::StrCat(folder.path(), ": ", error.what()));
}

EncodeOptions PlainOptions(const ModelInfo& info) {
  EncodeOptions options;
  if (!info.multi_vector.has_value()) return options;
  options.document_vector = false;
  options.token_sink = [](int64_t, int64_t, const float*) {};
  return options;
}

absl::StatusOr<double> Encoder::MeasurePass(std::span<const int64_t> lengths,
                                            const EncodeControl& control, int64_t spans) const {
  TokenBatch batch;
  std::vector<EncodeOptions> options(lengths.size(), PlainOptions(info_));
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t n = lengths[i];
    const std::vector<int32_t> globals = ResolveGlobalPositions(info_, std::nullopt, {}, n);
    batch.Add({.token_ids = SampleIds(info_, n), .global_positions = globals});
    // Each overlaps the ones before it.
    for (int64_t span = 0; span < spans; ++span) options[i].spans.push_back({span % n, n});
  }
  const WarmUpClock::time_point begin = WarmUpClock::now();
  for (const absl::StatusOr<EncodedText>& result : Encode(batch, options, control)) {
    if (!result.ok()) return result.status();
  }
  return SecondsSince(begin);
}

// Two passes that differ in their spans alone, the quickest of a few each.
absl::Status Encoder::MeasurePooling() {
  if (info_.multi_vector.has_value()) return absl::OkStatus();  // it pools nothing
  constexpr int64_t kSpans = 1024;
  const std::vector<int64_t> text = {info_.CutToLongest(16)};
  double without = INFINITY, with = INFINITY;
  for (int pass = 0; pass < kMeasuredPasses; ++pass) {
    const absl::StatusOr<double> few = MeasurePass(text);
    if (!few.ok()) return few.status();
    const absl::StatusOr<double> many = MeasurePass(text, {}, kSpans);
    if (!many.ok()) return many.status();
    without = std::min(without, *few);
    with = std::min(with, *many);
    if (*many > kLongPassSeconds) break;
  }
  cost_model_->CalibratePooling(kHandedOver * (with - without) / kSpans);
  return absl::OkStatus();
}

// The first pass of a shape pays for lazy set-up (oneDNN primitives, arena, page faults; kernels of
// a card); the next ones are measured, on the clock of the wall: a thread that waits for a card
// uses no CPU time, or only spins. The quickest of them counts, since whatever else the machine
// does at that moment can only make a pass slower.
absl::Status Encoder::WarmUp(int64_t max_batch_tokens) {
  warming_up_ = true;
  const absl::Cleanup done = [this] { warming_up_ = false; };
  std::vector<CostModel::Sample> samples;
  const double enough = on_backend() ? kBackendWarmUpSeconds : kWarmUpSeconds;
  const WarmUpClock::time_point start = WarmUpClock::now();
  for (const Lengths& lengths : CalibrationShapes(info_, on_backend(), max_batch_tokens)) {
    if (SecondsSince(start) > enough && samples.size() >= 2) break;
    CostModel::Sample sample{.texts = {lengths.begin(), lengths.end()}, .seconds = INFINITY};
    const absl::StatusOr<double> first = MeasurePass(lengths);
    if (!first.ok()) return first.status();
    const int passes = *first > kLongPassSeconds ? 1 : kMeasuredPasses;
    for (int pass = 0; pass < passes; ++pass) {
      const absl::StatusOr<double> seconds = MeasurePass(lengths);
      if (!seconds.ok()) return seconds.status();
      sample.seconds = std::min(sample.seconds, *seconds);
    }
    samples.push_back(std::move(sample));
  }
  if (!samples.empty()) cost_model_->Calibrate(samples);
  if (absl::Status measured = MeasurePooling(); !measured.ok()) return measured;
  if (max_batch_tokens <= 0) return absl::OkStatus();
  return TouchLargestBatch(LargestBatch(info_, max_batch_tokens));
}

// Begins a pass over texts of these lengths and stops it once each kind of layer has run, as the
// cost model predicts it, but not before kLargestBatchSeconds. The other layers take the same
// memory and the same primitives again.
absl::Status Encoder::TouchLargestBatch(std::span<const int64_t> lengths) const {
  const double share = static_cast<double>(LayersUntilEachKindRan(info_.layers)) /
                       static_cast<double>(info_.layers.size());
  const std::vector<TextShape> texts(lengths.begin(), lengths.end());
  const double enough =
      std::max(kLargestBatchSeconds, cost_model_->BatchSeconds(texts) * share * kPredictionMargin);
  const WarmUpClock::time_point begin = WarmUpClock::now();
  const EncodeControl control{.is_dropped = [&](int32_t) { return SecondsSince(begin) > enough; }};
  const absl::StatusOr<double> seconds = MeasurePass(lengths, control);
  return absl::IsCancelled(seconds.status()) ? absl::OkStatus() : seconds.status();
}

}  // namespace longspan
