// What the last layer needs when only the first token of each text is read (cls pooling): the rows
// that this token sees.
//   text of 9 tokens, window W = 2, token 5 is global:  rows 0 1 2 5 of 9
// Proven by first_row_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/attention/packed_layout.h"

namespace longspan {

struct FirstRowKeys {
  std::vector<int64_t> rows;              // rows of the packed batch, text after text
  std::vector<int32_t> cu_seqlens = {0};  // [B+1], borders of texts in `rows`
  std::vector<uint8_t> key_mask;          // of `rows`, 0 = not read; empty = all are read
  // First tokens that are global themselves. They see their text through projections of their own
  // (global_row_attention.h), so their texts have no rows in `rows`.
  std::vector<int32_t> global_firsts;
  std::vector<int32_t> cu_global_firsts = {0};  // [B+1], borders of texts: 0 or 1 of them each
};
FirstRowKeys KeysOfFirstRows(const PackedLayout& layout);

}  // namespace longspan
