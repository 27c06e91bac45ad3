// ParsePythonJson: JSON text as Python's json module reads it, since that is what wrote nearly
// every checkpoint. Beyond the standard (RFC 8259) Python writes and reads NaN, Infinity and
// -Infinity, and reads a number that no double holds as an infinity. Of a key that stands twice in
// an object the last one counts.
//
//   {"layer_norm_eps": NaN, "extra": [Infinity, -Infinity, 1e400]}
//
// A pure function, thread safe. Proven by python_json_test.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

inline constexpr int kMaxJsonDepth = 64;  // published files are nested a few levels

// INVALID_ARGUMENT: not JSON, not UTF-8, or nested deeper than kMaxJsonDepth; the message says what
// and at which byte, counted from 1, without a file's name. A mark of the byte order in front is
// skipped. Whole numbers that neither int64 nor uint64 holds become doubles.
absl::StatusOr<nlohmann::json> ParsePythonJson(std::string_view text);

// The value as JSON text on one line. A NaN or an infinity, which nlohmann::json writes as null,
// stands as Python writes it, inside of lists and objects in quotes; invalid UTF-8 is replaced.
std::string PythonJsonText(const nlohmann::json& value);

}  // namespace longspan
