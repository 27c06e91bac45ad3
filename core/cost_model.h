// CostModel: the predicted seconds and bytes of a batch, from the shapes of its texts alone
// (text_shape.h). Admission and batching count in them.
//
//   seconds = a + b * sum(linear FLOP) + c * sum(attention FLOP) + d * sum(further vectors)
//
// The FLOP follow from the shapes of the layers. Those of attention count pairs of a query and a
// key. A text of n tokens has about n * (2 w + 1) pairs with a window of w tokens on each side, n *
// k in each LSH round whose queries see k keys, and n^2 with dense attention. Each global token
// adds n pairs as a key, and as a query 4 H E n FLOP by the reassociated form of its row
// (core/attention/global_row_attention.cc), or with many globals the direct form: 4 E^2 n for the
// projections of all tokens and 4 E n for each global. Calibrate sets the prices a, b and c from
// batches that were measured at warm-up, and CalibratePooling d; before that they are guesses. The
// first vector of a text is part of what Calibrate saw.
//
// Thread safety: const methods may be called from any thread once Calibrate has returned. Proven by
// cost_model_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_info.h"
#include "core/text_shape.h"

namespace longspan {

class CostModel {
 public:
  // `on_backend`: the model runs on a backend (core/layers/placement.h), where layers take all rows
  // at once; only BatchBytes depends on it.
  explicit CostModel(const ModelInfo& info, bool on_backend = false);

  // One measured batch.
  struct Sample {
    std::vector<TextShape> texts;
    double seconds = 0;
  };
  // Fits the prices to the samples; samples without texts or time are left out, and without any
  // usable sample nothing changes.
  void Calibrate(std::span<const Sample> samples);

  // Sets the seconds that one more vector of a text takes: pooled, through the Dense modules,
  // normalised, handed over.
  void CalibratePooling(double seconds_per_vector);

  double LinearFlop(const TextShape& text) const;      // of the linear layers, for one text
  double AttentionFlop(const TextShape& text) const;   // of scores and values, for one text
  double PoolingSeconds(const TextShape& text) const;  // of the vectors behind the first one
  // The seconds by which one more text makes a batch longer.
  double TextSeconds(const TextShape& text) const;
  double BatchSeconds(std::span<const TextShape> texts) const;
  // Of activations, at their peak; on a backend those of the device, where each operation is
  // PortableBackend's. Kernels that keep less in between take less.
  int64_t BatchBytes(std::span<const TextShape> texts) const;

 private:
  int64_t BytesOnBackend(std::span<const TextShape> texts) const;

  ModelInfo info_;
  bool on_backend_ = false;
  // Before Calibrate: a millisecond for each batch, 100 GFLOP/s in linear layers and half of that
  // in attention, and 5 ns for each value of a vector.
  double fixed_seconds_ = 1e-3;
  double seconds_per_linear_flop_ = 1.0 / 100e9;
  double seconds_per_attention_flop_ = 1.0 / 50e9;
  double seconds_per_vector_;
};

}  // namespace longspan
