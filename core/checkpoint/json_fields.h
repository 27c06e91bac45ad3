// JsonFields: typed reads from one small JSON object. The first wrong value is kept as an error
// that says which key of which file holds what and what it should be; reads after it return the
// default, so a file is read in one go and status() asked once. An absent key and null are both
// "not given". Not thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

class JsonFields {
 public:
  // The object in a file; an absent file is an empty object.
  static absl::StatusOr<JsonFields> ReadOptional(const std::string& path);
  JsonFields(nlohmann::json object, std::string where)
      : object_(std::move(object)), where_(std::move(where)) {}

  bool Given(const std::string& key) const { return object_.contains(key); }  // null counts
  bool Has(const std::string& key) const { return !Value(key).is_null(); }
  const nlohmann::json& object() const { return object_; }
  const nlohmann::json& Value(const std::string& key) const;  // null if not given

  bool Bool(const std::string& key, bool fallback);
  std::optional<int64_t> Size(const std::string& key);  // a whole number, 1 or more
  std::string Text(const std::string& key, const std::string& fallback);

  void Fail(const std::string& key, const std::string& wanted);
  const absl::Status& status() const { return status_; }
  const std::string& where() const { return where_; }

 private:
  nlohmann::json object_;
  std::string where_;
  absl::Status status_;
};

}  // namespace longspan
