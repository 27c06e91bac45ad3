#include "core/runtime/compute_threads.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/runtime/process_checks.h"

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
  for (int wanted : {3, 1}) {
    const int size = SetComputeThreads(wanted);  // smaller only under OMP_THREAD_LIMIT
    EXPECT_EQ(size, std::min(wanted, omp_get_thread_limit()));
    EXPECT_EQ(ComputeThreads(), size);
    EXPECT_EQ(omp_get_max_threads(), size);
    int openmp = 0, aten = 0;
    std::thread([&] {
      EXPECT_TRUE(JoinComputeTeam().ok());
      openmp = omp_get_max_threads();
      aten = at::get_num_threads();
    }).join();
    EXPECT_EQ(openmp, size);
    EXPECT_EQ(aten, size);
  }
}

TEST(ComputeThreads, Zero_MeansTheAvailableCores) {
  SetComputeThreads(0);
  EXPECT_EQ(ComputeThreads(), std::min(AvailableCores(), omp_get_thread_limit()));
}

// The threads of a parallel region of the calling thread.
int TeamNow() {
  int threads = 0;
#pragma omp parallel
  {
    if (omp_get_thread_num() == 0) threads = omp_get_num_threads();
  }
  return threads;
}

// Other code of a process may set what it likes on a thread that has joined before.
TEST(ComputeThreads, JoinComputeTeam_UndoesWhatOtherCodeHasSetOnTheThread) {
  const int size = SetComputeThreads(2);
  for (const auto& change : std::vector<std::function<void()>>{
           [] { omp_set_num_threads(1); }, [] { omp_set_num_threads(5); },
           [] { omp_set_dynamic(1); }, [] { omp_set_max_active_levels(0); },
           [] { at::set_num_threads(1); }}) {
    ASSERT_TRUE(JoinComputeTeam().ok());
    change();
    ASSERT_TRUE(JoinComputeTeam().ok());
    EXPECT_EQ(omp_get_max_threads(), size);
    EXPECT_EQ(at::get_num_threads(), size);
    EXPECT_EQ(omp_get_dynamic(), 0);
    EXPECT_EQ(TeamNow(), size);
  }
}

TEST(ComputeThreads, VerifyComputeTeam_NoticesATeamThatIsNotThePlannedOne) {
  if (SetComputeThreads(2) < 2) return;  // a team of one cannot become smaller
  EXPECT_TRUE(VerifyComputeTeam().ok());
  omp_set_max_active_levels(0);
  EXPECT_EQ(VerifyComputeTeam().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(VerifyComputeTeam().message()),
              testing::HasSubstr("does not give the 2 threads that products are planned for"));
  EXPECT_TRUE(JoinComputeTeam().ok());
  omp_set_dynamic(1);
  EXPECT_EQ(VerifyComputeTeam().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(JoinComputeTeam().ok());
  EXPECT_TRUE(VerifyComputeTeam().ok());
}

TEST(ComputeThreads, InsideAParallelRegionOfTheCaller_TheTeamIsTheThreadItself) {
  const int size = SetComputeThreads(2);
  std::atomic<int> wrong = 0;
#pragma omp parallel num_threads(2)
  {
    const bool nested = omp_in_parallel() != 0;
    if (!JoinComputeTeam().ok() || omp_get_max_threads() != (nested ? 1 : size)) ++wrong;
  }
  EXPECT_EQ(wrong, 0);
  ASSERT_TRUE(JoinComputeTeam().ok());
  EXPECT_EQ(TeamNow(), size);
}

// Where libgomp cannot start a thread, it ends the process. A child with the rights of nobody, so
// that the limit holds for it, finds that out before.
TEST(ComputeThreads, CheckThreadsStart_NamesTheLimitOfThreads) {
  EXPECT_TRUE(CheckThreadsStart(3).ok());
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && setuid(65534) != 0) _exit(10);
    const rlimit none = {1, 1};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(11);
    const absl::Status status = CheckThreadsStart(3);
    if (status.code() != absl::StatusCode::kFailedPrecondition) _exit(12);
    const std::string message(status.message());
    if (message.find(" of 3 threads can start") == std::string::npos) _exit(13);
    if (message.find("ulimit -u (threads of this user) is 1") == std::string::npos) _exit(14);
    _exit(SetExactComputeThreads(4).code() == absl::StatusCode::kFailedPrecondition ? 0 : 15);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace longspan
