// Layers built straight from a WeightMap. A weight that is missing or of another shape is recorded
// in the map, and the layer cannot be used. The loader calls weights.Finish() before anyone uses
// the model (load_model.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"
#include "core/layers/placement.h"
#include "core/model_info.h"
#include "core/weights/weight_map.h"

namespace longspan {

// The matrix of a linear layer that is held in the placement's type. A value that this type does
// not reach is an error, which the map keeps.
at::Tensor TakeMatrix(WeightMap& weights, const std::string& name,
                      const std::vector<int64_t>& shape, const Placement& placement);

// NAME.weight [out, in] and, where `bias`, NAME.bias [out].
Linear TakeLinear(WeightMap& weights, const std::string& name, int64_t out, int64_t in,
                  const Placement& placement, Activation activation = Activation::kNone,
                  bool bias = true);

// NAME.weight [size] and, where `bias`, NAME.bias [size].
LayerNorm TakeLayerNorm(WeightMap& weights, const std::string& name, int64_t size, double eps,
                        const Placement& placement, bool bias = true);

// Bytes that the weights of a model take in memory: those of linear layers in the placement's type,
// all others in float32; on a backend all of them in its storage type.
int64_t WeightBytes(int64_t num_parameters, int64_t num_linear_parameters,
                    const Placement& placement);

}  // namespace longspan
