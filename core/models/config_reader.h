// ConfigReader: reads the keys of one config.json with a check for each. The first error is kept
// and says which key, what it holds and what is allowed; later reads go on with harmless values, so
// that a config is read in one straight run:
//
//   ConfigReader reader(folder.config(), folder.path() + "/config.json");
//   config.hidden_size = reader.Integer("hidden_size", {.fallback = 768, .min = 1});
//   if (!reader.status().ok()) return reader.status();
//
// An absent (or null) key takes the library's default, as the published loader does. Not thread
// safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/layers/linear.h"
#include "nlohmann/json.hpp"

namespace longspan {

class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& config, std::string source)
      : config_(config), source_(std::move(source)) {}

  struct IntegerRule {
    std::optional<int64_t> fallback;  // nullopt: the key must be there
    int64_t min = 0;
    int64_t max = int64_t{1} << 31;
  };
  int64_t Integer(std::string_view key, const IntegerRule& rule);
  double PositiveNumber(std::string_view key, std::optional<double> fallback);
  bool Boolean(std::string_view key, bool fallback);
  // `allowed` empty = any string.
  std::string String(std::string_view key, std::string_view fallback,
                     const std::vector<std::string_view>& allowed = {});
  // A number, or a list of exactly `count` numbers; each checked against the rule.
  std::vector<int64_t> IntegerPerLayer(std::string_view key, int64_t count,
                                       const IntegerRule& rule);
  // A list of exactly `count` strings out of `allowed`; empty where the key is absent.
  std::vector<std::string> StringPerLayer(std::string_view key, int64_t count,
                                          const std::vector<std::string_view>& allowed);
  longspan::Activation ReadActivation(std::string_view key, std::string_view fallback);

  // The object under `key`, read with the same source in its errors; an empty one where the key is
  // absent.
  ConfigReader Object(std::string_view key);
  bool Contains(std::string_view key) const;
  // Records an error of the caller's own: `key` is `got`, allowed is `allowed`.
  void Fail(std::string_view key, std::string_view got, std::string_view allowed);
  // The width of the residual stream must split evenly into heads.
  void CheckHeads(std::string_view key, int64_t hidden_size, int64_t num_heads);
  // Takes over the error of a reader made by Object.
  void Merge(const ConfigReader& nested);

  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(std::string_view key) const;  // null where absent or null
  int64_t CheckedInteger(const std::string& key, const nlohmann::json& value,
                         const IntegerRule& rule);

  nlohmann::json config_;
  std::string source_;
  std::string prefix_;  // "longspan." for a nested object
  absl::Status status_;
};

}  // namespace longspan
