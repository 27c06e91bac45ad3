// CpuTimeOfThisThread: a clock of the CPU time that one thread uses, readable from other threads.
#pragma once

#include <functional>

#include "absl/time/time.h"

namespace longspan {

// The CPU time of the calling thread, as a function that any thread may call. Once the thread has
// ended it gives the last value that it read.
std::function<absl::Duration()> CpuTimeOfThisThread();

}  // namespace longspan
