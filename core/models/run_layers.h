// RunLayers: the run through the layers of a model. It is the same for every architecture but
// Reformer, whose layers work on two streams. A layer type has
//
//   // x [T, E] becomes the layer's output.
//   void Forward(PackedPass& pass, at::Tensor& x) const;
//   // The output rows of the first token of each text alone, [B, E].
//   at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/layer_recordings.h"
#include "core/models/model.h"
#include "core/models/packed_pass.h"

namespace longspan {

// Layer i of the model. Where only first rows are wanted, the last layer computes no others.
template <typename Layer>
void RunLayer(const std::vector<Layer>& layers, size_t i, PackedPass& pass, at::Tensor& x) {
  if (i + 1 == layers.size() && pass.first_row_only()) {
    x = layers[i].ForwardFirstRows(pass, x);
  } else {
    layers[i].Forward(pass, x);
  }
}

// x [T, E] is the embedding output. Between layers dropped texts leave the pass; CANCELLED
// once all of them are dropped. `recordings` are those of these layers. `last`: see
// PackedPass::Result.
template <typename Layer>
absl::StatusOr<HiddenStates> RunLayers(const std::vector<Layer>& layers, at::Tensor x,
                                       PackedPass& pass, LayerRecordings& recordings,
                                       PackedPass::RowFunction last = {}) {
  pass.Observe(0, x);
  x = x.to(pass.placement().row_type());
  if (absl::Status status = pass.DropTexts(x); !status.ok()) return status;
  if (pass.may_be_recorded()) {
    std::optional<at::Tensor> out =
        recordings.TryRun(pass, x, [&layers](PackedPass& same, at::Tensor rows) {
          for (size_t i = 0; i < layers.size(); ++i) RunLayer(layers, i, same, rows);
          return rows;
        });
    if (out.has_value()) return pass.Result(*std::move(out), std::move(last));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (i > 0) {
      if (absl::Status status = pass.DropTexts(x); !status.ok()) return status;
    }
    RunLayer(layers, i, pass, x);
    pass.Observe(static_cast<int>(i) + 1, x);
  }
  return pass.Result(std::move(x), std::move(last));
}

}  // namespace longspan
