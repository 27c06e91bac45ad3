// One Encode, from packed ids to vectors:
//
//   1. JoinComputeTeam
//   2. the model's Forward: all layers; dropped texts leave between them; then VerifyComputeTeam
//   3. for each text, the hidden states in blocks of kRowsPerRead rows: token_sink,
//      StreamingPooler; with very many spans in several goes, so that what is open stays small
//   4. for each vector: Dense, Matryoshka cut, normalise, check that all values are finite
//
// On a backend (core/backend) step 3 pools all texts at once where the rows are, and only vectors
// and the blocks of token_sink are copied to the host. Nothing waits for the device before that, so
// a pass is soon wholly on the device's queue. It holds device_turn_ until then: of two threads,
// one waits for its vectors while the other puts the next pass behind the first, whose memory it
// takes over operation by operation. So the device is never idle between two batches, and has to
// hold no more than one pass and the last rows of another.
//
// Hidden states are read in blocks, so that a model that makes its last rows on demand (Reformer)
// never holds them all. Everything that LibTorch throws ends here and becomes one status for each
// text that has no result yet.
#include "core/encoder.h"

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/backend.h"
#include "core/cost_model.h"
#include "core/models/model.h"
#include "core/models/output_head.h"
#include "core/pooling.h"
#include "core/runtime/compute_threads.h"
#include "core/runtime/memory.h"
#include "core/segment_pooling.h"
#include "core/token_rows.h"

namespace longspan {
namespace {

// Rows of hidden states that are read at once, however long the text is: 3 MiB of float32 at 768
// dimensions.
constexpr int64_t kRowsPerRead = 1024;

// Values that are pooled between two seams (StreamingPooler::work): some 20 ms.
constexpr int64_t kPooledValuesPerSeam = int64_t{32} << 20;
// What a vector costs however few values it has, in such values: its memory and its checks.
constexpr int64_t kValuesOfAVector = 512;

// Bytes that pooling holds for the spans that are open at once. Where the spans of a text need more
// (from 5,461 begins of a span on, with the mean of 768 values), its rows are read several times.
constexpr int64_t kPoolingBytes = int64_t{32} << 20;

bool AnyTokenSink(std::span<const EncodeOptions> options) {
  return std::any_of(options.begin(), options.end(),
                     [](const EncodeOptions& wanted) { return wanted.token_sink != nullptr; });
}

absl::Status Dropped() { return absl::CancelledError("dropped by the caller"); }

absl::Status NoTextVectors() {
  return absl::FailedPreconditionError(
      "the model has vectors of tokens alone; allowed: a token_sink without document_vector and "
      "spans");
}

// Runs `compute` and turns what LibTorch throws into a status.
template <typename Compute>
absl::Status CatchLibTorch(Compute compute) {
  try {
    return compute();
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("not enough memory for this batch: ", error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("not enough memory for this batch");
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    if (message.find("can't allocate memory") != std::string::npos)
      return absl::ResourceExhaustedError(message);
    return absl::InternalError(absl::StrCat("LibTorch: ", message));
  } catch (const std::exception& error) {
    // oneDNN gives this text where it got no memory for a kernel or its scratch, and for a shape
    // that it does not know, which the layers never ask for.
    const std::string message = error.what();
    if (message.find("could not create a primitive") == std::string::npos)
      return absl::InternalError(message);
    return absl::ResourceExhaustedError(
        absl::StrCat("oneDNN: ", message,
                     ": not enough memory (ulimit -v, ulimit -d, the "
                     "container's limit)"));
  }
}

// The caller's at_seam. Behind it the pass goes on with the threads that the caller gives it;
// another pass may have run there, with a team of its own.
std::function<void()> AtSeamThenJoin(const EncodeControl& control) {
  if (!control.threads) return control.at_seam;
  return [&control] {
    if (control.at_seam) control.at_seam();
    if (absl::Status joined = ResizeComputeTeam(control.threads()); !joined.ok())
      throw std::runtime_error(std::string(joined.message()));  // ends the pass
  };
}

// The texts that nobody waits for. A text that was once reported as dropped stays dropped for the
// rest of the pass.
class DroppedTexts {
 public:
  DroppedTexts(const EncodeControl& control, int32_t num_texts)
      : control_(control), dropped_(num_texts, false) {}
  bool Ask(int32_t text) {
    if (!dropped_[text] && control_.is_dropped && control_.is_dropped(text)) dropped_[text] = true;
    return dropped_[text];
  }

 private:
  const EncodeControl& control_;
  std::vector<bool> dropped_;
};

}  // namespace

// The seams while vectors are made: counts the work, and calls the caller's at_seam after each
// kPooledValuesPerSeam values.
class Encoder::PoolingSeams {
 public:
  explicit PoolingSeams(const EncodeControl& control) : control_(control) {}
  // Counts `values` more. False: nobody waits for the text any more.
  bool Continue(int32_t text, int64_t values) {
    work_ += values;
    if (work_ < kPooledValuesPerSeam) return true;
    work_ = 0;
    if (control_.at_seam) control_.at_seam();
    return !control_.is_dropped(text);
  }

