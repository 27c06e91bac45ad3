// JsonReader: checked reads from one JSON object, a model's config.json or a small file around it.
//
// A file is read in one straight run and status() is asked once, at the end. The first value that
// is wrong is kept as an error that says which key of which file holds what, and what it may hold;
// the reads that follow give harmless values. An absent key and null both mean "not given" and take
// the fallback, as in the published libraries.
//
//   JsonReader reader(folder.config(), folder.path() + "/config.json");
//   config.hidden_size = reader.Integer("hidden_size", {.fallback = 768, .min = 1});
//   if (!reader.status().ok()) return reader.status();
//
// An error is INVALID_ARGUMENT and one line, in one of two wordings:
//
//   kAllowed    FILE: "hidden_size" is -1; allowed: an integer from 1 to 65536
//   kShouldBe   FILE: "bias" is 3, should be true or false
//
// A reader that is given the table of the file's keys (known_keys.h) reads only those that the
// table calls honoured; asking for another one is INTERNAL, a fault of the code and not of the
// file.
//
// A value type; not thread safe. Proven by encoder_refusals_test, model_folder_test and
// known_keys_test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/known_keys.h"
#include "nlohmann/json.hpp"

namespace longspan {

// The table that a file's keys stand in, and the model type that its rows are for.
struct KeyRules {
  const KeyTable* table = nullptr;
  std::string family;
};

class JsonReader {
 public:
  enum class Wording {
    kAllowed,   // of a model's config.json
    kShouldBe,  // of the sentence-transformers and tokenizer files
  };

  // The object in the file at `path`, with errors in the wording kShouldBe. An absent file reads as
  // an empty object; a file that is not a JSON object is INVALID_ARGUMENT.
  static absl::StatusOr<JsonReader> ReadOptional(const std::string& path, KeyRules rules = {});
  // `source` is the file's name in errors. Without a table in `rules`, any key may be read.
  JsonReader(nlohmann::json object, std::string source, Wording wording = Wording::kAllowed,
             KeyRules rules = {})
      : object_(std::move(object)),
        source_(std::move(source)),
        wording_(wording),
        rules_(std::move(rules)) {}

  const nlohmann::json& object() const { return object_; }
  const std::string& source() const { return source_; }
  // The first error; OK where nothing was wrong so far.
  const absl::Status& status() const { return status_; }

  bool Contains(std::string_view key) const;  // null counts as contained
  bool Has(std::string_view key) const { return !Value(key).is_null(); }
  const nlohmann::json& Value(std::string_view key) const;  // null where the key is not given

  struct IntegerRule {
    std::optional<int64_t> fallback;  // nullopt: the key must be given
    int64_t min = 0;
    int64_t max = int64_t{1} << 31;
  };
  int64_t Integer(std::string_view key, const IntegerRule& rule);
  // A whole number from 1 on; nullopt where the key is not given.
  std::optional<int64_t> Size(std::string_view key);
  double PositiveNumber(std::string_view key, std::optional<double> fallback);
  bool Boolean(std::string_view key, bool fallback);
  // `allowed` empty = any string.
  std::string String(std::string_view key, std::string_view fallback,
                     const std::vector<std::string_view>& allowed = {});
  // A number for all layers, or a list of exactly `count` numbers; each is checked against the
  // rule.
  std::vector<int64_t> IntegerPerLayer(std::string_view key, int64_t count,
                                       const IntegerRule& rule);
  // A list of exactly `count` strings out of `allowed`; empty where the key is not given.
  std::vector<std::string> StringPerLayer(std::string_view key, int64_t count,
                                          const std::vector<std::string_view>& allowed);

  // A reader of the object under `key`, empty where the key is not given. Its errors name the same
  // file and "key.inner"; Merge takes them over.
  JsonReader Object(std::string_view key);
  void Merge(const JsonReader& nested);

  // Records an error of the caller's own: `key` holds `got`, it may hold `allowed`.
  void Fail(std::string_view key, std::string_view got, std::string_view allowed);
  // The same, with the value that `key` holds.
  void Fail(std::string_view key, std::string_view allowed);
  // Records `FILE: "key": REASON`, for an error that says itself what is allowed.
  void FailBecause(std::string_view key, std::string_view reason);

 private:
  int64_t CheckedInteger(const std::string& key, const nlohmann::json& value,
                         const IntegerRule& rule);
  std::string Shown(const nlohmann::json& value) const;
  void Record(std::string_view key, std::string_view what);
  // Keeps an error if the table does not call the key honoured.
  void CheckHonoured(std::string_view key) const;
  // The value without that check.
  const nlohmann::json& Find(std::string_view key) const;

  nlohmann::json object_;
  std::string source_;
  Wording wording_;
  KeyRules rules_;
  std::string prefix_;  // of the keys in errors: "longspan." in the object under "longspan"
  mutable absl::Status status_;  // mutable for CheckHonoured, which plain reads call
};

}  // namespace longspan
