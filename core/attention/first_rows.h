// What the last layer needs when only the first token of each text is read (cls pooling): the rows
// its attention sees.
//   text of 9 tokens, w = 2, globals {5}:   rows 0 1 2 | 5     of 9
// Proven by first_row_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/attention/packed_layout.h"

namespace longspan {

struct FirstRowKeys {
  std::vector<int64_t> rows;              // rows of the packed batch, text after text
  std::vector<int32_t> cu_seqlens = {0};  // seams among `rows`
  std::vector<uint8_t> key_mask;          // of `rows`; empty = all read
  std::vector<int32_t>
      global_firsts;  // first tokens that are global themselves: they need no key of `rows`
  std::vector<int32_t> cu_global_firsts = {0};  // per text: 0 or 1 of them
};
FirstRowKeys KeysOfFirstRows(const PackedLayout& layout);

// Row cu_seqlens[i] of x for each text i.
at::Tensor FirstRows(const at::Tensor& x, std::span<const int32_t> cu_seqlens);

}  // namespace longspan
