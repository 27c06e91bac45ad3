// The environment variables that steer the libraries underneath (OpenMP's libgomp, MKL, oneDNN,
// LibTorch), and what becomes of each. Containers and hosting platforms set such variables; some of
// them make vectors wrong, end the process, or make it crawl.
//
// Free functions. They read the environment; nothing may change it meanwhile. docs/operations.md
// shows the table, and library_settings_test compares the two.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace longspan {

enum class SettingUse {
  kHonoured,    // does what it says
  kOverridden,  // the program's own settings replace it, in the programs and in the library
  // EnterRuntimeEnvironment takes it out of the environment; inside another program it acts, and
  // CheckLibrarySettings refuses the values that do harm.
  kRemoved,
  kNoEffect,
};

struct LibrarySetting {
  const char* name;
  SettingUse use;
};

// Every variable that is known, in the order of the table in docs/operations.md.
const std::vector<LibrarySetting>& LibrarySettings();

// The value of a variable; null = it is not set.
const char* FindVariable(std::string_view name);

// FAILED_PRECONDITION names a variable or limit with which vectors would be wrong or the process
// would crash, and says what to do. Encoder::Load asks it.
absl::Status CheckLibrarySettings();

// The variables of OpenMP that are set, as "OMP_THREAD_LIMIT=1 is set", for an error text about
// teams. The thread limit alone where that is the reason.
std::string DescribeThreadSettings();

// The least stack of a computing thread in bytes. With 64 KiB a Reformer in bfloat16 crashed.
inline constexpr size_t kLeastStackBytes = size_t{512} << 10;

}  // namespace longspan
