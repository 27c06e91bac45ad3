// JsonField: one field of a request of a JSON API. The tables of these fields are the one source of
// what the routes read (ReadFields) and of what /openapi.json says of it (openapi.h).
//
// Thread safety: plain values, and free functions without state.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/rest/ignored_fields.h"
#include "server/rest/json_value.h"

namespace longspan {

enum class JsonType {
  kString,
  kBool,
  kCount,     // a whole number of 0 to 2^32 - 1
  kChoice,    // one of JsonField::choices
  kTexts,     // a string, or a list of them
  kInputs,    // a string, a list of them, a list of token ids, or a list of these lists
  kIds,       // a list of token ids, or a list of these lists
  kList,      // any list
  kAnything,  // read by nobody
};

struct JsonField {
  std::string_view name;
  JsonType type = JsonType::kString;
  bool required = false;
  std::string_view description;           // one or two sentences
  std::vector<std::string_view> choices;  // of kChoice
  std::string_view example = {};          // as JSON
};

// The fields of one request, by name. Those that are null are left out.
class JsonFields {
 public:
  JsonValue* Find(std::string_view name);
  bool Has(std::string_view name) const { return values_.find(name) != values_.end(); }
  // What the field says, or `otherwise` where it is not there. Its type has been checked.
  std::string String(std::string_view name, std::string_view otherwise = {}) const;
  bool Bool(std::string_view name, bool otherwise) const;
  uint32_t Count(std::string_view name, uint32_t otherwise) const;

 private:
  friend absl::StatusOr<JsonFields> ReadFields(JsonValue body, std::span<const JsonField> table,
                                               IgnoredFields* ignored);
  std::map<std::string, JsonValue, std::less<>> values_;
};

// INVALID_ARGUMENT, with the field, what was got and what is allowed, where the body is no object,
// or a field is missing or has another type. One that is not in the table is added to `ignored`.
absl::StatusOr<JsonFields> ReadFields(JsonValue body, std::span<const JsonField> table,
                                      IgnoredFields* ignored);

// One text, or the ids of one.
struct JsonInput {
  std::string text;
  std::vector<uint32_t> ids;
  bool is_text = true;
};
// Of a field of kTexts, kInputs or kIds.
struct JsonInputs {
  std::vector<JsonInput> inputs;
  bool is_list = false;  // it came as a list, so the answer is one, too
};
// INVALID_ARGUMENT where an element of the list has another type than its like, or there are more
// than `most`. The type of the field itself has been checked.
absl::StatusOr<JsonInputs> TakeInputs(JsonValue* value, const std::string& field, int64_t most);

}  // namespace longspan
