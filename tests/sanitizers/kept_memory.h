// What the sanitizers add to the memory of a process, for tests with bounds of it.
#pragma once

#include <cstdint>

namespace longspan {

// MiB. The address sanitizer keeps 256 of what was freed, and has its own beside that; the thread
// sanitizer keeps four bytes for each that is touched. A bound with it still tells gigabytes from
// none.
#ifdef __SANITIZE_ADDRESS__
inline constexpr int64_t kKeptMiB = 256 + 64;
#elif defined(__SANITIZE_THREAD__)
inline constexpr int64_t kKeptMiB = 1024;
#else
inline constexpr int64_t kKeptMiB = 0;
#endif

}  // namespace longspan
