// Settings that libgomp and oneDNN read from the environment only, and only before main: the mains
// call this first.
#pragma once

namespace longspan {

// Adds to the environment what is not set there. If anything was added, it starts this program
// again in place (same process id, same arguments), so that the libraries see it. It never changes
// what the user has set. Returns on the second start, or if the second start fails.
//
//   OMP_WAIT_POLICY=passive              A compute thread spins for some microseconds at a barrier,
//   GOMP_SPINCOUNT=2000                  then it sleeps. That is long enough to pass from one layer
//                                        to the next and takes no processor time from RPC threads.
//                                        With threads that spin on, a busy machine ran 3 times
//                                        slower; with threads that sleep at once, a lone text of 16
//                                        tokens ran 1.7 times slower.
//   ONEDNN_PRIMITIVE_CACHE_CAPACITY=512  Bounds how many compiled GEMMs are kept: each length of
//                                        text that is seen adds some.
void EnterRuntimeEnvironment(char** argv);

}  // namespace longspan
