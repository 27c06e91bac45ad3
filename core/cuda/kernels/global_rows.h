// GlobalRowAverages: the rows of global tokens on the device, in the reassociated form that
// core/attention/global_row_attention.cc explains (Longformer, arXiv 2004.05150, sec. 3.1). A query
// u is a head of a global token; over the rows t of its text
//
//   p = softmax_t(u . hidden_t),   average = sum_t p_t hidden_t
//
// It is attention of all heads and globals of a text to keys that are the values, as wide as the
// model. One call does all texts of a batch. Texts are cut in chunks of rows, and a block has one
// chunk and one tile of up to kGlobalRowsQueries queries. What it makes of its chunk (the sums, not
// yet divided, and the largest score) is a part; a second kernel merges the parts of a text, in
// order. A text of one chunk has no parts.
//
//   12 heads, 2 globals -> 24 queries -> tiles of 16 and 8;  1,500 rows -> chunks of 512, 512, 476
//   6 blocks, each with a part; 2 merges of 3 parts
//
// Chunks and tiles follow from the text's own rows and globals, so that a text in a batch gets, bit
// for bit, what it gets alone. Proven by global_rows_plan_test and global_rows_emulation_test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/cuda/kernels/host_device.h"
#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/runtime_api.h"

namespace longspan::cuda {

inline constexpr int kGlobalRowsQueries = 16;     // of a tile
inline constexpr int kGlobalRowsMaxWidth = 1024;  // E
// Rows of a chunk, for a text of one tile. More would leave a card idle that has a few texts only,
// fewer would write more parts.
inline constexpr int kGlobalRowsChunk = 256;
inline constexpr int kGlobalRowsMaxParts = 256;  // of a merge

// Rows [row_begin, row_end) of a text and its globals, places [global_begin, global_end) among the
// G that u has. Texts without globals, and those that take another way, are not listed.
struct GlobalRowsText {
  int row_begin;
  int row_end;
  int global_begin;
  int global_end;
};

// Queries [first, first + count) of the H * num_globals of a text; query i is head i / num_globals
// of global i % num_globals.
struct GlobalRowsTile {
  int global_begin;
  int num_globals;
  int first;
  int count;  // 1 to kGlobalRowsQueries
};
struct GlobalRowsBlock {
  GlobalRowsTile queries;
  int row_begin;  // of the chunk
  int row_end;
  int part;  // which part it writes; -1 = its chunk is the whole text
};
struct GlobalRowsMerge {
  GlobalRowsTile queries;
  int first_part;
  int num_parts;  // 2 to kGlobalRowsMaxParts, in the order of the rows
};

// The row of u and of the averages, [H, G, E], that belongs to query `place` of a tile.
LONGSPAN_HOST_DEVICE int64_t GlobalRowsQuery(const GlobalRowsTile& tile, int place,
                                             int all_globals) {
  const int query = tile.first + place, head = query / tile.num_globals;
  return int64_t{1} * head * all_globals + tile.global_begin + (query - head * tile.num_globals);
}

// Rows of a chunk of a text of `rows` rows and `tiles` tiles. Many tiles keep the card busy with
// longer chunks, which leave fewer parts to write and to merge.
inline int GlobalRowsChunkRows(int rows, int tiles) {
  constexpr int kMultiple = 32;
  const int most_chunks = std::max(1, kGlobalRowsMaxParts / tiles);
  const int needed = (rows + most_chunks - 1) / most_chunks;
  return std::max(kGlobalRowsChunk * std::min(tiles, 4),
                  (needed + kMultiple - 1) / kMultiple * kMultiple);
}

// What the kernels do for a batch. It holds for all layers: the caller makes it once, and copies
// `blocks` and `merges` to the device as they are.
struct GlobalRowsPlan {
  std::vector<GlobalRowsBlock> blocks;  // those of one chunk stand together, and share its rows
  std::vector<GlobalRowsMerge> merges;
  int num_parts = 0;
};
inline GlobalRowsPlan PlanGlobalRows(const std::vector<GlobalRowsText>& texts, int heads) {
  GlobalRowsPlan plan;
  for (const GlobalRowsText& text : texts) {
    const int globals = text.global_end - text.global_begin, queries = heads * globals;
    if (queries <= 0) continue;
    const int tiles = (queries + kGlobalRowsQueries - 1) / kGlobalRowsQueries;
    const int rows = text.row_end - text.row_begin;
    const int chunk_rows = GlobalRowsChunkRows(rows, tiles);
    const int chunks = std::max(1, (rows + chunk_rows - 1) / chunk_rows);
    const auto tile_of = [&](int tile) {
      const int first = tile * kGlobalRowsQueries;
      return GlobalRowsTile{text.global_begin, globals, first,
                            std::min(kGlobalRowsQueries, queries - first)};
    };
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const int begin = text.row_begin + chunk * chunk_rows;
      for (int tile = 0; tile < tiles; ++tile) {
        plan.blocks.push_back({tile_of(tile), begin, std::min(begin + chunk_rows, text.row_end),
                               chunks == 1 ? -1 : plan.num_parts + tile * chunks + chunk});
      }
    }
    if (chunks == 1) continue;
    for (int tile = 0; tile < tiles; ++tile) {
      plan.merges.push_back({tile_of(tile), plan.num_parts + tile * chunks, chunks});
    }
    plan.num_parts += tiles * chunks;
  }
  return plan;
}

// Pointers are those of the device and aligned to 16 bytes. Letters: T rows of all texts, H heads,
// G globals that u has, E width, a multiple of 8 and at most kGlobalRowsMaxWidth.
struct GlobalRowsParams {
  const void* hidden = nullptr;  // [T, E], bfloat16 or float16
  const float* u = nullptr;      // [H, G, E], scaled as the softmax wants it
  // [T], 0 = not read: such a row counts as if it were not there, also where it holds NaNs. Null =
  // all are read.
  const uint8_t* read = nullptr;
  const GlobalRowsBlock* blocks = nullptr;  // [num_blocks], of the plan
  const GlobalRowsMerge* merges = nullptr;  // [num_merges]; may be null where there are none
  int num_blocks = 0;
  int num_merges = 0;
  int num_parts = 0;
  int num_globals = 0;  // G
  int width = 0;        // E
  // Out [H, G, E]: those of the globals of the listed texts are written; zeros for a text of which
  // nothing is read.
  float* averages = nullptr;
  void* scratch = nullptr;               // GlobalRowsScratch bytes; may be null where these are 0
  Storage storage = Storage::kBfloat16;  // of hidden
};
size_t GlobalRowsScratch(int num_parts, int width);

// Puts the work on the stream and returns at once: cudaSuccess, also where there is nothing to do,
// the error of a launch, or cudaErrorInvalidValue for widths and alignments that the kernels do not
// take. Scores, softmax and sums are float32; u is not rounded on its way to the tensor cores, and
// weights are exact to 2^-17. Compute capability 8.0 and later.
cudaError_t GlobalRowAverages(const GlobalRowsParams& params, cudaStream_t stream);

}  // namespace longspan::cuda
