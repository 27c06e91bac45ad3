// ConvertToWindowed: makes a Longformer folder, for texts of any length, out of a dense BERT,
// RoBERTa, XLM-RoBERTa or MiniLM folder.
//
// The weights stay as they are. Three things are added (the recipe of arXiv 2004.05150, sec. 5):
//   - attention_window on every layer, and a copy of the local projections as the global ones;
//   - the position table in the place where a Longformer looks, row pad + 1 + i for token i;
//   - the object "longspan" in config.json, for a source with N positions:
//       "dense_up_to": N
//       "position_period": N - 1
//       "positions_skip_pad": false for BERT, which numbers a pad id inside a text like any token,
//                             else true
//       "default_global_attention": "cls", or as ConvertOptions says
// Texts up to N tokens, the lengths that the source was trained on, run with full attention and
// give what the source gives. In longer texts token 0 keeps its row and the rows 1 ... N - 1
// repeat: token i > 0 takes row 1 + (i - 1) mod (N - 1). Example, N = 512: token 511 takes row 511,
// token 512 row 1. The table is not enlarged; memory and the server's limits bound the length,
// positions do not.
//
// The limits in the source's tokenizer and sentence-transformers files (max_seq_length,
// model_max_length) are dropped. Everything else is copied. Proven by convert_test,
// converted_model_test and converted_encoder_test.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace longspan {

struct ConvertOptions {
  int64_t window = 256;  // tokens on both sides together, as in attention_window; even, >= 2
  std::string default_global_attention = "cls";  // of texts above dense_up_to: "cls" or "none"
};

// Errors are one line. INVALID_ARGUMENT: a source that cannot be converted, a window or a policy
// that is not allowed. ALREADY_EXISTS: the output folder is not empty. Errors of reading and
// writing pass through.
absl::Status ConvertToWindowed(const std::string& source_dir, const std::string& output_dir,
                               const ConvertOptions& options);

}  // namespace longspan
