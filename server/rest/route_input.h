// An input of a JSON API as one of longspan.v1, and the names that errors have for it. Thread safe.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rest/json_fields.h"

namespace longspan {

// "input", or "input[3]" where the inputs came as a list.
inline std::string InputPath(const char* field, bool is_list, size_t i) {
  return is_list ? absl::StrCat(field, "[", i, "]") : std::string(field);
}

// The path without what longspan.v1 has inside an input: "input[3].token_ids.ids[7]" is
// "input[3][7]" to callers whose input is a text or a list of ids.
inline std::string PlainInputName(std::string_view path) {
  std::string name(path);
  for (const std::string_view inner : {".text", ".token_ids.ids"}) {
    const size_t at = name.find(inner);
    if (at != std::string::npos) name.erase(at, inner.size());
  }
  return name;
}

inline void MoveInto(JsonInput input, v1::Input* out) {
  if (input.is_text) {
    out->set_text(std::move(input.text));
  } else {
    out->mutable_token_ids()->mutable_ids()->Add(input.ids.begin(), input.ids.end());
  }
}

}  // namespace longspan
