#include "core/cuda/cuda_backend.h"

#include <ATen/Context.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>
#include <memory>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "core/cuda/kernel_call.h"

namespace longspan {
namespace {

// Larger copies, which are weights, take no pages that stay locked in memory.
constexpr int64_t kMostPinnedBytes = int64_t{4} << 20;

Capability CapabilityOf(int card) {
  cudaDeviceProp properties = {};
  const cudaError_t error = cudaGetDeviceProperties(&properties, card);
  TORCH_CHECK(error == cudaSuccess, "card ", card, ": ", cudaGetErrorString(error));
  return {.major = properties.major, .minor = properties.minor};
}

bool FlashTakes(const at::Tensor& q, const WindowRun& run) {
  return cuda::IsStored(q.scalar_type()) && q.size(2) % 8 == 0 && q.size(2) <= 256 &&
         !run.read.defined();
}

// What LibTorch's pool of the card keeps for the next tensors.
int64_t BytesOfThePool(c10::DeviceIndex card) noexcept {
  try {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(card);
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return stats.reserved_bytes[all].current - stats.allocated_bytes[all].current;
  } catch (const std::exception&) {
    return 0;  // the pool is not there yet
  }
}

}  // namespace

CudaBackend::CudaBackend(int card)
    : KernelBackend(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(card)), CapabilityOf(card)),
      recordings_(std::make_shared<CudaGraph::Place>(device().index())) {
  // Sums stay float32 where a product is cut in parts, and float32 products are float32.
  at::globalContext().setAllowBF16ReductionCuBLAS(false);
  at::globalContext().setAllowFP16ReductionCuBLAS(false);
  // The first tensor starts the card, so that what is wrong with it is known now.
  const c10::cuda::CUDAGuard guard(device());
  at::empty({1}, at::TensorOptions().dtype(at::kFloat).device(device())).fill_(1).item<float>();
}

// From pages that are locked in memory the device copies by itself, and the host goes on. The pages
// return to LibTorch's cache once they are copied.
at::Tensor CudaBackend::CopyToDevice(const at::Tensor& host) const {
  if (host.nbytes() == 0 || static_cast<int64_t>(host.nbytes()) > kMostPinnedBytes)
    return PortableBackend::CopyToDevice(host);
  at::Tensor pinned = at::empty(host.sizes(), host.options().pinned_memory(true));
  pinned.copy_(host);
  return pinned.to(device(), /*non_blocking=*/true, /*copy=*/true);
}

// The thread sleeps until the copy is done: the cores are for those that prepare the next pass.
HostCopy CudaBackend::ReadBack(const at::Tensor& values) const {
  at::Tensor host =
      at::empty(values.sizes(), values.options().device(at::kCPU).pinned_memory(true));
  host.copy_(values, /*non_blocking=*/true);
  auto done =
      std::make_shared<c10::cuda::CUDAEvent>(cudaEventDisableTiming | cudaEventBlockingSync);
  done->record();
  return [host, done] {
    done->synchronize();
    return host;
  };
}

std::unique_ptr<Recording> CudaBackend::Record(const at::Tensor& x, const RowRun& run) const {
  return std::make_unique<CudaGraph>(x, run, recordings_);
}

// An error that spoils the device for good comes back with every call of the process.
absl::Status CudaBackend::CheckDevice() const {
  const c10::cuda::CUDAGuard guard(device());
  cudaError_t error = cudaSuccess;
  for (int attempt = 0; attempt < 2; ++attempt) {
    cudaGetLastError();  // forgets what has passed, such as a tensor that did not fit
    error = cudaDeviceSynchronize();
    if (error == cudaSuccess) return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat(cudaGetErrorName(error), ": ", cudaGetErrorString(error)));
}

void CudaBackend::FreeUnused() const { c10::cuda::CUDACachingAllocator::emptyCache(); }

DeviceMemory CudaBackend::Memory() const {
  int current = 0;
  size_t free = 0, total = 0;
  if (cudaGetDevice(&current) != cudaSuccess) return {};
  const bool known = cudaSetDevice(device().index()) == cudaSuccess &&
                     cudaMemGetInfo(&free, &total) == cudaSuccess;
  cudaSetDevice(current);
  if (!known) return {};
  return {.total_bytes = static_cast<int64_t>(total),
          .free_bytes = static_cast<int64_t>(free) + BytesOfThePool(device().index())};
}

cudaStream_t CudaBackend::stream() const { return c10::cuda::getCurrentCUDAStream().stream(); }

// FlashAttention is LibTorch's: q, k, v [T, H, D] in bfloat16 or float16, D % 8 == 0 and at most
// 256; a window of (w, w) sees 2 w + 1 keys; the logsumexp is [H, T] float32, natural, and +inf in
// rows that see no key.
AttentionPart CudaBackend::Band(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const WindowRun& run, double scale) const {
  if (!FlashTakes(q, run)) return PortableBackend::Band(q, k, v, run, scale);
  std::optional<c10::SymInt> window;  // nullopt = the whole text
  if (run.window < run.longest - 1) window = c10::SymInt(run.window);
  auto made = at::_flash_attention_forward_symint(
      q, k, v, run.cu_seqlens_on_device, run.cu_seqlens_on_device, run.longest, run.longest,
      /*dropout_p=*/0.0, /*is_causal=*/false, /*return_debug_mask=*/false, scale, window, window,
      /*seqused_k=*/std::nullopt, /*alibi_slopes=*/std::nullopt);
  AttentionPart part{.out = std::get<0>(made), .lse = std::get<1>(made)};
  TORCH_CHECK(part.lse.dim() == 2 && part.lse.size(0) == q.size(1) &&
                  part.lse.size(1) == q.size(0) && part.lse.scalar_type() == at::kFloat,
              "FlashAttention's logsumexp is ", part.lse.sizes(), " ", part.lse.scalar_type(),
              "; expected [", q.size(1), ", ", q.size(0), "] Float");
  return part;
}

}  // namespace longspan
