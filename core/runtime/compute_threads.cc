#include "core/runtime/compute_threads.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "core/runtime/cgroup.h"

namespace longspan {
namespace {

std::atomic<int> team_size = 0;  // 0 = not set yet

int AffinityCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

std::optional<double> CgroupCpuQuota(const std::string& root) {
  return TightestCgroupValue(
      root, "cpu",
      {.v2_file = "cpu.max", .v1_file = "cpu.cfs_quota_us", .v1_period_file = "cpu.cfs_period_us"});
}

int AvailableCores() {
  const int cores = AffinityCores();
  const std::optional<double> quota = CgroupCpuQuota();
  // Whole cores: a team that runs longer than its quota is stopped for the rest of the period, all
  // of it at a barrier.
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

void JoinComputeTeam() {
  thread_local int joined = 0;
  const int size = team_size != 0 ? team_size.load() : ComputeThreads();
  if (joined == size) return;
  at::set_num_threads(size);  // OpenMP's and MKL's size of this thread
  joined = size;
}

}  // namespace longspan
