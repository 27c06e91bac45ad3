// EncoderModel: what every architecture gives to Encoder. Packed token ids go in, hidden states
// come out. A model is written once per architecture, never per device: its layers and attention
// are told by a Placement where they run.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/layers/placement.h"
#include "core/model_info.h"
#include "core/recording_counts.h"
#include "core/token_batch.h"

namespace longspan {

class AttentionObserver;
class Backend;
class ModelFolder;

// The rows of a pass that ran on a backend (core/backend/backend.h).
struct DeviceRows {
  const Backend* backend = nullptr;
  at::Tensor rows;  // [rows of the model's own layout, token_dimensions], on the device
  std::function<at::Tensor(const at::Tensor& rows)> last;  // what is left to do; empty = nothing

  // Finishes some of the rows.
  at::Tensor Finish(const at::Tensor& some) const { return last ? last(some) : some; }
};

// The token vectors of one forward pass. A model may make the rows only when they are read;
// Reformer applies its last LayerNorm then. Read them in blocks, so that [T, token_dimensions]
// never exists as a whole. Rows of a backend are copied to the host as they are read.
class HiddenStates {
 public:
  // `rows(begin, end)` gives [end - begin, token_dimensions] float32 of the model's own layout.
  // `text_begin[i]` is the first row of text i there. A model that pads its texts has more rows
  // than the batch has tokens.
  using RowSource = std::function<at::Tensor(int64_t begin, int64_t end)>;
  HiddenStates(RowSource rows, std::vector<int64_t> text_begin)
      : rows_(std::move(rows)), text_begin_(std::move(text_begin)) {}
  HiddenStates(DeviceRows rows, std::vector<int64_t> text_begin)
      : rows_([rows](int64_t begin, int64_t end) {
          return rows.Finish(rows.rows.slice(0, begin, end)).to(at::kFloat).cpu();
        }),
        text_begin_(std::move(text_begin)),
        on_backend_(std::move(rows)) {}

  // Rows [begin, end) of text i, 0 = its first token.
  at::Tensor Rows(int32_t text, int64_t begin, int64_t end) const {
    return rows_(text_begin_[text] + begin, text_begin_[text] + end);
  }
  // The row of the model's own layout where text i begins.
  int64_t text_begin(int32_t text) const { return text_begin_[text]; }
  // Where the rows are on a device; null = they are on the host.
  const DeviceRows* on_backend() const { return on_backend_ ? &*on_backend_ : nullptr; }

 private:
  RowSource rows_;
  std::vector<int64_t> text_begin_;
  std::optional<DeviceRows> on_backend_;
};

struct ForwardOptions {
  // Called before each layer, and at the pauses inside the layers of a long pass
  // (PackedPass::Continue). Empty = nobody listens. The encoder itself calls it after the last
  // layer.
  std::function<void()> at_seam;
  // Asked after each seam; it must change nothing. True = this text's rows need not be right any
  // more. Once all texts are dropped, Forward returns CANCELLED. Empty = every text is wanted.
  std::function<bool(int32_t text)> is_dropped;
  // Per text: true = only row 0 of the last layer will be read (cls pooling). A model may skip the
  // other rows where all texts say so. Empty = all rows are read.
  std::vector<bool> first_row_only;
  // Whether a backend may repeat a run of the layers that it has recorded (layer_recordings.h), in
  // which there are no seams.
  bool may_be_recorded = true;
  // For tests and tools: called with the embedding output (layer 0) and after each layer (1..N).
  // `hidden` is [T, hidden_size], packed without padding.
  std::function<void(int layer, const at::Tensor& hidden)> observe_layer;
  // For tests and tools: is told of every attention before it runs, layer by layer
  // (core/attention/attention_observer.h). Null = nobody watches. On a backend nobody can.
  AttentionObserver* observe_attention = nullptr;
};

class EncoderModel {
 public:
  virtual ~EncoderModel() = default;

  // The part of ModelInfo that the architecture knows: shapes, layers, limits. Pooling, prompts and
  // the folder's name are not in it.
  virtual const ModelInfo& info() const = 0;
  // Thread safe. The texts were validated before (Encoder::Validate). CANCELLED once all texts are
  // dropped. Exceptions of LibTorch pass through; Encoder catches them.
  virtual absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch,
                                               const ForwardOptions& options) const = 0;
  // Gives back what is kept on a device beside the weights.
  virtual void FreeKept() const {}
  // Of the runs of its layers that a backend records; zeros where none is.
  virtual RecordingCounts recordings() const { return {}; }
};

// Builds the model of folder.model_type() (registry.cc has the list). UNIMPLEMENTED names the type
// and the known ones. FAILED_PRECONDITION: the folder holds int8 weights and the placement's dtype
// is another. Errors of the config and the weights pass through.
absl::StatusOr<std::unique_ptr<EncoderModel>> LoadEncoderModel(const ModelFolder& folder,
                                                               const Placement& placement);

}  // namespace longspan
