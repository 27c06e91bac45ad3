// Limits that the control group of this process sets, cgroup v1 or v2, the tightest of all levels
// from its own group up to the root. A container's path may be the host's and not exist inside: the
// levels that do exist still count.
#pragma once

#include <optional>
#include <string>

namespace longspan {

// Files of one limit. Where period files are named, the limit is quota / period (v2 keeps both in
// one file, "150000 100000").
struct CgroupFiles {
  std::string v2_file;
  std::string v1_file;
  std::string v1_period_file = {};
};

// nullopt = no limit ("max", -1, or no such file). `root` stands in front of /proc and /sys, for
// tests.
std::optional<double> TightestCgroupValue(const std::string& root, const std::string& controller,
                                          const CgroupFiles& files);

}  // namespace longspan
