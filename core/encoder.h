// Encoder: the one public compute entry of the library. Token ids go in and vectors come out; each
// call of Encode is one forward pass.
//
//   const absl::StatusOr<std::unique_ptr<Encoder>> encoder = Encoder::Load(model_dir);
//   if (!encoder.ok()) return encoder.status();
//   TokenBatch batch;
//   batch.Add({.token_ids = ids});
//   const std::vector<EncodeOptions> options(1);  // one per text; these: the model's own pooling
//   const std::vector<absl::StatusOr<EncodedText>> results = (*encoder)->Encode(batch, options);
//   if (!results[0].ok()) return results[0].status();
//   return results[0]->vector;
//
// encoder_example_test compiles and runs these lines.
//
// Thread safety: const methods may be called from any thread. Encode uses all threads of the
// compute team, so a server calls it from one worker thread per replica. On a backend passes take
// turns: two threads keep a card busy, since one prepares the next pass while the other waits for
// its vectors. No LibTorch type and no exception leaves this class.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/device_memory.h"
#include "core/model_info.h"
#include "core/recording_counts.h"
#include "core/token_batch.h"

namespace longspan {

class Backend;
class CostModel;
class EncoderModel;
class HiddenStates;
class ModelFolder;
class OutputHead;

// The data type that `name` means: "float32", "bfloat16", "int8" or "auto", and on a backend also
// "float16". "auto" is int8 where the folder holds int8 weights, else bfloat16 on a backend and on
// a processor that has it, else float32. INVALID_ARGUMENT names what is allowed. Whether this
// processor has the type is not checked here but in Encoder::Load.
absl::StatusOr<DataType> ResolveDataType(const std::string& name, const ModelFolder& folder,
                                         const Backend* backend = nullptr);

struct EncoderOptions {
  DataType dtype = DataType::kFloat32;
  // Threads of the compute team; 0 = the cores that this process may use (AvailableCores), or as
  // many as OpenMP gives (OMP_THREAD_LIMIT). A number that cannot be had is an error.
  int num_threads = 0;
  // Where the model runs: "cpu", "cuda" (the first card), "cuda:N", or "auto", a card where there
  // is one that can be used and else the CPU (core/backend/open_backend.h).
  std::string device = "cpu";
  // Runs there instead of on what `device` names: for callers that have opened it already; null =
  // `device` says where.
  std::shared_ptr<const Backend> backend;
};

// What is wanted of one text of a batch.
struct EncodeOptions {
  // nullopt = the model's own pooling and its Dense modules; otherwise this mode and no Dense.
  std::optional<PoolingMode> pooling;
  std::optional<bool> normalize;  // nullopt = as the model does
  // Matryoshka: keep this many values, the first ones, and then normalise, if that is asked for; 0
  // = all.
  int32_t dimensions = 0;
  bool document_vector = true;  // false: EncodedText::vector is not computed
  // Each gets one vector, pooled from the hidden states of the whole text (late chunking).
  std::vector<TokenRange> spans;
  // Tokens before this one take no part in pooling (a prompt that is left out).
  int64_t pooling_begin = 0;

  // Of a multi-vector model: whether the token vectors are those of a query or of a document, which
  // decides what its skip list leaves out.
  TextRole text_role = TextRole::kDocument;
  // Receives the token vectors in order, in blocks of rows: the first row's token, the number of
  // rows, and rows x token_dimensions values, which are valid only during the call. Empty = the
  // token vectors are not wanted. A row is normalised where `normalize` is set to true, and of a
  // multi-vector model, whose rows are projected here, where the model does so and `normalize` is
  // not set. Tokens that such a model leaves out are in no block.
  std::function<void(int64_t first_token, int64_t num_tokens, const float* values)> token_sink;
};

struct EncodedText {
  std::vector<float> vector;                     // empty where no document vector was wanted
  std::vector<std::vector<float>> span_vectors;  // one for each of EncodeOptions::spans
};

// How a running forward pass is steered from outside. The functions run on the computing thread;
// each may be empty.
struct EncodeControl {
  // Called at each seam of the pass: before the first layer, after each layer, after each 2,048
  // rows or as much other work inside the layers of a long pass (all models but Reformer), and
  // after each 32 million values while vectors are pooled. The caller may do other work here, even
  // another pass of the same encoder.
  std::function<void()> at_seam;

  // True once nobody waits for this text of the batch any more (cancelled, deadline passed). It
  // must change nothing: it is asked after each seam and again before a text's result is made. The
  // result of such a text is CANCELLED. A pass whose texts are all dropped stops at that seam.
  std::function<bool(int32_t text)> is_dropped;

