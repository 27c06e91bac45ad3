// The compute team: the threads that share the work of one forward pass, and how a computing thread
// joins them.
//
// OpenMP and MKL keep the size of the team per thread. A worker thread that never called
// JoinComputeTeam would start as many threads as the host has cores, whatever the container's
// quota. Twice as many threads as cores that the process may use halve its speed.
//
// Thread safe.
#pragma once

namespace longspan {

// The cores that this process may use: those of its affinity mask, but no more than the whole cores
// of the cgroup's CPU quota. At least 1.
int AvailableCores();

// Sets the size of every team of this process; 0 = AvailableCores(). Call it before anything
// computes: a forward pass that is running keeps its size.
void SetComputeThreads(int num_threads);
// The size that was set, AvailableCores() where none was.
int ComputeThreads();

// Gives the calling thread's parallel regions the size of the team, or `num_threads` where that is
// not 0. It is cheap while the size stays the same; Encoder calls it at the start of each forward
// pass.
void JoinComputeTeam(int num_threads = 0);

}  // namespace longspan
