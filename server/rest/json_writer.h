// JSON texts, appended piece by piece: answers of many vectors are written once and never built as
// a tree of values. A number is the shortest that reads back as the same float.
//
// Free functions without state: thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace longspan {

// "a \"quoted\" text", with its quotes. `text` is UTF-8.
void AppendJsonString(std::string_view text, std::string* out);
// 0.25, 1e-07. `value` is finite.
void AppendJsonFloat(float value, std::string* out);
// [0.25,-1,...]
void AppendJsonFloats(std::span<const float> values, std::string* out);
// "AACAPw==", with its quotes (RFC 4648, section 4).
void AppendJsonBase64(std::string_view bytes, std::string* out);

}  // namespace longspan
