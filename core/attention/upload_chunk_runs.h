// UploadChunkRuns: what a backend needs of a Reformer's batch (core/backend/chunk_run.h), made of
// the texts as they lie in the packed rows. Proven by upload_chunk_runs_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/attention/local_chunk_attention.h"
#include "core/backend/backend.h"

namespace longspan {

// The random rotations that hash some texts, on a backend. The same as LshRotations of the CPU
// (lsh_attention.h), without the columns of zeros.
struct DeviceRotations {
  int32_t num_rounds = 0;
  std::vector<int32_t> factors;  // whose product is the number of buckets of a round
  at::Tensor values;             // [H, D, num_rounds * sum(factors) / 2] float32
};

// texts     : one behind the other from row 0 on, without gaps
// read      : [rows] bool on the backend, whether a row is read; undefined = all are
// rotations : of each text, null = it is no longer than a chunk. Neighbours with the same ones
//             share a run. Empty = a local layer, where all texts share one.
// Throws c10::Error where a text's length does not fit its rotations or the chunks.
std::vector<ChunkRun> UploadChunkRuns(const Backend& backend, const ChunkShape& shape,
                                      std::span<const ChunkedText> texts, const at::Tensor& read,
                                      std::span<const DeviceRotations* const> rotations = {});

}  // namespace longspan
