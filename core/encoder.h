// Encoder: the one public compute entry of the library. Token ids in, vectors out; one forward pass
// per call.
//
//   auto encoder = Encoder::Load({.model_dir = "..."});
//   TokenBatch batch;  batch.Add({.token_ids = ids});
//   std::vector<absl::StatusOr<EncodedText>> results = (*encoder)->Encode(batch, {options}, {});
//
// Thread safety: const methods may be called from any thread, but Encode uses all threads of the
// compute team, so a server calls it from one worker thread per replica. No LibTorch type and no
// exception leaves this class.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "core/token_batch.h"

namespace longspan {

class CostModel;
class EncoderModel;
class ModelFolder;
class OutputHead;

// "float32", "bfloat16", "int8" or "auto": int8 where the folder holds int8 weights, else bfloat16
// where this processor has it, else float32. INVALID_ARGUMENT names what is allowed; whether this
// processor has the type is said by Encoder::Load.
absl::StatusOr<DataType> ResolveDataType(const std::string& name, const ModelFolder& folder);

struct EncoderOptions {
  DataType dtype = DataType::kFloat32;
  int num_threads =
      // threads of the compute team; 0 = the cgroup's CPU quota, at most the cores this process may
      // use
      0;
};

// What is wanted of one text of a batch.
struct EncodeOptions {
  std::optional<PoolingMode>
      pooling;  // nullopt = the model's own pooling and Dense; otherwise this mode and no Dense
  std::optional<bool> normalize;  // nullopt = the model's own
  int32_t dimensions =
      0;  // Matryoshka: keep the first so many values, then normalise if asked; 0 = all
  bool document_vector = true;  // compute EncodedText::vector
  std::vector<TokenRange>
      spans;  // one vector each, pooled from the whole text's hidden states (late chunking)
  int64_t pooling_begin = 0;  // tokens before this one take no part in pooling (a prompt left out)

  // Receives the token vectors in order, in blocks of rows: first token, then rows x
  // token_dimensions values, valid only during the call. Empty = not wanted. `normalize` applies to
  // each row only where it is set to true.
  std::function<void(int64_t first_token, int64_t num_tokens, const float* values)> token_sink;
};

struct EncodedText {
  std::vector<float> vector;                     // empty where no document vector was wanted
  std::vector<std::vector<float>> span_vectors;  // one per EncodeOptions::spans
};

// How a running forward pass is steered from outside. Both functions run on the computing thread;
// either may be empty.
struct EncodeControl {
  // Called at each seam of the pass: before the first layer, after each layer, and after each 2,048
  // rows or as much other work inside the layers of a long pass (all models but Reformer). The
  // caller may do other work here, even another pass of the same encoder.
  std::function<void()> at_seam;

  // True once nobody waits for this text of the batch any more (cancelled, deadline passed). A pure
  // question: it is asked behind each seam and again before a text's result is made. The result of
  // such a text is CANCELLED. A pass whose texts are all dropped stops at that seam.
  std::function<bool(int32_t text)> is_dropped;
};

// Code of a result where the computing device is gone and no later call can succeed. Never on the
// CPU.
inline constexpr absl::StatusCode kDeviceLost = absl::StatusCode::kDataLoss;

class Encoder {
 public:
  // Reads config and weights and gets ready to encode. Errors are one line: what, where, what to
  // do.
  static absl::StatusOr<std::unique_ptr<Encoder>> Load(const ModelFolder& folder,
                                                       const EncoderOptions& options);
  static absl::StatusOr<std::unique_ptr<Encoder>> Load(const std::string& model_dir,
                                                       const EncoderOptions& options = {});
  ~Encoder();

  const ModelInfo& info() const { return info_; }
  const CostModel& cost_model() const { return *cost_model_; }

  // Checks one text and what is wanted of it against the model, before anything costly.
  // INVALID_ARGUMENT (empty text, id outside the vocabulary, too long, position or span outside the
  // text, dimensions too large), FAILED_PRECONDITION (global attention or hashing the model does
  // not have, spans where the model pools by cls or lasttoken and no pooling is named).
  absl::Status Validate(const TokenBatch::Text& text, const EncodeOptions& options) const;

  // One result per text of the batch, in order; options has one entry per text. A text's result
  // does not depend on its neighbours. Errors per text: CANCELLED (dropped), RESOURCE_EXHAUSTED
  // (out of memory), INTERNAL (NaN or Inf output, exception inside LibTorch), kDeviceLost.
  std::vector<absl::StatusOr<EncodedText>> Encode(const TokenBatch& batch,
                                                  std::span<const EncodeOptions> options,
                                                  const EncodeControl& control = {}) const;

  // Runs batches from the smallest on and the first layers of the largest (max_batch_tokens in
  // texts as long as the model takes; 0 = none that large), so that no request pays for lazy set-up
  // and a batch that does not fit in memory shows before the first request, and calibrates
  // cost_model().
  absl::Status WarmUp(int64_t max_batch_tokens = 0);

 private:
  class TextOutput;

  Encoder();
  absl::StatusOr<double> MeasurePass(std::span<const int64_t> lengths,
                                     const EncodeControl& control = {}) const;
  absl::Status TouchLargestBatch(std::span<const int64_t> lengths) const;
  // Values of a vector before the Matryoshka cut.
  int64_t VectorWidth(const EncodeOptions& options) const;
  // Fills results[0, done); what it returns, or LibTorch throws, is the result of the others.
  absl::Status EncodeTexts(const TokenBatch& batch, std::span<const EncodeOptions> options,
                           const EncodeControl& control,
                           std::vector<absl::StatusOr<EncodedText>>& results, int32_t& done) const;

  ModelInfo info_;
  std::unique_ptr<EncoderModel> model_;
  std::unique_ptr<CostModel> cost_model_;
  std::unique_ptr<OutputHead> head_;  // the Dense modules of this model
};

// Global positions of a text of n tokens under a policy. `positions` are used for kPositions. kCls
// above dense_up_to (or asked for by name) gives {0}; the model's default gives none for texts that
// are dense anyway.
std::vector<int32_t> ResolveGlobalPositions(const ModelInfo& info,
                                            std::optional<GlobalAttention> policy,
                                            std::span<const int32_t> positions, int64_t num_tokens);

}  // namespace longspan
