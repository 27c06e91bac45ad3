#include "core/runtime/compute_threads.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <omp.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <thread>

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

TEST(ComputeThreads, AvailableCores_FollowTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_LE(AvailableCores(), CPU_COUNT(&before));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &before) && CPU_COUNT(&one) == 0) CPU_SET(core, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(AvailableCores(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

TEST(ComputeThreads, JoinComputeTeam_GivesANewThreadTheSizeOfTheTeam) {
  for (int size : {3, 1}) {
    SetComputeThreads(size);
    EXPECT_EQ(ComputeThreads(), size);
    EXPECT_EQ(omp_get_max_threads(), size);
    int openmp = 0, aten = 0;
    std::thread([&] {
      JoinComputeTeam();
      openmp = omp_get_max_threads();
      aten = at::get_num_threads();
    }).join();
    EXPECT_EQ(openmp, size);
    EXPECT_EQ(aten, size);
  }
}

TEST(ComputeThreads, Zero_MeansTheAvailableCores) {
  SetComputeThreads(0);
  EXPECT_EQ(ComputeThreads(), AvailableCores());
}

}  // namespace
}  // namespace longspan
