// ReadConfigFile: the settings that a file gives, as text, for --config. The file is a JSON object
// of plain values, or lines "key = value" ('#' and ';' begin a comment, '[' a section, which is
// skipped; behind a value " # " begins a comment, so that what --print-config prints is such a
// file). Which keys exist and what their values mean is decided in server_options.cc.
//
// A free function without state: thread safe.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace longspan {

// Value by key. INVALID_ARGUMENT names the file, and the line or key that is wrong.
absl::StatusOr<std::map<std::string, std::string>> ReadConfigFile(const std::string& path);

}  // namespace longspan
