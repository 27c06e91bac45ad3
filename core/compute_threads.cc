#include "core/compute_threads.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

namespace longspan {
namespace {

std::atomic<int> team_size = 0;  // 0 = not set yet

int AffinityCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

std::optional<double> Tighter(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// cgroup v2: "max 100000" or "150000 100000" (quota and period in microseconds).
std::optional<double> QuotaV2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  return std::strtod(quota.c_str(), nullptr) / period;
}

// cgroup v1: quota -1 = none.
std::optional<double> QuotaV1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// The tightest quota from mount/path up to the mount itself. Inside a container the path may be the host's and not exist here;
// the levels that do exist still count.
template <typename QuotaOf>
std::optional<double> TightestUpwards(const std::string& mount, std::string path, QuotaOf quota_of) {
  std::optional<double> tightest = quota_of(mount);
  while (path.size() > 1) {
    tightest = Tighter(tightest, quota_of(mount + path));
    path.erase(path.rfind('/'));
  }
  return tightest;
}

}  // namespace

std::optional<double> CgroupCpuQuota(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::optional<double> tightest;
  // Lines are "hierarchy:controllers:path"; v2 is "0::path", v1 "4:cpu,cpuacct:path".
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string hierarchy, controllers, path;
    std::getline(fields, hierarchy, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    if (controllers.empty()) tightest = Tighter(tightest, TightestUpwards(root + "/sys/fs/cgroup", path, QuotaV2));
    if (("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    for (const std::string& mount : {std::string("cpu"), controllers})  // "cpu" is usually a link to "cpu,cpuacct"
      tightest = Tighter(tightest, TightestUpwards(root + "/sys/fs/cgroup/" + mount, path, QuotaV1));
  }
  return tightest;
}

int AvailableCores() {
  const int cores = AffinityCores();
  const std::optional<double> quota = CgroupCpuQuota();
  // Whole cores: a team that runs longer than its quota is stopped for the rest of the period, all of it at a barrier.
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
