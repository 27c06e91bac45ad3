// ParallelBlocks: runs block(0) ... block(n - 1) on the compute team, each block whole on one
// thread; LibTorch and oneDNN calls inside a block run on that thread alone.
//
// All blocks together cost one barrier, where matrix products that are shared by the team cost one
// each, and a core that is slow takes fewer blocks. After the first exception no further block
// begins, and the caller gets that exception. Inside a parallel region, or where the team has one
// thread, the caller's thread runs all blocks.
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
    c10::InferenceMode inference;  // the mode belongs to a thread: the caller's does not hold here
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
