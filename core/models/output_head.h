// OutputHead: the Dense modules of a sentence-transformers folder.
//
// It applies them to one pooled vector, or to the rows of tokens of a multi-vector model, in the
// order of the folder. The Matryoshka cut and the
// normalisation behind it are the encoder's (CutAndNormalize in core/pooling.h). A folder without
// Dense modules gives a head that returns its input. The weights are float32 in every data type.
// Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"

namespace longspan {

class OutputHead {
 public:
  // pooled_width: how many values the model's own pooling gives; the first Dense must take as many.
  // INVALID_ARGUMENT names the module whose width or weights do not fit, UNIMPLEMENTED the one
  // whose activation is not known.
  static absl::StatusOr<std::unique_ptr<OutputHead>> Load(const ModelFolder& folder,
                                                          int64_t pooled_width);
  ~OutputHead();

  int64_t output_width() const { return output_width_; }      // values of the last module's result
  int64_t num_parameters() const { return num_parameters_; }  // of all modules

  // y = activation(x W^T + b) for each module in turn, plus x or x R^T where the module has a
  // residual. pooled: [pooled_width]; the result: [output_width()].
  std::vector<float> ApplyDense(std::vector<float> pooled) const;
  // The same of each row: [n, pooled_width] float32 -> [n, output_width()].
  at::Tensor ApplyDense(at::Tensor rows) const;

 private:
  struct Dense;
  OutputHead();

  std::vector<Dense> dense_;
  int64_t output_width_ = 0;
  int64_t num_parameters_ = 0;
};

}  // namespace longspan
