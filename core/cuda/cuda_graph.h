// CudaGraph: a run of operations as a CUDA graph. LibTorch's allocator gives the run memory of a
// pool of its own. The memory of x, of the result and of all between is free again for the next
// graph of the pool once this one has been made: Repeat writes each anew, and runs stand one behind
// the other on the queue. So many graphs take the memory of the largest.
//
// It is made of the runtime's calls and of libc10_cuda.so's: the plugin calls no function of
// libtorch_cuda.so (cmake/LibTorchCuda.cmake), where LibTorch's own class for graphs is. What that
// class does beside is for random numbers, which no run here draws.
//
// Repeat may be called from one thread at a time, and on one queue with all others of the pool.
// Errors are c10::Error. Proven on a card by tests/cuda/backend_check_recordings.cc.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "core/backend/backend.h"

namespace longspan {

class CudaGraph final : public Recording {
 public:
  // Where runs are recorded: a queue, since the default one cannot be, and one alone, since cuBLAS
  // keeps a workspace for each that it has seen; and a pool. Shared by all graphs of a card.
  class Place {
   public:
    explicit Place(c10::DeviceIndex card);
    const c10::cuda::CUDAStream& queue() const { return queue_; }
    // The pool for one more graph, and that the graph is gone. The allocator lets go of a pool
    // whose graphs are all gone; what comes later gets another.
    c10::MempoolId_t Join();
    void Leave(const c10::MempoolId_t& pool);

   private:
    const c10::cuda::CUDAStream queue_;
    std::mutex mu_;  // guards the rest
    c10::MempoolId_t pool_;
    int64_t graphs_ = 0;  // in pool_
  };

  CudaGraph(const at::Tensor& x, const RowRun& run, std::shared_ptr<Place> place);
  ~CudaGraph() override;
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  at::Tensor Repeat(const at::Tensor& x) const override;

 private:
  // Runs `run` while the queue records.
  cudaGraph_t Record(const at::Tensor& x, const RowRun& run);

  const std::shared_ptr<Place> place_;
  const c10::MempoolId_t pool_;
  cudaGraphExec_t graph_ = nullptr;
  at::Tensor in_, out_;  // without memory of their own
};

}  // namespace longspan
