// Quantities as people write them: "8388608", "8MiB", "4Gi", "512k".
//
//   k M G T         times 1000, 1000^2, ...           as in Kubernetes
//   Ki Mi Gi Ti     times 1024, 1024^2, ...           as in Kubernetes
//   kB KB MB GB TB  and  KiB MiB GiB TiB  the same; B alone is 1; only where bytes are counted
//
// A fraction is taken where a suffix makes it whole: "1.5Gi" is 1610612736, "1.5" is nothing. There
// are no signs, no blanks, no exponents, and case matters: "8m" and "8mb" could mean several
// things.
//
// Free functions without state: thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace longspan {

// What a quantity counts: bytes may have a B behind the suffix.
enum class Counted { kThings, kBytes };

// INVALID_ARGUMENT says what is wrong with the text: "no number", "a fraction of a byte", "more
// than 9223372036854775807", "unknown suffix 'm'".
absl::StatusOr<int64_t> ParseQuantity(std::string_view text, Counted counted);

// The shortest exact form that ParseQuantity reads back: "8MiB", "2GiB", "4Mi". Bytes take the
// largest of Ki, Mi, Gi, Ti that divides the value; things do so from Mi on, so that 16384 tokens
// stay 16384.
std::string FormatQuantity(int64_t value, Counted counted);

// What may be written, for error messages: "a number of bytes, as 8388608 or 8MiB (k, M, G, T,
// ...)".
std::string_view QuantityForms(Counted counted);

}  // namespace longspan