 private:
  const EncodeControl& control_;
  int64_t work_ = 0;
};

// Turns the hidden states of one text into what its options ask for.
class Encoder::TextOutput {
 public:
  TextOutput(const Encoder& encoder, const EncodeOptions& options, std::span<const uint8_t> mask,
             std::span<const int32_t> ids)
      : encoder_(encoder),
        options_(options),
        num_tokens_(static_cast<int64_t>(ids.size())),
        token_rows_(encoder.info_, *encoder.head_, options, ids),
        task_(Task(mask)),
        rows_needed_(options.token_sink ? num_tokens_ : RowsNeeded(task_)) {}

  // True where nothing but the first row of the text is read.
  bool first_row_only() const { return rows_needed_ <= 1; }
  const PoolingTask& task() const { return task_; }
  // CANCELLED where nobody waits for the text any more. `pooled` has the vectors of the task's
  // ranges where they were pooled on a device; empty = they are pooled here.
  absl::StatusOr<EncodedText> Read(const HiddenStates& hidden, int32_t text,
                                   std::vector<std::vector<float>> pooled,
                                   PoolingSeams& seams) const;

 private:
  PoolingTask Task(std::span<const uint8_t> mask) const;
  // Pools the ranges of one group into vectors, which are those of all ranges of the task.
  absl::Status ReadGroup(const HiddenStates& hidden, int32_t text, std::span<const size_t> group,
                         PoolingSeams& seams, std::vector<std::vector<float>>& vectors) const;
  // Finishes the vectors of all ranges.
  absl::Status FinishAll(int32_t text, std::vector<std::vector<float>>& vectors,
                         PoolingSeams& seams) const;
  int64_t finish_work() const;  // of one vector
  absl::Status SendRows(const HiddenStates& hidden, int32_t text, PoolingSeams& seams) const;
  absl::StatusOr<std::vector<float>> Finish(std::vector<float> pooled) const;

