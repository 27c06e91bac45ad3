#include "core/runtime/compute_threads.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <omp.h>
#include <sched.h>

#include <thread>

namespace longspan {
namespace {

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
