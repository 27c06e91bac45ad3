// ConvertToWindowed: a dense BERT / RoBERTa / XLM-RoBERTa / MiniLM folder into the Longformer
// layout, for texts of any length.
//
// The weights stay as they are; three things are added (the recipe of arXiv 2004.05150, sec. 5):
//   - attention_window on every layer, and local projections copied to the global ones;
//   - the position table moved to where a Longformer looks (row pad + 1 + i for the i-th token);
//   - config.json's object "longspan": {"dense_up_to": N, "position_period": N - 1, "positions_skip_pad": false for BERT, which
//     numbers pad ids inside a text like any token, else true, "default_global_attention": "cls"}.
// Texts up to N tokens (all positions that the source was trained on) run with full attention: the
// source model exactly. In longer texts position 0 keeps its row and 1..N-1 repeat for ever: row of
// token i = i == 0 ? 0 : 1 + (i - 1) mod (N - 1). The table is never enlarged: length is bounded by
// memory and limits, not by positions. Limits of the source's tokenizer and sentence-transformers
// files (max_seq_length, model_max_length) are dropped, everything else is copied.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace longspan {

struct ConvertOptions {
  int64_t window = 256;  // total, as in attention_window: half on each side; even, >= 2
  std::string default_global_attention = "cls";  // above dense_up_to: "cls" or "none"
};

// Errors are one line: unsupported source, unreadable or missing weights, an output folder that is
// not empty.
absl::Status ConvertToWindowed(const std::string& source_dir, const std::string& output_dir,
                               const ConvertOptions& options);

}  // namespace longspan
