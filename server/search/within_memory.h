// WithinMemory: the result of a step, or RESOURCE_EXHAUSTED where memory was short: whoever asked
// for too much pays for it, not the process.
//
// A free function without state: thread safe.
#pragma once

#include <new>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/error_details.h"

namespace longspan {

template <typename Step>
absl::Status WithinMemory(const Step& step) {
  try {
    return step();
  } catch (const std::bad_alloc&) {
    return WithReason(WithRetryAfter(absl::ResourceExhaustedError(
                                         "the search does not fit in the memory that is free"),
                                     absl::Seconds(1)),
                      kReasonMemory);
  }
}

}  // namespace longspan
