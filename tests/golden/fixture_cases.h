// The cases of a fixture folder: the texts whose rows stand in its expected.safetensors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/token_batch.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct FixtureCase {
  std::string name;  // of the tensor [B, L, W] with the rows
  std::vector<std::vector<int32_t>> input_ids;
  std::vector<std::vector<uint8_t>> attention_mask;
  std::vector<std::vector<int32_t>> global_positions;

  size_t num_texts() const { return input_ids.size(); }
  // With its padding and under the mask, or without both.
  TokenBatch::Text Text(size_t text, bool keep_padding) const {
    const auto real = std::count(attention_mask[text].begin(), attention_mask[text].end(), 1);
    TokenBatch::Text view{.token_ids = input_ids[text], .global_positions = global_positions[text]};
    if (keep_padding) view.attention_mask = attention_mask[text];
    if (!keep_padding) view.token_ids = view.token_ids.first(static_cast<size_t>(real));
    return view;
  }
};

// Throws nlohmann's exceptions where the file is not there or not what it should be.
inline std::vector<FixtureCase> ReadFixtureCases(const std::string& folder) {
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(folder + "/cases.json"));
  std::vector<FixtureCase> cases;
  for (const nlohmann::json& entry : json["cases"]) {
    FixtureCase c{.name = entry["name"],
                  .input_ids = entry["input_ids"],
                  .attention_mask = entry["attention_mask"]};
    if (entry.contains("global_positions")) c.global_positions = entry["global_positions"];
    c.global_positions.resize(c.input_ids.size());
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace longspan
