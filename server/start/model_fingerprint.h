// ModelFingerprint: tells model folders apart whose vectors cannot be compared, so that documents
// that one model read are never searched with the vectors of another.
//
// A free function without state: thread safe. Proven by model_fingerprint_test.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace longspan {

// SHA-256 in hexadecimal over the names and the bytes of all files of the folder and below that a
// model is made of (.json, .safetensors, .txt, .model), by name. Where the folder lies, and what
// else lies in it, counts nothing. INTERNAL where a file cannot be read. Cost: the files' bytes,
// about a second for two gigabytes.
absl::StatusOr<std::string> ModelFingerprint(const std::string& folder);

}  // namespace longspan
