// PackedPass: which texts are still in a running forward pass, and where their rows lie. Every
// model but Reformer drives its layers through it (run_layers.h):
//
//   PackedPass pass(batch, options, placement);
//   at::Tensor x = embeddings(batch);  // [T, E]
//   for (const Layer& layer : layers) {
//     if (absl::Status status = pass.DropTexts(x); !status.ok()) return status;
//     layer.Forward(pass, x);  // takes pass.Layout(window) for its attention
//   }
//   return pass.Result(x);
//
// A text that nobody waits for any more leaves between two layers, and its rows leave with it, so
// the rest of the pass costs less. Attention never crosses from one text to another, so the texts
// that stay get the same result. Example with texts of 3, 2 and 4 tokens, the middle one dropped:
//   cu_seqlens [0 3 5 9] -> [0 3 7],  rows of x 0 1 2 [3 4] 5 6 7 8 -> 0 1 2 5 6 7 8
// Taking rows out copies those that stay once: O(T·E) for each layer after which a text leaves.
//
// On a backend the layouts that it gives lie there too. Each kind of layout is uploaded once, and
// anew after texts have left.
//
// Lives for one pass on one thread. The batch and the options must outlive it. Proven by
// encoder_test, converted_encoder_test, row_blocks_test and batch_mixes_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/attention/packed_layout.h"
#include "core/layers/placement.h"
#include "core/models/model.h"
#include "core/token_batch.h"

namespace longspan {

class PackedPass {
 public:
  // A global token that the attention mask leaves out is not global.
  PackedPass(const TokenBatch& batch, const ForwardOptions& options,
             const Placement& placement = {});

  // The seam before a layer: calls at_seam, then takes out the rows of the texts that are dropped.
  // CANCELLED once every text is dropped.
  absl::Status DropTexts(at::Tensor& hidden);

  // The seam inside a layer of a long pass, after each RowsPerPause rows or as much other work:
  // calls at_seam, where the caller may run other passes. False: every text is dropped, so stop;
  // the rows need not be right, and the next DropTexts is CANCELLED. Layouts stay valid.
  bool Continue() const;

  // A long pass pauses often this way, and the matrix products still run at full speed. One thread
  // works block after block (row_blocks.h), so it may pause after each. A team takes as many rows
  // at once as give each of two threads two blocks: the thread that is free first takes the next.
  static int64_t RowsPerPause();
  static constexpr int64_t kRowsPerPauseOfThread = 512;
  static constexpr int64_t kRowsPerPauseOfTeam = 2048;

  // Borders of texts, globals and mask of the rows as they lie now. Every text gets the one-sided
  // `window`, but a text of at most `dense_up_to` tokens sees all of itself. Valid until the next
  // call of Layout or DropTexts.
  PackedLayout Layout(int64_t window, int64_t dense_up_to = 0);
  // The same of the texts [begin, end) alone, as if they were the batch; without globals. Valid
  // until the next call of Part, Layout or DropTexts.
  PackedLayout Part(int64_t begin, int64_t end, int64_t window);
  // Brings a layout that the caller has changed to where the model is. Valid as long as that of
  // Layout.
  void Place(PackedLayout& layout);

  // True: of each text that is still in, only row 0 of the last layer is wanted.
  bool first_row_only() const;
  // All that the layers' work depends on beside the rows: two passes of a model that are the same
  // here put the same operations on a backend's queue.
  std::string Shape() const;
  // A pass over the texts that are still in, for nobody: it has no seams, no text is dropped,
  // nothing is observed, and it may outlive the batch and the options. It makes no Result.
  PackedPass Unattended() const;
  const Placement& placement() const { return placement_; }
  // The first row of each text: x [num_rows(), E] -> [num_texts(), E].
  at::Tensor FirstRows(const at::Tensor& x) const;
  bool has_globals() const { return !globals_.empty(); }
  const std::vector<int32_t>& cu_seqlens() const { return cu_seqlens_; }
  int64_t num_texts() const { return static_cast<int64_t>(texts_.size()); }
  int64_t num_rows() const { return cu_seqlens_.back(); }
  int64_t length(int64_t position) const {
    return cu_seqlens_[position + 1] - cu_seqlens_[position];
  }

  // Whether the layers may be run as a recording: nobody observes them, and the caller allows it.
  bool may_be_recorded() const { return options_->may_be_recorded && !options_->observe_layer; }
  // Hands the rows to options.observe_layer, where a test or a tool has set it.
  void Observe(int layer, const at::Tensor& hidden) const;

  // `hidden` has all rows [T, E], or, after a last layer that made one row for each text,
  // [num_texts(), E]. `last` is applied to each block of rows as it is read (a final norm).
  using RowFunction = std::function<at::Tensor(const at::Tensor& rows)>;
  HiddenStates Result(at::Tensor hidden, RowFunction last = {}) const;

 private:
  void AtSeam() const;
  // Keeps the texts at these positions, and their rows of `hidden`.
  void KeepTexts(const std::vector<int32_t>& positions, at::Tensor& hidden);

  // Which layout: windows and the texts [begin, end) that it is of.
  struct LayoutKey {
    int64_t window = 0;
    int64_t dense_up_to = 0;  // -1 in those of Part
    int64_t begin = 0;
    int64_t end = 0;
    friend auto operator<=>(const LayoutKey&, const LayoutKey&) = default;
  };
  // On a backend: gives the layout its uploaded form, which is made where it was not yet.
  void PlaceOnce(const LayoutKey& key, PackedLayout& layout);

  const TokenBatch* batch_;
  const ForwardOptions* options_;
  Placement placement_;
  // Of the texts that are still in, in order.
  std::vector<int32_t> texts_;         // index in the batch
  std::vector<int32_t> cu_seqlens_;    // [num_texts() + 1]
  std::vector<int32_t> globals_;       // rows of global tokens, ascending
  std::vector<int32_t> cu_globals_;    // [num_texts() + 1], borders of texts in globals_
  std::vector<uint8_t> mask_;          // [num_rows()], 0 = not read; empty = all are read
  std::vector<bool> first_row_only_;   // [num_texts()], or empty = of no text
  std::vector<int64_t> windows_;       // [num_texts()], of the last Layout or Part
  std::vector<int32_t> part_seqlens_;  // [texts + 1], of the last Part

  // On a backend, of the texts that are still in.
  std::map<LayoutKey, std::shared_ptr<const DeviceLayout>> uploaded_;
  std::shared_ptr<const DeviceLayout> placed_;  // of the last Place

  // Continue has said stop: the pass reaches no further seam.
  mutable bool stopped_ = false;
};

}  // namespace longspan
