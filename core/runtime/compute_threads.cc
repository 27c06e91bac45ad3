#include "core/runtime/compute_threads.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "core/runtime/cgroup.h"

namespace longspan {
namespace {

std::atomic<int> team_size = 0;  // 0 = not set yet

// The cores of this process's affinity mask, or of the machine where the mask cannot be read.
int AffinityCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

int AvailableCores() {
  const int cores = AffinityCores();
  const std::optional<double> quota = CgroupCpuQuota();
  // The quota is rounded down to whole cores: a team that uses up its quota is stopped until the
  // next period begins, and then all of its threads wait at a barrier.
  return quota ? std::clamp(static_cast<int>(*quota), 1, cores) : cores;
}

void SetComputeThreads(int num_threads) {
  team_size = num_threads > 0 ? num_threads : AvailableCores();
  JoinComputeTeam();
}

int ComputeThreads() {
  if (team_size == 0) SetComputeThreads(0);
  return team_size;
}

void JoinComputeTeam(int num_threads) {
  thread_local int joined = 0;
  const int size = num_threads > 0 ? num_threads : ComputeThreads();
  if (joined == size) return;
  at::set_num_threads(size);  // sets OpenMP's and MKL's team size, which belong to the thread
  joined = size;
}

}  // namespace longspan
