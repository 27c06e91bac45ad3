// OutputHead: from a pooled vector to the vector that a caller gets: the Dense modules of the
// sentence-transformers folder, the Matryoshka cut, normalisation. Thread safe after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"

namespace longspan {

class OutputHead {
 public:
  // pooled_width: values that the model's own pooling gives; must be what the first Dense takes.
  static absl::StatusOr<std::unique_ptr<OutputHead>> Load(const ModelFolder& folder,
                                                          int64_t pooled_width);
  ~OutputHead();

  int64_t output_width() const { return output_width_; }
  int64_t num_parameters() const { return num_parameters_; }

  // y = activation(x W^T + b) (+ x, or + x R^T) for each module in turn.
  std::vector<float> ApplyDense(std::vector<float> pooled) const;

 private:
  struct Dense;
  OutputHead();

  std::vector<Dense> dense_;
  int64_t output_width_ = 0;
  int64_t num_parameters_ = 0;
};

}  // namespace longspan