  const Encoder& encoder_;
  const EncodeOptions& options_;
  const int64_t num_tokens_;
  const TokenRows token_rows_;
  const PoolingTask task_;  // of the document, where it is wanted, and of the spans behind it
  const int64_t rows_needed_;
};

PoolingTask Encoder::TextOutput::Task(std::span<const uint8_t> mask) const {
  PoolingTask task;
  task.modes = options_.pooling.has_value() ? std::vector<PoolingMode>{*options_.pooling}
                                            : encoder_.info_.pooling;
  task.dimensions = encoder_.model_->info().token_dimensions;
  if (options_.document_vector) task.ranges.push_back({0, num_tokens_});
  task.ranges.insert(task.ranges.end(), options_.spans.begin(), options_.spans.end());
  task.pooling_begin = options_.pooling_begin;
  task.attention_mask = mask;
  return task;
}

absl::StatusOr<std::vector<float>> Encoder::TextOutput::Finish(std::vector<float> pooled) const {
  std::vector<float> vector = options_.pooling.has_value()
                                  ? std::move(pooled)
                                  : encoder_.head_->ApplyDense(std::move(pooled));
  bool normalize = options_.normalize.value_or(encoder_.info_.normalize);
  int64_t dimensions = options_.dimensions;
  if (dimensions == 0 && !options_.pooling.has_value()) {
    // The folder's truncate_dim cuts behind its Normalize module. What is left has then less than
    // unit length, and it is normalised again only where the caller asks for it.
    dimensions = encoder_.info_.output_dimensions;
    if (normalize && !options_.normalize.has_value()) {
      NormalizeL2(vector);
      normalize = false;
    }
  }
  CutAndNormalize(dimensions, normalize, &vector);
  if (!AllFinite(vector.data(), static_cast<int64_t>(vector.size()))) return NotFinite();
  return vector;
}

absl::Status Encoder::TextOutput::SendRows(const HiddenStates& hidden, int32_t text,
                                           PoolingSeams& seams) const {
  for (int64_t begin = 0; begin < num_tokens_; begin += kRowsPerRead) {
    const int64_t end = std::min(begin + kRowsPerRead, num_tokens_);
    const at::Tensor rows = hidden.Rows(text, begin, end).to(at::kFloat).contiguous();
    if (absl::Status sent = token_rows_.Send(begin, rows); !sent.ok()) return sent;
    if (!seams.Continue(text, rows.numel())) return Dropped();
  }
  return absl::OkStatus();
}

absl::Status Encoder::TextOutput::ReadGroup(const HiddenStates& hidden, int32_t text,
                                            std::span<const size_t> group, PoolingSeams& seams,
                                            std::vector<std::vector<float>>& vectors) const {
  PoolingTask task = task_;
  task.ranges.clear();
  for (const size_t range : group) task.ranges.push_back(task_.ranges[range]);
  StreamingPooler pooler(std::move(task));
  pooler.Skip(pooler.first_row());
  int64_t counted = 0;
  for (int64_t begin = pooler.first_row(); begin < pooler.rows_needed(); begin += kRowsPerRead) {
    const int64_t end = std::min(begin + kRowsPerRead, pooler.rows_needed());
    const at::Tensor rows = hidden.Rows(text, begin, end).to(at::kFloat).contiguous();
    // A block may end many ranges: it is added in parts, so that a seam is never far.
    constexpr int64_t kRowsPerPart = 64;
    for (int64_t row = begin; row < end; row += kRowsPerPart) {
      pooler.Add(rows.data_ptr<float>() + (row - begin) * task_.dimensions,
                 std::min(kRowsPerPart, end - row));
      if (!seams.Continue(text, pooler.work() - counted)) return Dropped();
      counted = pooler.work();
    }
  }
  for (size_t i = 0; i < group.size(); ++i) {
    absl::StatusOr<std::vector<float>> vector = Finish(pooler.TakeVector(i));
    if (!vector.ok()) return vector.status();
    vectors[group[i]] = *std::move(vector);
    if (!seams.Continue(text, finish_work())) return Dropped();
  }
  return absl::OkStatus();
}

int64_t Encoder::TextOutput::finish_work() const {
  const bool has_dense = !options_.pooling.has_value();
  return kValuesOfAVector + encoder_.VectorWidth(options_) +
         (has_dense ? encoder_.head_->num_parameters() : 0);
}

absl::Status Encoder::TextOutput::FinishAll(int32_t text, std::vector<std::vector<float>>& vectors,
                                            PoolingSeams& seams) const {
  for (std::vector<float>& values : vectors) {
    absl::StatusOr<std::vector<float>> vector = Finish(std::move(values));
    if (!vector.ok()) return vector.status();
    values = *std::move(vector);
    if (!seams.Continue(text, finish_work())) return Dropped();
  }
  return absl::OkStatus();
}

absl::StatusOr<EncodedText> Encoder::TextOutput::Read(const HiddenStates& hidden, int32_t text,
                                                      std::vector<std::vector<float>> pooled,
                                                      PoolingSeams& seams) const {
  if (encoder_.info_.multi_vector.has_value() && !task_.ranges.empty()) return NoTextVectors();
  if (options_.token_sink) {
    if (absl::Status sent = SendRows(hidden, text, seams); !sent.ok()) return sent;
  }
  std::vector<std::vector<float>> vectors = std::move(pooled);
  if (hidden.on_backend() != nullptr) {
    if (absl::Status done = FinishAll(text, vectors, seams); !done.ok()) return done;
  } else {
    vectors.resize(task_.ranges.size());
    for (const std::vector<size_t>& group : GroupRanges(task_, kPoolingBytes)) {
      if (absl::Status read = ReadGroup(hidden, text, group, seams, vectors); !read.ok())
        return read;
    }
  }
  EncodedText result;
  auto first_span = vectors.begin();
  if (options_.document_vector) result.vector = std::move(*first_span++);
  result.span_vectors.assign(std::make_move_iterator(first_span),
                             std::make_move_iterator(vectors.end()));
  return result;
}

Encoder::Encoder() = default;
Encoder::~Encoder() = default;

DeviceMemory Encoder::device_memory() const {
  return backend_ == nullptr ? DeviceMemory{} : backend_->Memory();
}

RecordingCounts Encoder::recordings() const { return model_->recordings(); }

int64_t Encoder::VectorWidth(const EncodeOptions& options) const {
  return options.pooling.has_value() ? info_.token_dimensions : head_->output_width();
}

std::vector<absl::StatusOr<EncodedText>> Encoder::Encode(const TokenBatch& batch,
                                                         std::span<const EncodeOptions> options,
                                                         const EncodeControl& control) const {
  const int32_t num_texts = batch.num_texts();
  std::vector<absl::StatusOr<EncodedText>> results(num_texts, absl::InternalError("no result"));
  if (static_cast<int32_t>(options.size()) != num_texts) {
    const absl::Status mismatch = absl::InvalidArgumentError(
        absl::StrCat(options.size(), " options for ", num_texts, " texts; one each is needed"));
    return std::vector<absl::StatusOr<EncodedText>>(num_texts, mismatch);
  }
  int32_t done = 0;  // texts with a result, in order
  DroppedTexts dropped(control, num_texts);
  const EncodeControl sticky{.at_seam = AtSeamThenJoin(control),
                             .is_dropped = [&](int32_t text) { return dropped.Ask(text); },
                             .threads = control.threads};
  const absl::Status status =
      Judge(CatchLibTorch([&] { return EncodeTexts(batch, options, sticky, results, done); }));
  // A pass that failed half way ends at a seam too. One whose texts are all dropped was just there.
  if (!status.ok() && !absl::IsCancelled(status) && control.at_seam) control.at_seam();
  for (; done < num_texts; ++done) results[done] = dropped.Ask(done) ? Dropped() : status;
  return results;
}

absl::Status Encoder::Judge(absl::Status status) const {
  if (status.ok() || absl::IsCancelled(status) || backend_ == nullptr) return status;
  if (absl::IsResourceExhausted(status)) {
    const absl::Status freed = CatchLibTorch([this] {
      model_->FreeKept();
      backend_->FreeUnused();
      return absl::OkStatus();
    });
    if (freed.ok()) return status;
  }
  const absl::Status device = backend_->CheckDevice();
  if (device.ok()) return status;
  return absl::Status(kDeviceLost,
                      absl::StrCat("device ", backend_->name(), " is lost: ", device.message()));
}

// The pooling of a pass on a backend: of each text that is still wanted.
class Encoder::DevicePooling {
 public:
  void Begin(const HiddenStates& hidden, std::span<const TextOutput> outputs,
             const EncodeControl& control) {
    for (int32_t text = 0; text < static_cast<int32_t>(outputs.size()); ++text) {
      if (!control.is_dropped(text)) texts_.push_back({text, &outputs[text].task()});
    }
    pending_ = PoolSegments(hidden, texts_);
  }
  // Of each text of the batch the vectors of its ranges, empty where there are none.
  PooledVectors Wait(int32_t num_texts) {
    PooledVectors pooled(num_texts);
    PooledVectors vectors = pending_.Wait();
    for (size_t i = 0; i < texts_.size(); ++i) pooled[texts_[i].text] = std::move(vectors[i]);
    return pooled;
  }

