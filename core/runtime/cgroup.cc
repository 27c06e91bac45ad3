#include "core/runtime/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// The files that hold one limit. Where a period file is named, the limit is quota / period; v2
// keeps both numbers in one file ("150000 100000").
struct CgroupFiles {
  std::string v2_file;
  std::string v1_file;
  std::string v1_period_file = {};
};

std::optional<double> Tighter(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// The limit in one file, divided by the second number (the period) where the file holds one. "max",
// zero and negative numbers mean that there is no limit: nullopt, as for a file that is absent.
std::optional<double> ReadLimit(const std::string& path) {
  std::ifstream file(path);
  std::string limit;
  double period = 1;
  if (!(file >> limit)) return std::nullopt;
  const double value = std::strtod(limit.c_str(), nullptr);
  if (!(file >> period)) period = 1;
  return value > 0 && period > 0 ? std::optional<double>(value / period) : std::nullopt;
}

std::optional<double> ReadV1(const std::string& folder, const CgroupFiles& files) {
  const std::optional<double> limit = ReadLimit(folder + "/" + files.v1_file);
  if (!limit || files.v1_period_file.empty()) return limit;
  const std::optional<double> period = ReadLimit(folder + "/" + files.v1_period_file);
  return period ? std::optional<double>(*limit / *period) : std::nullopt;
}

// The tightest limit of all levels from mount/path up to the mount itself.
template <typename LimitOf>
std::optional<double> TightestUpwards(const std::string& mount, std::string path,
                                      LimitOf limit_of) {
  std::optional<double> tightest = limit_of(mount);
  while (path.size() > 1) {
    tightest = Tighter(tightest, limit_of(mount + path));
    path.erase(path.rfind('/'));
  }
  return tightest;
}

// The tightest limit of either cgroup version; nullopt = none is set. `controller` is the name of
// the cgroup v1 controller: "cpu", "memory" or "pids".
std::optional<double> TightestLimit(const std::string& root, const std::string& controller,
                                    const CgroupFiles& files) {
  const auto v2 = [&](const std::string& folder) {
    return ReadLimit(folder + "/" + files.v2_file);
  };
  const auto v1 = [&](const std::string& folder) { return ReadV1(folder, files); };
  std::ifstream file(root + "/proc/self/cgroup");
  std::optional<double> tightest;
  // A line is "hierarchy:controllers:path": "0::path" for v2, "4:cpu,cpuacct:path" for v1.
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string hierarchy, controllers, path;
    std::getline(fields, hierarchy, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    if (path.empty() || path[0] != '/') continue;
    if (controllers.empty())
      tightest = Tighter(tightest, TightestUpwards(root + "/sys/fs/cgroup", path, v2));
    if (("," + controllers + ",").find("," + controller + ",") == std::string::npos) continue;
    // Controllers that share a hierarchy are mounted under both names as a rule: "cpu" is a link to
    // "cpu,cpuacct".
    for (const std::string& mount : {controller, controllers}) {
      tightest = Tighter(tightest,
                         TightestUpwards(absl::StrCat(root, "/sys/fs/cgroup/", mount), path, v1));
    }
  }
  return tightest;
}

}  // namespace

std::optional<double> CgroupCpuQuota(const std::string& root) {
  return TightestLimit(
      root, "cpu",
      {.v2_file = "cpu.max", .v1_file = "cpu.cfs_quota_us", .v1_period_file = "cpu.cfs_period_us"});
}

std::optional<int64_t> CgroupPidsLimit(const std::string& root) {
  const std::optional<double> limit =
      TightestLimit(root, "pids", {.v2_file = "pids.max", .v1_file = "pids.max"});
  return limit ? std::optional<int64_t>(static_cast<int64_t>(*limit)) : std::nullopt;
}

std::optional<int64_t> CgroupMemoryLimit(const std::string& root) {
  const std::optional<double> limit =
      TightestLimit(root, "memory", {.v2_file = "memory.max", .v1_file = "memory.limit_in_bytes"});
  // cgroup v1 writes "no limit" as the largest multiple of a page: 9,223,372,036,854,771,712 bytes.
  constexpr double kUnlimited = 9e18;
  return limit && *limit < kUnlimited ? std::optional<int64_t>(static_cast<int64_t>(*limit))
                                      : std::nullopt;
}

}  // namespace longspan
