#include "core/runtime/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <new>
#include <string>

#include "core/runtime/runtime_environment.h"
#include "core/runtime/tensor_arena.h"

namespace longspan {
namespace {

// Smaller blocks stay with malloc, which reuses them without a mapping (its threshold for one is
// 128 KiB), while in the arena each would take whole pages of 4 KiB.
constexpr size_t kSmallestArenaBlock = 64 * 1024;
constexpr size_t kAlignment = 64;  // bytes; a cache line, and a register of AVX-512
// What passes usually need counts as 16 MiB at least, so that passes of up to 32 MiB never trim.
constexpr int64_t kUsualFloor = int64_t{16} << 20;

// The arena is never destroyed: tensors of static storage are freed after main.
TensorArena& Arena() {
  static TensorArena* const arena = new TensorArena;
  return *arena;
}

void FreeTensor(void* pointer) {
  // What is not the arena's came from malloc: small tensors, and tensors that were made before the
  // arena was installed. The latter come here too, because oneDNN's binding frees through the
  // current allocator, whichever allocator made the block.
  if (pointer != nullptr && !Arena().Free(pointer)) std::free(pointer);
}

void* AllocateTensor(size_t size) {
  void* pointer = nullptr;
  if (size >= kSmallestArenaBlock) {
    pointer = Arena().Allocate(size);
  } else if (posix_memalign(&pointer, kAlignment, size) != 0) {
    pointer = nullptr;
  }
  TORCH_CHECK_WITH(OutOfMemoryError, pointer != nullptr, "no memory for a tensor of ", size,
                   " bytes: ", Arena().stats().live_bytes, " bytes are in use");
  return pointer;
}

class ArenaAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    if (size == 0) return {nullptr, nullptr, &FreeTensor, c10::Device(c10::DeviceType::CPU)};
    void* const pointer = AllocateTensor(size);
    return {pointer, pointer, &FreeTensor, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &FreeTensor; }
  void copy_data(void* to, const void* from, std::size_t size) const override {
    std::memcpy(to, from, size);
  }
};

std::mutex usual_mu;
// What passes usually need beyond the weights: a running mean of their peaks. Guarded by usual_mu.
double usual_pass_bytes = 0;

}  // namespace

void InstallTensorAllocator() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    constexpr uint8_t kAboveDefault = 1;  // LibTorch's own allocator has priority 0
    // Never destroyed: tensors of static storage are freed later still.
    static auto* const allocator = new ArenaAllocator;
    c10::SetCPUAllocator(allocator, kAboveDefault);
  });
}

int64_t TensorBudget(int64_t limit, int64_t used) {
  constexpr int64_t kReserve = int64_t{16} << 20;
  const int64_t products = KeptProducts(limit) * kKeptProductBytes;
  return std::min(limit / 10 * 9, limit - used - kReserve - products);
}

int64_t ResidentPrivateBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtoll(line.c_str() + 8, nullptr, 10) << 10;
  }
  return 0;
}

void SetMemoryBudget(int64_t bytes) { Arena().SetBudget(bytes); }

MemoryStats GetMemoryStats() {
  const ArenaStats stats = Arena().stats();
  return {stats.live_bytes, stats.free_bytes, stats.peak_bytes, stats.num_mappings};
}

int64_t HeapBytesInUse() {
  const struct mallinfo2 heap = mallinfo2();
  return static_cast<int64_t>(heap.uordblks + heap.hblkhd);
}

void TrimMemory(int64_t keep_bytes) {
  Arena().Trim(keep_bytes);
  malloc_trim(0);
}

void TrimHeap() { malloc_trim(0); }

void MapLargeBlocks() {
  mallopt(M_MMAP_THRESHOLD, 64 << 10);  // sets a bound that stays
  // 2 GiB of the smallest of them. Beyond it malloc takes its heaps, and the process keeps clear of
  // the system's bound of about 65,000 mappings.
  mallopt(M_MMAP_MAX, 32 << 10);
}

MemoryPass::MemoryPass() {
  Arena().ResetPeak();
  live_before_ = Arena().stats().live_bytes;
}

MemoryPass::~MemoryPass() {
  const double needed = static_cast<double>(Arena().stats().peak_bytes - live_before_);
  double usual;
  {
    const std::lock_guard lock(usual_mu);
    usual = std::max(usual_pass_bytes, static_cast<double>(kUsualFloor));
    usual_pass_bytes += (needed - usual_pass_bytes) / 4;  // each pass counts a quarter
  }
  if (needed > 2 * usual) TrimMemory(static_cast<int64_t>(usual));
}

}  // namespace longspan
