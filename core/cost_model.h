// CostModel: predicted seconds and bytes of a batch from its lengths alone, per architecture; what
// admission and batching count in.
//   seconds = a + b * sum(linear FLOP) + c * sum(attention FLOP)        FLOP from the layers' shapes (n*w + g*n for windows,
//   n * rounds * chunk for LSH, n^2 for dense); a, b, c are set by Calibrate from measured batches at warm-up.
// Const methods are thread safe once Calibrate has returned.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_info.h"

namespace longspan {

class CostModel {
 public:
  explicit CostModel(const ModelInfo& info);

  // One measured batch.
  struct Sample {
    std::vector<int64_t> lengths;  // tokens of each text
    double seconds = 0;
  };
  void Calibrate(std::span<const Sample> samples);

  double LinearFlop(int64_t num_tokens) const;     // linear layers of one text
  double AttentionFlop(int64_t num_tokens) const;  // scores and values of one text
  double TextSeconds(
      int64_t num_tokens) const;  // marginal predicted seconds of one text in a batch
  double BatchSeconds(std::span<const int64_t> lengths) const;
  int64_t BatchBytes(std::span<const int64_t> lengths) const;  // activations at their peak

 private:
  ModelInfo info_;
  double fixed_seconds_ = 1e-3;
  double seconds_per_linear_flop_ = 1.0 / 100e9;
  double seconds_per_attention_flop_ = 1.0 / 50e9;
};

}  // namespace longspan