  // The threads with which the pass goes on: asked before its first layer and after each at_seam.
  // 0 = ComputeThreads().
  std::function<int()> threads;
};

// The code of a result where the computing device is gone (Backend::CheckDevice), so that no later
// call can succeed. It never occurs on the CPU.
inline constexpr absl::StatusCode kDeviceLost = absl::StatusCode::kDataLoss;

class Encoder {
 public:
  // Reads config and weights and gets ready to encode. Errors are one line that says what, where
  // and what to do. NOT_FOUND, INVALID_ARGUMENT: files that are missing or wrong, a device that is
  // not known. UNIMPLEMENTED: an architecture that is not known.
  // FAILED_PRECONDITION: weights in another format, a data type that this processor lacks, a device
  // that cannot be had, threads that cannot be had, an environment variable with which vectors
  // would be wrong. RESOURCE_EXHAUSTED: the weights do not fit in memory, or the threads cannot be
  // started. INTERNAL: an exception inside LibTorch.
  static absl::StatusOr<std::unique_ptr<Encoder>> Load(const ModelFolder& folder,
                                                       const EncoderOptions& options);
  static absl::StatusOr<std::unique_ptr<Encoder>> Load(const std::string& model_dir,
                                                       const EncoderOptions& options = {});
  ~Encoder();

  const ModelInfo& info() const { return info_; }
  const CostModel& cost_model() const { return *cost_model_; }
  // Whether the model runs on a backend, and the memory that is there; zeros where it is not known,
  // and on the CPU (core/runtime/memory.h tells of its memory).
  bool on_backend() const { return backend_ != nullptr; }
  DeviceMemory device_memory() const;
  // What a card has recorded and repeated so far.
  RecordingCounts recordings() const;

  // Checks one text and what is wanted of it against the model, before anything costly.
  // INVALID_ARGUMENT: an empty text, an id outside the vocabulary, a text that is too long, a
  // position or span outside the text, too many dimensions. FAILED_PRECONDITION: a vector of the
  // text or of spans where the model has vectors of tokens alone (multi_vector), global attention
  // or hashing that the model does not have, spans where the model pools by cls or lasttoken and no
  // pooling is named. A message that begins with a field ("spans[1] is ...") has the field attached
  // (core/error_details.h).
  absl::Status Validate(const TokenBatch::Text& text, const EncodeOptions& options) const;

  // One result for each text of the batch, in order; `options` has one entry for each text. A
  // text's result does not depend on the other texts. Errors of a text: CANCELLED (it was dropped),
  // RESOURCE_EXHAUSTED (out of memory), INTERNAL (NaN or Inf in the output, an exception inside
  // LibTorch, a compute team that changed its size), kDeviceLost.
  std::vector<absl::StatusOr<EncodedText>> Encode(const TokenBatch& batch,
                                                  std::span<const EncodeOptions> options,
                                                  const EncodeControl& control = {}) const;

  // Runs batches of growing size, so that no request pays for lazy set-up, and calibrates
  // cost_model() by them. Then it runs the first layers of the largest batch (max_batch_tokens
  // tokens in texts as long as the model takes; 0 = this step is left out), so that a batch that
  // does not fit in memory shows before the first request: RESOURCE_EXHAUSTED.
  absl::Status WarmUp(int64_t max_batch_tokens = 0);

 private:
  class PoolingSeams;
  class TextOutput;
  class DevicePooling;

  Encoder();
  // The seconds of a pass over texts of these lengths, where each has spans of its first tokens.
  absl::StatusOr<double> MeasurePass(std::span<const int64_t> lengths,
                                     const EncodeControl& control = {}, int64_t spans = 0) const;
  // Measures what each further vector of a text takes, and tells the cost model.
  absl::Status MeasurePooling();
  absl::Status TouchLargestBatch(std::span<const int64_t> lengths) const;
  // How many values a vector has before the Matryoshka cut.
  int64_t VectorWidth(const EncodeOptions& options) const;
  // Fills results[0, done). What it returns, or LibTorch throws, is the result of the other texts.
  absl::Status EncodeTexts(const TokenBatch& batch, std::span<const EncodeOptions> options,
                           const EncodeControl& control,
                           std::vector<absl::StatusOr<EncodedText>>& results, int32_t& done) const;
  // What became of a pass that ended with `status`: kDeviceLost where the device is gone.
  absl::Status Judge(absl::Status status) const;

  ModelInfo info_;
  std::shared_ptr<const Backend> backend_;  // null = the CPU; outlives the model
  std::unique_ptr<EncoderModel> model_;
  std::unique_ptr<CostModel> cost_model_;
  bool warming_up_ = false;           // what is measured are passes of shapes that are new
  std::unique_ptr<OutputHead> head_;  // the model's Dense modules
  // Held while a pass puts its work on the device's queue. Recursive: a caller may run another pass
  // at a seam.
  mutable std::recursive_mutex device_turn_;
};

// What a pass is to give where nobody asks for anything (warm-up, measurements): the text's vector,
// or the token vectors where the model has no other.
EncodeOptions PlainOptions(const ModelInfo& info);

// The global positions of a text of num_tokens tokens under a policy; nullopt = the model's
// default. kPositions gives `positions`, kCls gives {0}, kNone none. A default of kCls gives none
// to texts that are dense anyway (dense_up_to).
std::vector<int32_t> ResolveGlobalPositions(const ModelInfo& info,
                                            std::optional<GlobalAttention> policy,
                                            std::span<const int32_t> positions, int64_t num_tokens);

}  // namespace longspan
