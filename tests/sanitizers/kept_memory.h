// What the address sanitizer adds to the memory of a process, for tests with bounds of it.
#pragma once

#include <cstdint>

namespace longspan {

// MiB: what it keeps of memory that was freed (256 by default), and its own beside that. A bound
// with it still tells gigabytes from none.
#ifdef __SANITIZE_ADDRESS__
inline constexpr int64_t kKeptMiB = 256 + 64;
#else
inline constexpr int64_t kKeptMiB = 0;
#endif

}  // namespace longspan
