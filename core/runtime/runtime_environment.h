// Settings that libgomp and oneDNN read from the environment only, and only before main: the mains
// call this first.
#pragma once

#include <string>
#include <vector>

namespace longspan {

// Adds to the environment what is not set there, and takes out what would make vectors wrong, crash
// the process or bind all of its threads to a core of one (SettingUse::kRemoved in
// core/runtime/library_settings.h). If anything was changed, it starts this program again in place
// (same process id, same arguments), so that the libraries see it. Returns on the second start, or
// if the second start fails.
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

// The variables that the first start of this program took out, as NAME=VALUE; for the log.
std::vector<std::string> RemovedSettings();

}  // namespace longspan
