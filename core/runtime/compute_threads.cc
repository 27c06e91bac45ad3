#include "core/runtime/compute_threads.h"

#include <ATen/Parallel.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/zeros.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/library_settings.h"
#include "core/runtime/process_checks.h"

namespace longspan {
namespace {

std::atomic<int> team_size = 0;  // 0 = not set yet

std::mutex cause_mu;
std::string cause;  // guarded by cause_mu

// The cores of this process's affinity mask, or of the machine where the mask cannot be read.
int AffinityCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

// The threads of a parallel region as it starts now on the calling thread.
int MeasureTeam() {
  int threads = 1;
#pragma omp parallel
  {
    if (omp_get_thread_num() == 0) threads = omp_get_num_threads();
  }
  return threads;
}

// MKL finds out at its first exp, log, sin, ... which code suits the processor, and notes it in two
// steps without a lock. A thread that asks between them takes code of lower precision: half of a
// first pass was wrong by 5e-5, once in fifty starts. So the first call is made by one thread.
bool ChooseVectorMath() {
  at::exp(at::zeros({1}, at::kFloat));
  return true;
}

// Plans for teams of `size` threads on the calling thread: OpenMP, MKL, oneDNN and ATen.
void PlanTeam(int size) {
  [[maybe_unused]] static const bool vector_math_is_chosen = ChooseVectorMath();
  // What MKL was told last on this thread. OpenMP is asked, since others may have set it since.
  thread_local int planned = 0;
  omp_set_dynamic(0);
  if (!omp_in_parallel() && omp_get_max_active_levels() < 1) omp_set_max_active_levels(1);
  if (planned == size && omp_get_max_threads() == size) return;
  // ATen's first question on a thread sets the size that any thread has set last. Asked now, it
  // cannot do so in the middle of a pass.
  at::get_num_threads();
  at::set_num_threads(size);  // sets OpenMP's and MKL's team size, which belong to the thread
  planned = size;
}

// Plans for `size` threads, or for as many of them as come. Returns the size that is planned for
// and came; 0 = two measurements differ.
int FitTeam(int size) {
  PlanTeam(size);
  const int came = size > 1 ? MeasureTeam() : 1;
  if (came == size) return size;
  PlanTeam(came);
  return MeasureTeam() == came ? came : 0;
}

absl::Status TeamChanges() {
  return absl::InternalError(absl::StrCat("OpenMP does not give the ", omp_get_max_threads(),
                                          " threads that products are planned for; ",
                                          DescribeThreadSettings()));
}

}  // namespace

int AvailableCores() {
  const int cores = AffinityCores();
  const std::optional<double> quota = CgroupCpuQuota();
  // The quota is rounded down to whole cores: a team that uses up its quota is stopped until the
  // next period begins, and then all of its threads wait at a barrier.
  return quota ? std::clamp(static_cast<int>(*quota), 1, cores) : cores;
}

int SetComputeThreads(int num_threads) {
  const int wanted = num_threads > 0 ? num_threads : AvailableCores();
  // Inside a parallel region nothing can be measured: each thread that joins measures for itself.
  const int came = omp_in_parallel() ? wanted : std::max(1, FitTeam(wanted));
  team_size = came;
  const std::lock_guard lock(cause_mu);
  cause = came < wanted ? DescribeThreadSettings() : "";
  return came;
}

int ComputeThreads() {
  if (team_size == 0) SetComputeThreads(0);
  return team_size;
}

std::string ThreadLimitCause() {
  const std::lock_guard lock(cause_mu);
  return cause;
}

absl::Status SetExactComputeThreads(int num_threads) {
  if (absl::Status status = CheckThreadsStart(num_threads - 1); !status.ok()) return status;
  const int came = SetComputeThreads(num_threads);
  if (came == num_threads) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("threads is ", num_threads, "; at most ", came,
                                                    " can be had here: ", ThreadLimitCause(),
                                                    "; raise it or ask for fewer"));
}

absl::Status JoinComputeTeam(int num_threads) {
  if (omp_in_parallel()) {
    PlanTeam(1);
    return absl::OkStatus();
  }
  return FitTeam(num_threads > 0 ? num_threads : ComputeThreads()) > 0 ? absl::OkStatus()
                                                                       : TeamChanges();
}

absl::Status ResizeComputeTeam(int num_threads) {
  const int size = num_threads > 0 ? num_threads : ComputeThreads();
  if (omp_get_max_threads() == size && omp_get_dynamic() == 0) return absl::OkStatus();
  return JoinComputeTeam(size);
}

absl::Status VerifyComputeTeam() {
  const int planned = omp_get_max_threads();
  if (planned == 1) return absl::OkStatus();
  const bool holds = !omp_in_parallel() && omp_get_dynamic() == 0 && MeasureTeam() == planned;
  return holds ? absl::OkStatus() : TeamChanges();
}

}  // namespace longspan
