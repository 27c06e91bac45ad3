// DenseModule: what the config.json of a sentence-transformers Dense module says.
//
//   y = activation(x W^T + b)              without use_residual
//   y = activation(x W^T + b) + x          with use_residual, where both sizes are equal
//   y = activation(x W^T + b) + x R^T      with use_residual, where they differ
//
// W [out, in] is "linear.weight" of the weights file, b [out] "linear.bias", R [out, in]
// "residual.weight". In a multi-vector model x is the row of a token, else the pooled vector. A
// plain value.
#pragma once

#include <cstdint>
#include <string>

namespace longspan {

struct DenseModule {
  std::string weights_path;  // model.safetensors of the module, absolute
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  std::string activation;  // "Identity", "Tanh", "ReLU", "GELU" (by erf) or "SiLU"
  bool use_residual = false;
  // The weights file holds the model's own weights too, which are not looked at.
  bool is_among_others = false;
};

}  // namespace longspan
