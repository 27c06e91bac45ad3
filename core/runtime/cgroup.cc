#include "core/runtime/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

std::optional<double> Tighter(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// "max" and numbers below 1 are no limit; a second number in the file is the period.
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

// The tightest limit from mount/path up to the mount itself.
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

}  // namespace

std::optional<double> TightestCgroupValue(const std::string& root, const std::string& controller,
                                          const CgroupFiles& files) {
  const auto v2 = [&](const std::string& folder) {
    return ReadLimit(folder + "/" + files.v2_file);
  };
  const auto v1 = [&](const std::string& folder) { return ReadV1(folder, files); };
  std::ifstream file(root + "/proc/self/cgroup");
  std::optional<double> tightest;
  // Lines are "hierarchy:controllers:path"; v2 is "0::path", v1 "4:cpu,cpuacct:path".
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
    for (const std::string& mount :
         {controller, controllers})  // "cpu" is usually a link to "cpu,cpuacct"
      tightest = Tighter(tightest,
                         TightestUpwards(absl::StrCat(root, "/sys/fs/cgroup/", mount), path, v1));
  }
  return tightest;
}

}  // namespace longspan
