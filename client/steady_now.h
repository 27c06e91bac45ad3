// SteadyNow: a clock that runs evenly whatever is done to the system's time. Only its differences
// mean something: where it begins is left open.
//
// Thread safe.
#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace longspan {

inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace longspan
