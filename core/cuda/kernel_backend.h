// KernelBackend: the operations that our kernels (core/cuda/kernels) take, and the choice between
// them and PortableBackend. It asks nothing of a card but the queue for its launches:
//
//   CudaBackend          a card
//   tests                the emulated device, so that each call of a kernel is tried without a card
//
//                        our kernels                       else
//   rows                 bfloat16, float16; widths that    PortableBackend
//                        are multiples of 8
//   windows, globals     capability 9.0, heads of 32       Band, and our kernel for the globals
//                        and 64: one kernel for both       beyond it
//     masks with holes   -                                 PortableBackend
//   Reformer             bfloat16, heads of 32, 64 and     PortableBackend
//                        128
//
// Thread safe; the caller makes device() the current one. Errors are c10::Error. Proven by
// kernel_backend_test.
#pragma once

#include <span>

#include "core/backend/portable_backend.h"
#include "core/cuda/kernels/runtime_api.h"

namespace longspan {

// Compute capability of a card.
struct Capability {
  int major = 0;
  int minor = 0;
};

class KernelBackend : public PortableBackend {
 public:
  KernelBackend(at::Device device, Capability capability)
      : PortableBackend(device), capability_(capability) {}

  void Prepare(WindowRun& run) const override;

  at::Tensor Product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     kernels::Activation activation) const override;
  at::Tensor GatedUnit(const at::Tensor& both, kernels::Activation activation) const override;
  at::Tensor Norm(const at::Tensor& x, const NormWeights& norm) const override;
  at::Tensor AddBiasResidualNorm(const at::Tensor& values, const at::Tensor& bias,
                                 const at::Tensor& residual,
                                 const NormWeights& norm) const override;
  at::Tensor Embed(const EmbeddingTables& tables, const EmbeddingRows& rows,
                   const NormWeights& norm) const override;
  void Rotate(at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin,
              const at::Tensor& positions) const override;

  void WindowAndGlobals(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const WindowRun& run, double scale, at::Tensor& out) const override;

  void PrepareChunks(ChunkRun& run) const override;
  at::Tensor SortByBucket(const at::Tensor& exact, const ChunkRun& run) const override;
  void AttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& order, const ChunkRun& run, at::Tensor& out,
                    at::Tensor& lse) const override;
  void MergeRounds(const at::Tensor& parts, const at::Tensor& lse, at::Tensor& out) const override;

  SegmentValues ReduceSegments(const at::Tensor& rows, const Segments& segments) const override;

 protected:
  at::Tensor AverageRows(const at::Tensor& u, const at::Tensor& hidden,
                         std::span<const GlobalsOfText> texts,
                         const DeviceLayout& layout) const override;

  // Where launches go: the queue of LibTorch's operators on the current device.
  virtual cudaStream_t stream() const = 0;

 private:
  // The instructions of the kernel for windows and globals (wgmma) are those of capability 9.0, not
  // of what came later.
  bool has_band_kernel() const { return capability_.major == 9 && capability_.minor == 0; }
  // q, k and v must be the three parts of one packed tensor.
  bool BandKernelTakes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const WindowRun& run) const;
  void RunBandKernel(const at::Tensor& q, const WindowRun& run, double scale,
                     at::Tensor& out) const;
  // Adds the attention to the globals beyond the windows to that of the windows.
  void AddColumns(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const WindowRun& run, double scale, AttentionPart& band) const;
  // LayerNorm(values + bias + residual) by our kernel, or undefined where it does not take them.
  at::Tensor NormByKernel(const at::Tensor& values, const at::Tensor& bias,
                          const at::Tensor& residual, const NormWeights& norm) const;

  const Capability capability_;
};

}  // namespace longspan
