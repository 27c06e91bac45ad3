#include "core/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

// The address range of one mapping. The handler of a signal may use nothing but lock-free atomics.
struct Range {
  std::atomic<bool> taken = false;
  std::atomic<uintptr_t> begin = 0;
  std::atomic<uintptr_t> end = 0;  // 0 = no mapping
  std::atomic<bool> lost = false;  // a page of it could not be read
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free);

// A published checkpoint has some 200 files at most.
constexpr int kMostFiles = 1024;
std::array<Range, kMostFiles> ranges;
struct sigaction before = {};  // who handled SIGBUS before us
uintptr_t page_bytes = 4096;

Range* RangeOf(uintptr_t address) {
  for (Range& range : ranges) {
    const uintptr_t end = range.end.load(std::memory_order_acquire);
    if (end != 0 && address >= range.begin.load(std::memory_order_relaxed) && address < end)
      return &range;
  }
  return nullptr;
}

// Puts zeros where the file's pages were, from the one that could not be read to the end of the
// mapping: what is cut is cut to the end. mmap is a plain system call and safe here.
void OnBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (Range* const range = RangeOf(address); range != nullptr) {
    const uintptr_t page = address / page_bytes * page_bytes;
    void* const zeros =  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's address
        mmap(reinterpret_cast<void*>(page), range->end.load(std::memory_order_relaxed) - page,
             PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    range->lost.store(true, std::memory_order_release);
    errno = error;
    if (zeros != MAP_FAILED) return;
  }
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  // The instruction runs again, and then the signal does what it did before.
  sigaction(SIGBUS, &before, nullptr);
}

void InstallHandler() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
  });
}

int TakeSlot() {
  for (int slot = 0; slot < kMostFiles; ++slot) {
    bool free = false;
    if (ranges[slot].taken.compare_exchange_strong(free, true)) return slot;
  }
  return -1;
}

absl::Status Bad(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(OneLine(absl::StrCat(path, ": ", what)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  auto file = std::unique_ptr<MappedFile>(new MappedFile);
  file->path_ = path;
  // O_NONBLOCK: a pipe under this name must not hang the start.
  file->file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file->file_ < 0) {
    const int error = errno;
    const std::string why =
        OneLine(absl::StrCat(path, ": cannot be opened: ", std::strerror(error)));
    return error == ENOENT ? absl::NotFoundError(why) : absl::InvalidArgumentError(why);
  }
  if (fstat(file->file_, &file->opened_) != 0 || !S_ISREG(file->opened_.st_mode))
    return Bad(path, "is not a regular file");
  const auto num_bytes = static_cast<size_t>(file->opened_.st_size);
  if (num_bytes == 0) return file;  // an empty file cannot be mapped
  InstallHandler();
  file->slot_ = TakeSlot();
  if (file->slot_ < 0) {
    return absl::ResourceExhaustedError(
        OneLine(absl::StrCat(path, ": more than ", kMostFiles, " weight files are open")));
  }
  void* const mapping = mmap(nullptr, num_bytes, PROT_READ, MAP_SHARED, file->file_, 0);
  if (mapping == MAP_FAILED)
    return Bad(path, absl::StrCat("cannot be mapped into memory: ", std::strerror(errno)));
  file->mapping_ = mapping;
  file->num_bytes_ = num_bytes;
  Range& range = ranges[file->slot_];
  range.lost = false;
  range.begin = reinterpret_cast<uintptr_t>(mapping);
  const uintptr_t end = reinterpret_cast<uintptr_t>(mapping) + num_bytes;
  range.end.store((end + page_bytes - 1) / page_bytes * page_bytes, std::memory_order_release);
  return file;
}

absl::Status MappedFile::CheckUnchanged() const {
  struct stat now = {};
  if (fstat(file_, &now) != 0) return Bad(path_, std::strerror(errno));
  if (now.st_size != opened_.st_size) {
    return Bad(path_, absl::StrCat("had ", opened_.st_size, " bytes when it was opened and has ",
                                   now.st_size, " now: it was changed while it was read"));
  }
  if (now.st_mtim.tv_sec != opened_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != opened_.st_mtim.tv_nsec)
    return Bad(path_, "was written to while it was read");
  if (slot_ >= 0 && ranges[slot_].lost.load(std::memory_order_acquire))
    return Bad(path_, "could not be read to its end: it was cut meanwhile, or its disk fails");
  return absl::OkStatus();
}

MappedFile::~MappedFile() {
  if (slot_ >= 0) ranges[slot_].end = 0;
  if (mapping_ != nullptr) munmap(mapping_, num_bytes_);
  if (slot_ >= 0) ranges[slot_].taken = false;
  if (file_ >= 0) close(file_);
}

}  // namespace longspan
