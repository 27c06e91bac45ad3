// Errors of the engine in the words of tei.v1. The engine names the fields of longspan.v1, whose
// text is `inputs.text` and whose options are a message of their own; here they are fields of the
// request.
//
// A free function without state: thread safe. Proven by tei_errors_test.
#pragma once

#include "absl/status/status.h"

namespace longspan {

// The same status with fields and message in the words of tei.v1; code, reason and retry time are
// kept.
absl::Status InTeiWords(const absl::Status& status);

}  // namespace longspan
