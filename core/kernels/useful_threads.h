// UsefulThreads: how many threads of the OpenMP team a piece of work keeps busy. Waking a thread
// for less than some microseconds of work costs more than the thread saves.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace longspan::kernels {

// What is worth a thread in a pass over memory: 16 Ki elements are 64 KiB of float32.
inline constexpr int64_t kElementsWorthAThread = 16 * 1024;

// One thread for each `worth_a_thread` of `work`: at least one, at most the team. Inside a parallel
// region it is one, also where OMP_NESTED would allow a team of teams.
inline int UsefulThreads(int64_t work, int64_t worth_a_thread) {
  if (omp_in_parallel()) return 1;
  return static_cast<int>(std::clamp<int64_t>(work / worth_a_thread, 1, omp_get_max_threads()));
}

}  // namespace longspan::kernels
