// Memory policy of the process: where tensors live, how much they may take, and when memory goes
// back to the system.
//
// Tensors of 64 KiB and more live in one TensorArena per process; smaller ones and everything that
// is no tensor stay with malloc. A warm forward pass therefore maps nothing (proven by
// memory_test). What does not fit, because of the budget or because the system refuses, throws
// c10::OutOfMemoryError, which Encoder answers with RESOURCE_EXHAUSTED; the process lives on. All
// functions are thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace longspan {

// Makes the arena LibTorch's CPU allocator. Encoder::Load calls it; calls after the first do
// nothing. Tensors made before keep their own memory and are freed correctly.
void InstallTensorAllocator();

// Upper bound of tensor memory in bytes, weights included; 0 = none (the default). An allocation
// beyond it throws.
void SetMemoryBudget(int64_t bytes);

struct MemoryStats {
  int64_t live_bytes = 0;    // tensors of 64 KiB and more, weights included
  int64_t cached_bytes = 0;  // held for the next pass
  int64_t peak_bytes = 0;  // highest live_bytes since ResetPeakMemory or the last MemoryPass began
  int64_t num_mappings =
      0;  // times the arena took memory from the system, ever: constant while the process is warm
};
MemoryStats GetMemoryStats();
void ResetPeakMemory();

// Gives cached memory beyond keep_bytes back to the system, and malloc's free memory. For an idle
// worker.
void TrimMemory(int64_t keep_bytes = 0);

// Around one forward pass. Its end trims the cache where the pass needed more than twice what
// passes usually need, so that one text of 64K tokens does not leave its memory behind; a run of
// such passes becomes usual and is left alone.
class MemoryPass {
 public:
  MemoryPass();
  ~MemoryPass();
  MemoryPass(const MemoryPass&) = delete;
  MemoryPass& operator=(const MemoryPass&) = delete;

 private:
  int64_t live_before_ = 0;
};

// The memory limit in bytes of the cgroup this process runs in, the tightest of all levels (cgroup
// v1 or v2); nullopt = none. `root` stands in front of /proc and /sys, for tests.
std::optional<int64_t> CgroupMemoryLimit(const std::string& root = "");

}  // namespace longspan
