// CostModel: the predicted seconds and bytes of a batch, from its lengths alone. Admission and
// batching count in them.
//
//   seconds = a + b * sum(linear FLOP) + c * sum(attention FLOP)
//
// The FLOP follow from the shapes of the layers. Those of attention count pairs of a query and a
// key. A text of n tokens has about n * (2 w + 1) pairs with a window of w tokens on each side, n
// more with a global token, n * k in each LSH round whose queries see k keys, and n^2 with dense
// attention. Calibrate sets the prices a, b and c from batches that were measured at warm-up;
// before that they are guesses.
//
// Thread safety: const methods may be called from any thread once Calibrate has returned. Proven by
// cost_model_test.
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
  // Fits the prices to the samples; samples without texts or time are left out, and without any
  // usable sample nothing changes.
  void Calibrate(std::span<const Sample> samples);

  double LinearFlop(int64_t num_tokens) const;     // of the linear layers, for one text
  double AttentionFlop(int64_t num_tokens) const;  // of scores and values, for one text
  // The seconds by which one more text makes a batch longer.
  double TextSeconds(int64_t num_tokens) const;
  double BatchSeconds(std::span<const int64_t> lengths) const;
  // Of activations, at their peak. Never less than a pass takes with the model's default global
  // tokens, whatever is pooled; proven by pass_bytes_test. `num_hashes`: rounds of LSH attention; 0 =
  // the model's own.
  int64_t BatchBytes(std::span<const int64_t> lengths, int32_t num_hashes = 0) const;

 private:
  ModelInfo info_;
  // Before Calibrate: a millisecond for each batch, 100 GFLOP/s in linear layers and half of that
  // in attention.
  double fixed_seconds_ = 1e-3;
  double seconds_per_linear_flop_ = 1.0 / 100e9;
  double seconds_per_attention_flop_ = 1.0 / 50e9;
};

}  // namespace longspan
