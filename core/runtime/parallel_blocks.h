// ParallelBlocks: runs block(0) ... block(n - 1) on the compute team, each block whole on one
// thread (LibTorch and oneDNN calls inside run serially there). One barrier for a pass over the
// whole batch instead of one for each matrix product, and a slow core takes fewer blocks. The first
// exception ends the pass and is thrown to the caller.
#pragma once

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <atomic>
#include <cstdint>
#include <exception>

namespace longspan {

template <typename Block>
void ParallelBlocks(int64_t n, const Block& block) {
  if (n <= 1 || at::in_parallel_region() || at::get_num_threads() == 1) {
    for (int64_t i = 0; i < n; ++i) block(i);
    return;
  }
  std::exception_ptr error;
  std::atomic<bool> failed = false;
#pragma omp parallel
  {
    c10::InferenceMode inference;  // thread-local, so the caller's does not reach here
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < n; ++i) {
      if (failed.load(std::memory_order_relaxed)) continue;
      try {
        block(i);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace longspan
