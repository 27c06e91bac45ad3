// ReadBoundedFile: a small file of a checkpoint as a whole, or an error of one line.
//
// A checkpoint comes from strangers, so nothing is read before the size is known: neither a pipe
// that never ends nor a file that does not fit in memory can stop the start. Thread safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace longspan {

// Whether there is a file of this name. INVALID_ARGUMENT: the name is there and is no file that can
// be read: a link to nothing (a cache of which a part is missing), a pipe, a folder, or behind a
// folder that may not be searched. Such a name must not count as absent: without modules.json, say,
// another model would be served. The message names the file and the reason.
absl::StatusOr<bool> HasFile(const std::string& path);

// NOT_FOUND: no such file. INVALID_ARGUMENT: as HasFile, more than `most_bytes`, a pointer of Git
// LFS, it was written to meanwhile, or it cannot be read. The message names the file.
absl::StatusOr<std::string> ReadBoundedFile(const std::string& path, int64_t most_bytes);

}  // namespace longspan
