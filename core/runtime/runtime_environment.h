// Settings that libgomp and oneDNN read only from the environment, and only before main: the mains
// call this first.
#pragma once

namespace longspan {

// Adds what is not set to the environment and, if anything was added, starts this program again in
// place (same process id, same arguments), so that the libraries see it. What the user has set is
// never changed. Returns on the second start, or if exec fails.
//   OMP_WAIT_POLICY=passive, GOMP_SPINCOUNT=2000   a compute thread spins for some microseconds at a barrier, then sleeps: enough
//                                                  to pass from one layer to the next, and no processor time taken from RPC
//                                                  threads (spinning on: a busy machine ran 3 times slower; sleeping at
//                                                  once: a lone text of 16 tokens 1.7 times slower)
//   ONEDNN_PRIMITIVE_CACHE_CAPACITY=512            bounds the compiled GEMMs kept for lengths seen
void EnterRuntimeEnvironment(char** argv);

}  // namespace longspan
