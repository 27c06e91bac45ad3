// Reads the text that a command encodes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace longspan {

// The whole file, or standard input for "-". NOT_FOUND where it cannot be read. INVALID_ARGUMENT
// with the position of the first bad byte where it is not UTF-8: protobuf would refuse such a text
// as well, but later, and without saying where it is wrong.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// Position of the first byte that is not part of a well-formed UTF-8 character, or npos where there
// is none. Well-formed is what the Unicode standard (version 15, table 3-7) calls so: no overlong
// forms, no surrogates, nothing above U+10FFFF.
size_t FindInvalidUtf8(std::string_view text);

}  // namespace longspan
