// PackedModel: token embeddings, then layers of one type, over packed texts that need no padding
// (BERT, RoBERTa, Longformer, LED). `Layer` is a layer type of run_layers.h. Thread safe after
// construction.
#pragma once

#include <utility>
#include <vector>

#include "core/models/model.h"
#include "core/models/packed_pass.h"
#include "core/models/run_layers.h"
#include "core/models/token_embeddings.h"

namespace longspan {

template <typename Layer>
class PackedModel final : public EncoderModel {
 public:
  PackedModel(TokenEmbeddings embeddings, std::vector<Layer> layers, ModelInfo info,
              const Placement& placement)
      : embeddings_(std::move(embeddings)),
        layers_(std::move(layers)),
        info_(std::move(info)),
        placement_(placement),
        recordings_(placement) {}

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<HiddenStates> Forward(const TokenBatch& batch,
                                       const ForwardOptions& options) const override {
    PackedPass pass(batch, options, placement_);
    return RunLayers(layers_, embeddings_(batch), pass, recordings_);
  }
  void FreeKept() const override { recordings_.Clear(); }
  RecordingCounts recordings() const override { return recordings_.counts(); }

 private:
  TokenEmbeddings embeddings_;
  std::vector<Layer> layers_;
  ModelInfo info_;
  Placement placement_;
  mutable LayerRecordings recordings_;
};

}  // namespace longspan
