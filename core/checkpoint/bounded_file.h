// ReadBoundedFile: a small file of a checkpoint as a whole, or an error of one line.
//
// A checkpoint comes from strangers, so nothing is read before the size is known: neither a pipe
// that never ends nor a file that does not fit in memory can stop the start. Thread safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace longspan {

// NOT_FOUND: no such file. INVALID_ARGUMENT: not a regular file, more than `most_bytes`, or it
// cannot be read. The message names the file.
absl::StatusOr<std::string> ReadBoundedFile(const std::string& path, int64_t most_bytes);

}  // namespace longspan
