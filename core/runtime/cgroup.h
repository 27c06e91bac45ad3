// The limits that the control group (cgroup) of this process sets, in cgroup v1 and in v2.
//
// A limit may be set at any level from the process's own group up to the root; the tightest one
// counts. A container often sees the path of its group on the host, which does not exist inside:
// the levels that do exist still count.
//
// Free functions without state: thread safe. `root` stands in front of /proc and /sys, so that a
// test can bring files of its own. Proven by cgroup_test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace longspan {

// The CPU quota in cores, for example 2.5; nullopt = no quota is set.
std::optional<double> CgroupCpuQuota(const std::string& root = "");

// The memory limit in bytes; nullopt = no limit is set.
std::optional<int64_t> CgroupMemoryLimit(const std::string& root = "");

// The most threads that the group may have; nullopt = no limit is set.
std::optional<int64_t> CgroupPidsLimit(const std::string& root = "");

}  // namespace longspan
