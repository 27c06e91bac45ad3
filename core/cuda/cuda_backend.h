// CudaBackend: a model on an NVIDIA card of compute capability 8.0 or newer. Products are
// cuBLASLt's and attention to a window alone is FlashAttention, both through LibTorch; the rest is
// our kernels (kernel_backend.h), or PortableBackend's, where no kernel takes it.
//
// Thread safe; the caller makes device() the current one. Errors are c10::Error. Proven on a card
// by tests/cuda/backend_check.cc.
#pragma once

#include <memory>

#include "core/cuda/cuda_graph.h"
#include "core/cuda/kernel_backend.h"

namespace longspan {

class CudaBackend final : public KernelBackend {
 public:
  // The card must exist. Throws c10::Error where it does not answer.
  explicit CudaBackend(int card);

  at::Tensor CopyToDevice(const at::Tensor& host) const override;
  HostCopy ReadBack(const at::Tensor& values) const override;
  bool records() const override { return true; }
  std::unique_ptr<Recording> Record(const at::Tensor& x, const RowRun& run) const override;
  absl::Status CheckDevice() const override;
  void FreeUnused() const override;
  DeviceMemory Memory() const override;

  AttentionPart Band(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const WindowRun& run, double scale) const override;

 protected:
  cudaStream_t stream() const override;

 private:
  const std::shared_ptr<CudaGraph::Place> recordings_;
};

}  // namespace longspan
