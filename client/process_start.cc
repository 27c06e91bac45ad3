#include "client/process_start.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace longspan {

void OccupyClosedStreams(int /*argc*/, char** /*argv*/, char** /*environment*/) {
  int descriptor = 0;
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = open("/", O_PATH);
  if (descriptor > STDERR_FILENO) close(descriptor);
}

unsigned long long PrepareClient() {
  // glibc takes ulimit -s for the stacks of threads, and gRPC's overflow one of 16 KiB.
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) == 0) {
    pthread_attr_setstacksize(&attributes, size_t{8} << 20);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
  }
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return RLIM_INFINITY;
  const rlimit raised = {files.rlim_max, files.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : files.rlim_cur;
}

std::string FlushOutput() {
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return "";
  return std::string("standard output cannot be written: ") +
         (flushed ? "an earlier write failed"
                  : std::strerror(errno));  // NOLINT(concurrency-mt-unsafe): the end of the program
}

}  // namespace longspan
