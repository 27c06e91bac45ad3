#include "core/runtime/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "core/runtime/cgroup.h"
#include "core/runtime/tensor_arena.h"

namespace longspan {
namespace {

constexpr size_t kSmallestArenaBlock = 64 * 1024;
constexpr size_t kAlignment = 64;
constexpr int64_t kUsualFloor = int64_t{16} << 20;  // passes below this are all alike

// Never destroyed: tensors with static lifetime are freed after main.
TensorArena& Arena() {
  static TensorArena* const arena = new TensorArena;
  return *arena;
}

void FreeTensor(void* pointer) {
  // Everything that is not the arena's came from malloc: small tensors, and tensors made before the
  // arena was installed (oneDNN's binding frees through the current allocator, whichever made the
  // block).
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

// What passes usually need beyond the weights: a running mean of their peaks.
std::mutex usual_mu;
double usual_pass_bytes = 0;  // guarded by usual_mu

}  // namespace

void InstallTensorAllocator() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    constexpr uint8_t kAboveDefault = 1;
    static auto* const allocator =
        new ArenaAllocator;  // never destroyed: tensors of static storage are freed later still
    c10::SetCPUAllocator(allocator, kAboveDefault);
  });
}

void SetMemoryBudget(int64_t bytes) { Arena().SetBudget(bytes); }

MemoryStats GetMemoryStats() {
  const ArenaStats stats = Arena().stats();
  return {stats.live_bytes, stats.free_bytes, stats.peak_bytes, stats.num_mappings};
}

void ResetPeakMemory() { Arena().ResetPeak(); }

void TrimMemory(int64_t keep_bytes) {
  Arena().Trim(keep_bytes);
  malloc_trim(0);
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
    usual_pass_bytes += (needed - usual_pass_bytes) / 4;
  }
  if (needed > 2 * usual) TrimMemory(static_cast<int64_t>(usual));
}

std::optional<int64_t> CgroupMemoryLimit(const std::string& root) {
  const std::optional<double> limit = TightestCgroupValue(
      root, "memory", {.v2_file = "memory.max", .v1_file = "memory.limit_in_bytes"});
  // cgroup v1 writes "no limit" as the largest multiple of a page.
  constexpr double kUnlimited = 9e18;
  return limit && *limit < kUnlimited ? std::optional<int64_t>(static_cast<int64_t>(*limit))
                                      : std::nullopt;
}

}  // namespace longspan