 private:
  std::vector<PooledText> texts_;
  PendingVectors pending_;
};

absl::Status Encoder::EncodeTexts(const TokenBatch& batch, std::span<const EncodeOptions> options,
                                  const EncodeControl& control,
                                  std::vector<absl::StatusOr<EncodedText>>& results,
                                  int32_t& done) const {
  if (absl::Status joined = JoinComputeTeam(control.threads ? control.threads() : 0); !joined.ok())
    return joined;
  const MemoryPass memory_pass;
  const c10::InferenceMode inference;
  std::optional<c10::DeviceGuard> device;
  if (backend_ != nullptr && !backend_->device().is_cpu()) device.emplace(backend_->device());
  std::vector<TextOutput> outputs;
  outputs.reserve(batch.num_texts());
  ForwardOptions forward;
  forward.at_seam = control.at_seam;
  forward.is_dropped = control.is_dropped;
  forward.may_be_recorded = !warming_up_;
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    std::span<const uint8_t> mask = batch.attention_mask();
    if (!mask.empty()) mask = mask.subspan(batch.cu_seqlens()[text], batch.length(text));
    const std::span<const int32_t> ids(batch.token_ids());
    outputs.emplace_back(*this, options[text], mask,
                         ids.subspan(batch.cu_seqlens()[text], batch.length(text)));
    forward.first_row_only.push_back(outputs.back().first_row_only());
  }
  std::unique_lock turn(device_turn_, std::defer_lock);
  if (backend_ != nullptr) turn.lock();
  const absl::StatusOr<HiddenStates> hidden = model_->Forward(batch, forward);
  if (!hidden.ok()) return hidden.status();
  if (absl::Status held = VerifyComputeTeam(); !held.ok()) return held;
  if (control.at_seam) control.at_seam();  // after the last layer
  DevicePooling pooling;
  if (hidden->on_backend() != nullptr) pooling.Begin(*hidden, outputs, control);
  // Rows for a token_sink are copied one behind the other, which must not wait for the next pass.
  if (turn.owns_lock() && !AnyTokenSink(options)) turn.unlock();
  PooledVectors pooled = pooling.Wait(batch.num_texts());
  PoolingSeams seams(control);
  for (; done < batch.num_texts(); ++done) {
    if (control.is_dropped(done)) {
      results[done] = Dropped();
    } else {
      results[done] = outputs[done].Read(*hidden, done, std::move(pooled[done]), seams);
    }
  }
  return absl::OkStatus();
}

}  // namespace longspan
