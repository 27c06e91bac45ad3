// RenamedField: an error of the engine in the words of another contract. The engine names fields as
// longspan.v1 does ("inputs[3].text", "options.dimensions"); callers of other contracts know them
// by other names.
//
// A free function without state: thread safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace longspan {

// Gives the other name of a field; an empty answer leaves it as it is.
using FieldNamer = absl::FunctionRef<std::string(std::string_view field)>;

// The status with its field renamed, in its text and in its details. "(set truncation)", with which
// the message about a text that is too long ends, becomes `remedy`, where that is not empty.
absl::Status RenamedField(const absl::Status& status, FieldNamer name, std::string_view remedy);

}  // namespace longspan
