// PrepareProcess and OccupyStandardStreams: put right what a program can inherit from whoever
// started it, before it opens a file or starts a thread. The client has its own of these
// (client/process_start.h). Proven by process_start_test and by environments_test.
//
// Each main has this line, and calls PrepareProcess first:
//   __attribute__((section(".preinit_array"), used)) void (*const before_libraries)(
//       int, char**, char**) = OccupyStandardStreams;
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

namespace longspan {

// The stack of a thread, in bytes, whatever `ulimit -s` says. glibc takes that limit for the stacks
// of threads: with 64 KiB the first forward pass would overflow, with gigabytes a thread would not
// start where address space is bounded.
inline constexpr size_t kThreadStackBytes = size_t{8} << 20;

// Occupies those of the descriptors 0, 1 and 2 that are closed. The next file or socket would get
// their number, and log lines would be written into it. What is opened here can be neither read nor
// written (EBADF), so that input and output fail as they do on a closed descriptor.
//
// It must run before main, and before the libraries are started: gRPC opens files when it is. The
// sanitizers are not ready then, hence the attribute.
__attribute__((no_sanitize("address", "thread", "undefined"))) inline void OccupyStandardStreams(
    int /*argc*/ = 0, char** /*argv*/ = nullptr, char** /*environment*/ = nullptr) {
  int descriptor = 0;
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = open("/", O_PATH);
  if (descriptor > STDERR_FILENO) close(descriptor);
}

// Threads get kThreadStackBytes, and the main thread as much as its hard limit allows.
inline void SetStackSizes() {
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) == 0) {
    pthread_attr_setstacksize(&attributes, kThreadStackBytes);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kThreadStackBytes) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kThreadStackBytes);
  setrlimit(RLIMIT_STACK, &limit);
}

inline void PrepareProcess() {
  SetStackSizes();
  // A file at its largest allowed size (ulimit -f) is an error of the write, not the end of the
  // process.
  signal(SIGXFSZ, SIG_IGN);
}

// How many files may be open at once, after the soft limit was raised to the hard one.
inline rlim_t RaiseOpenFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return RLIM_INFINITY;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

// Writes out what stdout holds back. Returns why that failed, now or at an earlier write; an empty
// text where all was written. To be asked before exit code 0: a disk that is full shows only here.
inline std::string FlushStandardOutput() {
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return "";
  return std::string("standard output cannot be written: ") +
         (flushed ? "an earlier write failed" : std::strerror(errno));
}

}  // namespace longspan
