// The compute team: the threads that share the work of one forward pass, and how a computing thread
// joins them.
//
// OpenMP and MKL keep the size of the team per thread. A worker thread that never called
// JoinComputeTeam would start as many threads as the host has cores, whatever the container's
// quota. Twice as many threads as cores that the process may use halve its speed.
//
// A team must have the size that it is planned for. oneDNN divides a product among
// omp_get_max_threads() threads when it sets up the product, and again never looks how many came:
// with OMP_THREAD_LIMIT=1, OMP_DYNAMIC=true or OMP_MAX_ACTIVE_LEVELS=0 a team of one leaves the
// other half of the product unwritten. So the team is measured in a parallel region, and everything
// is planned for what came. Dynamic teams are switched off, and one level of parallel regions is
// allowed, for each thread that joins.
//
// Thread safe. Proven by compute_threads_test and library_settings_test.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace longspan {

// The cores that this process may use: those of its affinity mask, but no more than the whole cores
// of the cgroup's CPU quota. At least 1.
int AvailableCores();

// Sets the size of every team of this process; 0 = AvailableCores(). Returns the threads that a
// team really has: fewer where something forbids more (ThreadLimitCause), and then this smaller
// size is in force. Call it before anything computes: a forward pass that is running keeps its
// size.
int SetComputeThreads(int num_threads);
// The size in force, that of SetComputeThreads(0) where none was set.
int ComputeThreads();

// SetComputeThreads for a size that was asked for by name. FAILED_PRECONDITION: a team cannot have
// it; the message names what forbids it.
absl::Status SetExactComputeThreads(int num_threads);

// What kept the last SetComputeThreads from its size, for example "OMP_THREAD_LIMIT=1"; empty where
// nothing did.
std::string ThreadLimitCause();

// Gives the calling thread's parallel regions the size of the team, or `num_threads` where that is
// not 0, whatever other code has set on this thread, and measures it; where fewer threads come,
// everything is planned for those. Encoder calls it at the start of each forward pass: a few
// microseconds. Inside somebody else's parallel region the team is the calling thread alone.
// INTERNAL: OpenMP gives teams of changing size.
absl::Status JoinComputeTeam(int num_threads = 0);
// The same behind a seam of a pass. It measures only where the size is another one than before.
absl::Status ResizeComputeTeam(int num_threads);

// OK while a parallel region of the calling thread has as many threads as products are planned for.
// INTERNAL otherwise: what was computed since JoinComputeTeam may be wrong.
absl::Status VerifyComputeTeam();

}  // namespace longspan
