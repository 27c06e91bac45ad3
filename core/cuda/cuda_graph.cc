#include "core/cuda/cuda_graph.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include <utility>

namespace longspan {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

void Check(cudaError_t error, const char* what) {
  TORCH_CHECK(error == cudaSuccess, what, ": ", cudaGetErrorString(error));
}

// The same values, without holding their memory.
at::Tensor Unowned(const at::Tensor& x) {
  return at::from_blob(x.mutable_data_ptr(), x.sizes(), x.strides(), x.options());
}

// While it lives, the allocator gives what is asked for on the queue out of the pool.
class AllocatesInPool {
 public:
  AllocatesInPool(const c10::cuda::CUDAStream& queue, const c10::MempoolId_t& pool)
      : card_(queue.device_index()), pool_(pool) {
    allocator::beginAllocateToPool(card_, pool_, [recorded = queue.stream()](cudaStream_t asked) {
      return asked == recorded;
    });
  }
  ~AllocatesInPool() { allocator::endAllocateToPool(card_, pool_); }
  AllocatesInPool(const AllocatesInPool&) = delete;
  AllocatesInPool& operator=(const AllocatesInPool&) = delete;

 private:
  const c10::DeviceIndex card_;
  const c10::MempoolId_t& pool_;
};

}  // namespace

// LibTorch numbers pools too, from 1 on.
CudaGraph::Place::Place(c10::DeviceIndex card)
    : queue_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, card)),
      pool_{0, uint64_t{1} << 40} {}

c10::MempoolId_t CudaGraph::Place::Join() {
  const std::lock_guard lock(mu_);
  if (graphs_++ == 0) ++pool_.second;
  return pool_;
}

void CudaGraph::Place::Leave(const c10::MempoolId_t& pool) {
  const std::lock_guard lock(mu_);
  --graphs_;
  allocator::releasePool(queue_.device_index(), pool);
}

CudaGraph::CudaGraph(const at::Tensor& x, const RowRun& run, std::shared_ptr<Place> place)
    : place_(std::move(place)), pool_(place_->Join()) {
  // Nothing is computed here, so the queue needs no order with the one of the passes.
  const c10::cuda::CUDAStreamGuard on_queue(place_->queue());
  cudaGraph_t graph = nullptr;
  try {
    const AllocatesInPool in_pool(place_->queue(), pool_);
    graph = Record(x, run);
    Check(cudaGraphInstantiate(&graph_, graph, 0), "cudaGraphInstantiate");
    cudaGraphDestroy(graph);
  } catch (...) {
    if (graph != nullptr) cudaGraphDestroy(graph);
    place_->Leave(pool_);
    throw;
  }
}

cudaGraph_t CudaGraph::Record(const at::Tensor& x, const RowRun& run) {
  const cudaStream_t queue = place_->queue().stream();
  cudaGraph_t graph = nullptr;
  // Other threads may go on to use the device meanwhile.
  Check(cudaStreamBeginCapture(queue, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    const at::Tensor in = at::empty_like(x, at::MemoryFormat::Contiguous);
    const at::Tensor out = run(in).contiguous();
    in_ = Unowned(in);
    out_ = Unowned(out);
  } catch (...) {
    if (cudaStreamEndCapture(queue, &graph) == cudaSuccess && graph != nullptr)
      cudaGraphDestroy(graph);
    cudaGetLastError();  // of the recording that was broken off
    throw;
  }
  Check(cudaStreamEndCapture(queue, &graph), "cudaStreamEndCapture");
  return graph;
}

CudaGraph::~CudaGraph() {
  cudaGraphExecDestroy(graph_);
  place_->Leave(pool_);
}

at::Tensor CudaGraph::Repeat(const at::Tensor& x) const {
  in_.copy_(x);
  const c10::cuda::CUDAStream queue =
      c10::cuda::getCurrentCUDAStream(place_->queue().device_index());
  Check(cudaGraphLaunch(graph_, queue), "cudaGraphLaunch");
  return out_.clone();
}

}  // namespace longspan
