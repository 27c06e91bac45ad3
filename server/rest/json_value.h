// JsonValue: a request's JSON, read within bounds. Bodies come from anybody, so what takes memory
// or time out of proportion to its bytes is refused while it is read: nesting, arrays of arrays, a
// name that comes twice. Strings are moved, and arrays of token ids are held as numbers of four
// bytes.
//
//   auto value = ReadJson(body);
//   if (!value.ok()) ...          // INVALID_ARGUMENT "the body is not JSON: ..."
//   if (value->is_object()) ...
//
// The parser is nlohmann's, by its events. It refuses what is not UTF-8, lone surrogates and
// numbers beyond a double.
//
// Thread safety: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace longspan {

class JsonValue {
 public:
  // kIds is an array of which all elements are whole numbers of 0 to 2^32 - 1. It is empty nowhere:
  // "[]" is a kArray.
  enum class Kind { kNull, kBool, kUnsigned, kInteger, kFloat, kString, kArray, kIds, kObject };
  using Member = std::pair<std::string, JsonValue>;

  JsonValue() = default;

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_bool() const { return kind_ == Kind::kBool; }
  bool is_number() const {
    return kind_ == Kind::kUnsigned || kind_ == Kind::kInteger || kind_ == Kind::kFloat;
  }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_array() const { return kind_ == Kind::kArray || kind_ == Kind::kIds; }
  bool is_object() const { return kind_ == Kind::kObject; }
  // "a string", "an array", ...: for messages.
  std::string_view KindName() const;
  // "is the number 3", "is 'query'", "is an array": for messages.
  std::string Got() const;

  bool boolean() const { return unsigned_ != 0; }
  uint64_t unsigned_number() const { return unsigned_; }  // of kUnsigned
  double number() const;                                  // of any number
  const std::string& string() const { return string_; }
  std::string& string() { return string_; }
  const std::vector<uint32_t>& ids() const { return ids_; }
  size_t size() const;  // of an array
  // Of a kArray.
  const std::vector<JsonValue>& elements() const { return elements_; }
  std::vector<JsonValue>& elements() { return elements_; }
  // Of an object, in the order of the body.
  const std::vector<Member>& members() const { return members_; }
  std::vector<Member>& members() { return members_; }

 private:
  friend class JsonBuilder;

  Kind kind_ = Kind::kNull;
  uint64_t unsigned_ = 0;  // kBool, kUnsigned
  double number_ = 0;      // kInteger, kFloat
  std::string string_;
  std::vector<uint32_t> ids_;
  std::vector<JsonValue> elements_;
  std::vector<Member> members_;
};

// Deepest nesting that is read. The contracts need six levels.
inline constexpr int kMaxJsonDepth = 32;
// Arrays, objects and values that are no token ids, of one body. The longest list that the
// contracts allow has 65,536 spans of two numbers each.
inline constexpr int64_t kMaxJsonValues = int64_t{1} << 18;

// INVALID_ARGUMENT, with what is wrong and where, for anything else than one JSON text.
absl::StatusOr<JsonValue> ReadJson(std::string_view body);

}  // namespace longspan
