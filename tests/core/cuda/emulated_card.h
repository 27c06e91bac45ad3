// A card for tests on machines without one: KernelBackend on tensors of the processor, with the
// kernels on the emulated device (tests/core/cuda/kernels/cuda_emulation.h). Two kernels are not
// emulated. BandAttention's instructions are those of one card, so plain_band_attention.cc stands
// in for it; and FlashAttention is LibTorch's, so Band gives what it is known to give: values of
// the storage type, and +inf as the logsumexp of a row without keys.
#pragma once

#include <ATen/TensorOperators.h>

#include <limits>
#include <string>

#include "core/cuda/kernel_backend.h"

namespace longspan {

class EmulatedCard : public KernelBackend {
 public:
  explicit EmulatedCard(Capability capability) : KernelBackend(at::Device(at::kCPU), capability) {}

  std::string name() const override { return "cuda:0"; }

  AttentionPart Band(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const WindowRun& run, double scale) const override {
    AttentionPart part = PortableBackend::Band(q, k, v, run, scale);
    if (q.scalar_type() == at::kFloat) return part;
    part.out = part.out.to(q.scalar_type());
    part.lse.masked_fill_(part.lse.isneginf(), std::numeric_limits<double>::infinity());
    return part;
  }

  // Kernels that were launched so far.
  int launches() const { return launches_; }

 protected:
  cudaStream_t stream() const override {
    ++launches_;
    return nullptr;
  }

 private:
  mutable int launches_ = 0;
};

}  // namespace longspan
