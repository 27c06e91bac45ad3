// PackedPass: who is still in a running forward pass, and where their rows lie. Every model drives
// its layers through it:
//
//   PackedPass pass(batch, options);
//   at::Tensor x = embeddings(batch);
//   for (each layer) { RETURN_IF_ERROR(pass.DropTexts(x)); x = layer(x, pass.Layout(window)); }
//   return pass.Result(x);
//
// Texts that nobody waits for any more leave between layers with their rows, so that the rest of
// the pass is cheaper by them; attention never crosses a seam, so the others do not notice.
// Example, texts of 3, 2, 4 tokens, the middle one dropped:
//   cu_seqlens [0 3 5 9] -> [0 3 7],  rows of x 0 1 2 [3 4] 5 6 7 8 -> 0 1 2 5 6 7 8
// Lives for one pass on one thread. Proven by encoder_test, converted_encoder_test and
// batch_mixes_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "core/attention/packed_layout.h"
#include "core/models/model.h"
#include "core/token_batch.h"

namespace longspan {

class PackedPass {
 public:
  // Global flags on tokens that are not read are dropped here (padding wins). The batch and options
  // must outlive the pass.
  PackedPass(const TokenBatch& batch, const ForwardOptions& options);

  // The seam before a layer: calls at_seam, then takes out the rows of the texts that are dropped.
  // CANCELLED once every text is dropped.
  absl::Status DropTexts(at::Tensor& hidden);

  // The seam inside a layer of a long pass, after each kRowsPerPause rows or as much other work:
  // calls at_seam, where the caller may run other passes. False: every text is dropped, so stop;
  // the rows need not be right, and the next DropTexts is CANCELLED. Layouts stay valid.
  bool Continue() const;
  static constexpr int64_t kRowsPerPause = 2048;

  // The seams, globals and mask of the rows as they lie now, with one window for all texts, but the
  // whole text for texts of at most dense_up_to tokens. Valid until the next call of Layout or
  // DropTexts.
  PackedLayout Layout(int64_t window, int64_t dense_up_to = 0);

  // True: every text still in wants only row 0 of the last layer.
  bool first_row_only() const;
  bool has_globals() const { return !globals_.empty(); }
  const std::vector<int32_t>& cu_seqlens() const { return cu_seqlens_; }
  int64_t num_texts() const { return static_cast<int64_t>(texts_.size()); }
  int64_t num_rows() const { return cu_seqlens_.back(); }
  // Index in the batch of the text that now lies at `position`.
  int32_t text(int64_t position) const { return texts_[position]; }
  int64_t length(int64_t position) const {
    return cu_seqlens_[position + 1] - cu_seqlens_[position];
  }

  // For tests: hands the rows to options.observe_layer.
  void Observe(int layer, const at::Tensor& hidden) const;

  // All rows [T, E], or, after a last layer that made one row for each text, [num_texts(), E].
  // `last` is applied to each block of rows as it is read (a final norm).
  using RowFunction = std::function<at::Tensor(const at::Tensor& rows)>;
  HiddenStates Result(at::Tensor hidden, RowFunction last = {}) const;

 private:
  void AtSeam() const;
  void KeepTexts(const std::vector<int32_t>& positions, at::Tensor& hidden);

  const TokenBatch& batch_;
  const ForwardOptions& options_;
  std::vector<int32_t> texts_;
  std::vector<int32_t> cu_seqlens_;
  std::vector<int32_t> globals_;
  std::vector<int32_t> cu_globals_;
  std::vector<uint8_t> mask_;
  std::vector<int64_t> windows_;
};

}  // namespace longspan
