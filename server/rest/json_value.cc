#include "server/rest/json_value.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"

namespace longspan {

// Takes nlohmann's events. A false answer ends the reading.
class JsonBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  absl::StatusOr<JsonValue> Take() {
    if (!status_.ok()) return status_;
    return std::move(root_);
  }

  bool null() override { return Add(JsonValue()); }
  bool boolean(bool value) override {
    JsonValue made = Of(JsonValue::Kind::kBool);
    made.unsigned_ = value ? 1 : 0;
    return Add(std::move(made));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= UINT32_MAX && AddId(static_cast<uint32_t>(value))) return true;
    return AddUnsigned(value);
  }
  bool number_integer(number_integer_t value) override {
    JsonValue made = Of(JsonValue::Kind::kInteger);
    made.number_ = static_cast<double>(value);
    return Add(std::move(made));
  }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    JsonValue made = Of(JsonValue::Kind::kFloat);
    made.number_ = value;
    return Add(std::move(made));
  }
  bool string(string_t& value) override {
    JsonValue made = Of(JsonValue::Kind::kString);
    made.string_ = std::move(value);
    return Add(std::move(made));
  }
  bool binary(binary_t& /*value*/) override { return false; }  // not in JSON

  bool start_object(size_t /*elements*/) override { return Open(JsonValue::Kind::kObject); }
  bool start_array(size_t /*elements*/) override { return Open(JsonValue::Kind::kArray); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (!open_.back().names.insert(name).second)
      return Refuse(absl::StrCat("the name ", Quoted(name), " comes twice in one object"));
    open_.back().name = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...". What it
    // repeats of the body may be long and hold anything.
    const std::string_view what = error.what();
    const bool is_syntax = what.find("parse error at") != std::string_view::npos;
    const size_t begin = is_syntax ? what.find(": ") : what.find("] ");
    std::string_view why = begin == std::string_view::npos ? what : what.substr(begin + 2);
    why = why.substr(0, why.find("; last read"));
    return Refuse(absl::StrCat("the body is not JSON: ", CutUtf8(why, 100), " at byte ", position));
  }

 private:
  struct OpenValue {
    JsonValue value;
    std::string name;                        // of the member that is being read
    absl::flat_hash_set<std::string> names;  // of an object
  };

  static JsonValue Of(JsonValue::Kind kind) {
    JsonValue made;
    made.kind_ = kind;
    return made;
  }

  bool Refuse(const std::string& why) {
    status_ = absl::InvalidArgumentError(why);
    return false;
  }
  bool Count() {
    if (++num_values_ <= kMaxJsonValues) return true;
    return Refuse(absl::StrCat("the body has too many values; allowed: at most ", kMaxJsonValues,
                               ", token ids not counted"));
  }

  // True where the number was added to an array of ids.
  bool AddId(uint32_t id) {
    if (open_.empty()) return false;
    JsonValue& parent = open_.back().value;
    if (parent.kind_ == JsonValue::Kind::kArray && parent.elements_.empty())
      parent.kind_ = JsonValue::Kind::kIds;
    if (parent.kind_ != JsonValue::Kind::kIds) return false;
    parent.ids_.push_back(id);
    return true;
  }
  bool AddUnsigned(uint64_t value) {
    JsonValue made = Of(JsonValue::Kind::kUnsigned);
    made.unsigned_ = value;
    made.number_ = static_cast<double>(value);
    return Add(std::move(made));
  }

  bool Add(JsonValue value) {
    if (!Count()) return false;
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    OpenValue& parent = open_.back();
    if (parent.value.kind_ == JsonValue::Kind::kObject) {
      parent.value.members_.emplace_back(std::move(parent.name), std::move(value));
      return true;
    }
    if (parent.value.kind_ == JsonValue::Kind::kIds && !Mix()) return false;
    parent.value.elements_.push_back(std::move(value));
    return true;
  }
  // The array of ids holds something else, too, so its ids become values like any other.
  bool Mix() {
    JsonValue& array = open_.back().value;
    num_values_ += static_cast<int64_t>(array.ids_.size());
    if (!Count()) return false;
    array.kind_ = JsonValue::Kind::kArray;
    for (const uint32_t id : std::exchange(array.ids_, {})) {
      JsonValue made = Of(JsonValue::Kind::kUnsigned);
      made.unsigned_ = id;
      made.number_ = id;
      array.elements_.push_back(std::move(made));
    }
    return true;
  }

  bool Open(JsonValue::Kind kind) {
    if (!Count()) return false;
    if (open_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      return Refuse(absl::StrCat("the body is nested too deeply; allowed: at most ", kMaxJsonDepth,
                                 " levels"));
    }
    open_.push_back({.value = Of(kind)});
    return true;
  }
  bool Close() {
    JsonValue value = std::move(open_.back().value);
    open_.pop_back();
    --num_values_;  // Open has counted it, and Add does again
    return Add(std::move(value));
  }

  std::vector<OpenValue> open_;
  JsonValue root_;
  int64_t num_values_ = 0;
  absl::Status status_;
};

std::string_view JsonValue::KindName() const {
  switch (kind_) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "a boolean";
    case Kind::kUnsigned:
    case Kind::kInteger:
    case Kind::kFloat:
      return "a number";
    case Kind::kString:
      return "a string";
    case Kind::kArray:
    case Kind::kIds:
      return "an array";
    case Kind::kObject:
      return "an object";
  }
  return "unknown";
}

std::string JsonValue::Got() const {
  if (is_number()) return absl::StrCat("is the number ", number_);
  return absl::StrCat("is ", is_string() ? Quoted(string_) : std::string(KindName()));
}

double JsonValue::number() const { return number_; }

size_t JsonValue::size() const { return kind_ == Kind::kIds ? ids_.size() : elements_.size(); }

absl::StatusOr<JsonValue> ReadJson(std::string_view body) {
  JsonBuilder builder;
  nlohmann::json::sax_parse(body.begin(), body.end(), &builder);
  return builder.Take();
}

}  // namespace longspan
