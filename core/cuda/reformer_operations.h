// Reformer's operations of a backend (core/backend/backend.h) by the kernels of lsh_kernels.h. They
// are free functions for the backend of a card. Each says whether the kernels take what it is
// given; where they do not, the caller goes to the portable operation:
//
//   at::Tensor order;
//   if (TrySortByBucket(exact, run, stream, order)) return order;
//   return PortableBackend::SortByBucket(exact, run);
//
// The kernels take heads of 32, 64 or 128 and, but for hashing, which is float32, rows of bfloat16.
//
// Work is put on `stream`, which must be the stream that LibTorch allocates on; nothing is waited
// for. Throws c10::Error where a launch fails. Thread safe. Proven by reformer_operations_test, on
// the emulated device.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/backend/backend.h"
#include "core/cuda/kernels/runtime_api.h"

namespace longspan::cuda {

// Puts what the kernels read of a run into run.prepared; for Backend::PrepareChunks. Runs that the
// kernels do not take get less, or nothing.
void PrepareChunkRun(const Backend& backend, ChunkRun& run, cudaStream_t stream);

// Backend::SortByBucket. Texts and buckets that do not fit the 32 bits of a sort key are not taken.
bool TrySortByBucket(const at::Tensor& exact, const ChunkRun& run, cudaStream_t stream,
                     at::Tensor& order);
// Backend::AttendChunks.
bool TryAttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& order, const ChunkRun& run, cudaStream_t stream,
                     at::Tensor& out, at::Tensor& lse);
// Backend::MergeRounds.
bool TryMergeRounds(const at::Tensor& parts, const at::Tensor& lse, cudaStream_t stream,
                    at::Tensor& out);

}  // namespace longspan::cuda
