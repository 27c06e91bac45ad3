// ChunkRun: neighbouring texts of a batch that one call of Reformer's attention of chunks serves,
// as a backend needs them. Runs are made once a batch, so that no layer waits for the device;
// core/attention/upload_chunk_runs.h makes them.
//
// All texts of a run share the rotations that hash them, because a kernel takes one set. A text of
// at most one chunk is not hashed and joins any run. In local layers all texts stand in one run.
// Example, chunks of 64, and the number of buckets follows from the length:
//   lengths 40 128 128 30 256  ->  runs [40 128 128 30] and [256]
//
// Slots are places in the order by buckets. Those of a head are [R, rows]: the slots of a text in
// round r are its rows of that round, so texts and rounds do not mix. Example, two texts of 4 rows,
// chunks of 2, 2 rounds:
//   slots  [ round 0: text 0 | text 1 ][ round 1: text 0 | text 1 ]
//   the chunks of text 0 are a circle: 0 1 of round 0, then 2 3 of round 1; chunk 2 looks back at 1
//
// A plain value. Tensors are on the device of the backend.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/local_chunk_attention.h"

namespace longspan {

struct ChunkRun {
  int64_t row_begin = 0;  // rows [row_begin, row_end) of the batch
  int64_t row_end = 0;
  kernels::ChunkShape shape;
  // [B+1], the first row of each text and the number of rows; they count from the run's first row.
  // A text is padded to whole chunks, or it is no longer than one chunk.
  std::vector<int32_t> text_begin = {0};
  at::Tensor text_begin_on_device;  // [B+1] int32
  at::Tensor read;                  // [rows] bool, whether a row is read; undefined = all are

  int32_t num_rounds = 1;  // R
  // Their product is the number of buckets of a round; empty = no text of the run is hashed.
  std::vector<int32_t> factors;
  at::Tensor rotations;  // [H, D, R * sum(factors) / 2] float32; undefined likewise

  std::vector<at::Tensor> prepared;  // what Backend::PrepareChunks put there for its own kernels

  int64_t num_rows() const { return row_end - row_begin; }
  int64_t num_texts() const { return static_cast<int64_t>(text_begin.size()) - 1; }
};

}  // namespace longspan
