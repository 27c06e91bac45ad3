// What the surroundings of a process must allow, asked before anything depends on it. Without these
// questions a library would abort later, without saying why.
//
// Each function answers OK, or FAILED_PRECONDITION with one line that names the limit, what it is,
// what is needed, and what sets it. Thread safe. Proven by process_checks_test.
#pragma once

#include "absl/status/status.h"

namespace longspan {

// The main thread's stack has room, and `open_files` files may be open at once.
//
// A program that calls this ends before main, with code 1 and one line, where its current folder
// was deleted: MKL would end it a moment later without the reason.
absl::Status CheckLimits(int open_files);

// Memory that was written may be made executable: oneDNN compiles its kernels at run time.
// systemd's MemoryDenyWriteExecute= and SELinux's execmem forbid that.
absl::Status CheckExecutableMemory();

// `count` threads can run beside those that there are; libgomp ends the whole process where it
// cannot start one. Limits are ulimit -u, the pids limit of a
// container, memory for the stacks, and old seccomp profiles that forbid clone3.
absl::Status CheckThreadsStart(int count);

}  // namespace longspan
