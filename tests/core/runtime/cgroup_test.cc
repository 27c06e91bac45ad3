#include "core/runtime/cgroup.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace longspan {
namespace {

namespace fs = std::filesystem;

class CgroupCpuQuotaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "longspan_cgroup_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(CgroupCpuQuotaTest, V2_QuotaOverPeriod) {
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/cpu.max", "250000 100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_).value(), 2.5);
}

TEST_F(CgroupCpuQuotaTest, V2_TightestLevelCounts) {
  Write("/proc/self/cgroup", "0::/kube/pod/container\n");
  Write("/sys/fs/cgroup/kube/cpu.max", "400000 100000\n");
  Write("/sys/fs/cgroup/kube/pod/cpu.max", "150000 50000\n");
  Write("/sys/fs/cgroup/kube/pod/container/cpu.max", "max 100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_).value(), 3.0);
}

TEST_F(CgroupCpuQuotaTest, V2_HostPathInsideAContainer_FallsBackToTheMount) {
  Write("/proc/self/cgroup", "0::/docker/0123\n");
  Write("/sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_).value(), 1.0);
}

TEST_F(CgroupCpuQuotaTest, V1_QuotaOverPeriod) {
  Write("/proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/a\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_).value(), 1.5);
}

TEST_F(CgroupCpuQuotaTest, NoQuota_GivesNothing) {
  EXPECT_EQ(CgroupCpuQuota(root_), std::nullopt);
  Write("/proc/self/cgroup", "0::/a\n4:cpu:/a\n6:cpuset:/a\n");
  Write("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuQuota(root_), std::nullopt);
}

TEST(CgroupMemoryLimit, TightestLevelOfEitherVersion) {
  std::string root = (fs::temp_directory_path() / "longspan_cgroup_XXXXXX").string();
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  };
  EXPECT_EQ(CgroupMemoryLimit(root), std::nullopt);
  write("/proc/self/cgroup", "4:memory:/a\n0::/b/c\n");
  write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(CgroupMemoryLimit(root), std::nullopt);
  write("/sys/fs/cgroup/b/c/memory.max", "max\n");
  write("/sys/fs/cgroup/b/memory.max", "8589934592\n");
  EXPECT_EQ(CgroupMemoryLimit(root), int64_t{8} << 30);
  write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
  EXPECT_EQ(CgroupMemoryLimit(root), int64_t{1} << 30);
  fs::remove_all(root);
}

TEST_F(CgroupCpuQuotaTest, PidsLimit_OfEitherVersion) {
  EXPECT_EQ(CgroupPidsLimit(root_), std::nullopt);
  Write("/proc/self/cgroup", "0::/pod\n");
  Write("/sys/fs/cgroup/pod/pids.max", "max\n");
  EXPECT_EQ(CgroupPidsLimit(root_), std::nullopt);
  Write("/sys/fs/cgroup/pids.max", "100\n");
  EXPECT_EQ(CgroupPidsLimit(root_), 100);
  Write("/proc/self/cgroup", "3:pids:/a\n");
  Write("/sys/fs/cgroup/pids/a/pids.max", "64\n");
  EXPECT_EQ(CgroupPidsLimit(root_), 64);
}

}  // namespace
}  // namespace longspan
