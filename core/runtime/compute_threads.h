// The compute team: how many threads the layers and kernels of this process use, and how each
// computing thread joins it.
//
// OpenMP and MKL keep the team's size per thread, so a worker that never called JoinComputeTeam
// would start as many threads as the host has cores, whatever the container's quota: twice the
// cores it may use means half the speed. Thread safe.
#pragma once

#include <optional>
#include <string>

namespace longspan {

// Cores this process may use: its affinity mask, cut to the whole cores of the cgroup's CPU quota;
// at least 1.
int AvailableCores();

// Sets the team's size for the process; 0 = AvailableCores(). Call before computing; a running
// forward pass keeps its size.
void SetComputeThreads(int num_threads);
int ComputeThreads();

// Gives the calling thread the team's size for its parallel regions. Cheap after the first call on
// a thread; Encoder calls it at the start of each forward pass.
void JoinComputeTeam();

// The CPU quota in cores of the cgroup this process runs in, the tightest of all levels (cgroup v1
// or v2); nullopt = none. `root` stands in front of /proc and /sys, for tests.
std::optional<double> CgroupCpuQuota(const std::string& root = "");

}  // namespace longspan
