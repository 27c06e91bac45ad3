// RunLayers: the run through the layers of a model. It is the same for every architecture but
// Reformer, whose layers work on two streams. A layer type has
//
//   // x [T, E] becomes the layer's output.
//   void Forward(PackedPass& pass, at::Tensor& x) const;
//   // The output rows of the first token of each text alone, [B, E].
//   at::Tensor ForwardFirstRows(PackedPass& pass, const at::Tensor& x) const;
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/model.h"
#include "core/models/packed_pass.h"

namespace longspan {

// x [T, E] is the embedding output. Between layers dropped texts leave the pass; CANCELLED
// once all of them are dropped. Where only first rows are wanted, the last layer computes no
// others. `last`: see PackedPass::Result.
template <typename Layer>
absl::StatusOr<HiddenStates> RunLayers(const std::vector<Layer>& layers, at::Tensor x,
                                       PackedPass& pass, PackedPass::RowFunction last = {}) {
  pass.Observe(0, x);
  x = x.to(pass.placement().row_type());
  for (size_t i = 0; i < layers.size(); ++i) {
    if (absl::Status status = pass.DropTexts(x); !status.ok()) return status;
    const bool first_rows = i + 1 == layers.size() && pass.first_row_only();
    if (first_rows) x = layers[i].ForwardFirstRows(pass, x);
    if (!first_rows) layers[i].Forward(pass, x);
    pass.Observe(static_cast<int>(i) + 1, x);
  }
  return pass.Result(std::move(x), std::move(last));
}

}  // namespace longspan
