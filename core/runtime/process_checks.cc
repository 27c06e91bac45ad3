#include "core/runtime/process_checks.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/runtime/cgroup.h"

namespace longspan {
namespace {

// The main thread loads the model and warms it up. That overflowed a stack of 64 KiB and ran with
// 256 KiB; this is twice as much.
constexpr rlim_t kLeastStackBytes = 512 << 10;

// MKL asks for the current folder when the dynamic loader starts it, which is before main. Where
// that folder was deleted, MKL ends the process and says that LibTorch cannot be loaded. This runs
// before the libraries are started. Sanitizers are not ready either, hence the attribute.
__attribute__((no_sanitize("address", "thread", "undefined"))) void NameADeletedFolder(
    int argc, char** argv, char** /*environment*/) {
  static char path[PATH_MAX];
  if (syscall(SYS_getcwd, path, sizeof path) >= 0 || errno != ENOENT) return;
  const char* program = argc > 0 ? argv[0] : "longspan";
  for (const char* c = program; *c != '\0'; ++c) {
    if (*c == '/') program = c + 1;
  }
  dprintf(STDERR_FILENO,
          "%s: the current folder does not exist any more (deleted?); start in one that exists\n",
          program);
  _exit(1);
}

__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)(int, char**, char**) = NameADeletedFolder;

// The limits of threads that are set, as "ulimit -u is 64, pids.max of the cgroup is 100".
std::string ThreadLimits() {
  std::string limits;
  rlimit user = {};
  if (getrlimit(RLIMIT_NPROC, &user) == 0 && user.rlim_cur != RLIM_INFINITY)
    absl::StrAppend(&limits, "ulimit -u (threads of this user) is ", user.rlim_cur);
  if (const std::optional<int64_t> pids = CgroupPidsLimit())
    absl::StrAppend(&limits, limits.empty() ? "" : ", ", "pids.max of the cgroup is ", *pids);
  return limits.empty() ? "ulimit -u and the cgroup set no limit" : limits;
}

}  // namespace

absl::Status CheckLimits(int open_files) {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_max < kLeastStackBytes) {
    return absl::FailedPreconditionError(absl::StrCat("the stack may have ", limit.rlim_max,
                                                      " bytes; at least ", kLeastStackBytes,
                                                      " are needed (ulimit -s)"));
  }
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < static_cast<rlim_t>(open_files)) {
    return absl::FailedPreconditionError(absl::StrCat(limit.rlim_max,
                                                      " files may be open at once; at least ",
                                                      open_files, " are needed (ulimit -n)"));
  }
  return absl::OkStatus();
}

absl::Status CheckExecutableMemory() {
  const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const page =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return absl::OkStatus();  // no memory: whoever needs it says so
  *static_cast<char*>(page) = 1;
  const bool allowed = mprotect(page, bytes, PROT_READ | PROT_EXEC) == 0;
  const int error = errno;
  munmap(page, bytes);
  if (allowed) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("memory may not be made executable: ", std::strerror(error),
                   "; oneDNN compiles its kernels at run time, so allow it (systemd: "
                   "MemoryDenyWriteExecute=no; SELinux: execmem)"));
}

absl::Status CheckThreadsStart(int count) {
  std::mutex gate;  // the threads wait here, so that all of them are there at once
  std::vector<std::thread> threads;
  threads.reserve(count);
  std::string why;
  {
    const std::lock_guard lock(gate);
    try {
      for (int i = 0; i < count; ++i)
        threads.emplace_back([&gate] { const std::lock_guard wait(gate); });
    } catch (const std::system_error& error) {
      why = error.code().message();
    }
  }
  const size_t started = threads.size();
  for (std::thread& thread : threads) thread.join();
  if (why.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "only ", started, " of ", count, " threads can start: ", why, "; ", ThreadLimits(),
      "; ulimit -v and a seccomp profile that forbids clone3 can do it, too"));
}

}  // namespace longspan
