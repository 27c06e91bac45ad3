#include "server/rest/json_writer.h"

#include <array>
#include <charconv>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace longspan {

void AppendJsonString(std::string_view text, std::string* out) {
  // What is not UTF-8, which no text of ours is, becomes U+FFFD.
  out->append(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void AppendJsonFloat(float value, std::string* out) {
  std::array<char, 32> text;  // the longest float has 16 characters
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out->append(text.data(), end);
}

void AppendJsonFloats(std::span<const float> values, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendJsonFloat(values[i], out);
  }
  out->push_back(']');
}

void AppendJsonBase64(std::string_view bytes, std::string* out) {
  absl::StrAppend(out, "\"", absl::Base64Escape(absl::string_view(bytes.data(), bytes.size())),
                  "\"");
}

}  // namespace longspan
