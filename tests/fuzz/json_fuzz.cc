// Any bytes as JSON of a checkpoint: ParsePythonJson reads them, or refuses them in one line. What
// it reads is written on one line and read again as the same; every read of a JsonReader then gives
// a value within its rule, or an error of one line that names the file.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/checkpoint/json_reader.h"
#include "core/checkpoint/python_json.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

bool OneLine(std::string_view text) { return text.find('\n') == std::string_view::npos; }

int Depth(const nlohmann::json& value) {
  int depth = 0;
  if (value.is_structured()) {
    for (const auto& inner : value) depth = std::max(depth, Depth(inner));
    ++depth;
  }
  return depth;
}

// Each kind of read, for each key of the object and for one that it does not have.
void ReadAll(const nlohmann::json& object) {
  std::vector<std::string> keys = {"absent"};
  for (const auto& [key, value] : object.items()) {
    // Code asks for keys that it knows, which are words.
    if (std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; }))
      keys.push_back(key);
  }
  for (const std::string& key : keys) {
    for (const auto wording : {JsonReader::Wording::kAllowed, JsonReader::Wording::kShouldBe}) {
      JsonReader reader(object, "config.json", wording);
      const int64_t integer = reader.Integer(key, {.fallback = 7, .min = 1, .max = 1000});
      Require(!reader.status().ok() || (integer >= 1 && integer <= 1000));
      (void)reader.Boolean(key, false);
      const std::string one = reader.String(key, "a", {"a", "b"});
      Require(one == "a" || one == "b" || !reader.status().ok());
      const double number = reader.PositiveNumber(key, 0.5);
      Require(number > 0 || !reader.status().ok());
      const auto size = reader.Size(key);
      Require(!size.has_value() || *size >= 1 || !reader.status().ok());
      const auto layers = reader.IntegerPerLayer(key, 3, {.fallback = 1, .min = 0, .max = 1 << 20});
      Require(layers.size() == 3 || !reader.status().ok());
      const auto names = reader.StringPerLayer(key, 3, {"a", "b"});
      Require(names.empty() || names.size() == 3 || !reader.status().ok());
      JsonReader nested = reader.Object(key);
      (void)nested.Integer("inner", {.fallback = 1});
      reader.Merge(nested);
      reader.Fail(key, "nothing at all");
      Require(OneLine(MessageOf(reader.status())));
      Require(MessageOf(reader.status()).starts_with("config.json"));
    }
  }
}

void Check(std::string_view bytes) {
  const auto value = ParsePythonJson(bytes);
  if (!value.ok()) {
    Require(value.status().code() == absl::StatusCode::kInvalidArgument);
    return Require(OneLine(MessageOf(value.status())));
  }
  Require(Depth(*value) <= kMaxJsonDepth);
  const std::string text = PythonJsonText(*value);
  Require(OneLine(text));
  if (value->is_object() && value->size() <= 64) ReadAll(*value);
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
