// Encodes the cases of model folders for compare_transformers.py and compare_folders.py.
//
// Each line on stdin names a folder. Every case of FOLDER/cases.json is encoded as one packed
// batch, and FOLDER/got.safetensors gets its token vectors: [B, L, W] float32, with zeros in the
// rows of the tokens that the mask hides. The answer to the line is "ok" or the error.
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/encoder.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

// Token vectors and their shapes, by the name of the case.
struct Outputs {
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, std::vector<int64_t>> shapes;
};

absl::Status EncodeCase(const Encoder& encoder, const nlohmann::json& test_case, Outputs& outputs) {
  const auto ids = test_case.at("input_ids").get<std::vector<std::vector<int32_t>>>();
  const auto masks = test_case.at("attention_mask").get<std::vector<std::vector<uint8_t>>>();
  const int64_t rows = ids.size();
  const int64_t length = ids[0].size();
  const int64_t width = encoder.info().token_dimensions;
  const std::string name = test_case.at("name");
  std::vector<float>& values = outputs.values[name];
  values.assign(rows * length * width, 0.0f);
  outputs.shapes[name] = {rows, length, width};

  TokenBatch batch;
  std::vector<EncodeOptions> options(rows);
  for (int64_t row = 0; row < rows; ++row) {
    // Padding on the right is dropped; holes in the mask stay.
    int64_t tokens = length;
    while (tokens > 1 && masks[row][tokens - 1] == 0) --tokens;
    std::vector<int32_t> globals;
    if (test_case.contains("global_positions"))
      globals = test_case["global_positions"][row].get<std::vector<int32_t>>();
    const std::span<const uint8_t> mask(masks[row].data(), tokens);
    const bool whole = std::find(mask.begin(), mask.end(), 0) == mask.end();
    const TokenBatch::Text text = {.token_ids = std::span(ids[row]).first(tokens),
                                   .global_positions = globals,
                                   .attention_mask = whole ? std::span<const uint8_t>() : mask};
    options[row].document_vector = false;
    float* out = values.data() + row * length * width;
    options[row].token_sink = [out, width, mask](int64_t first, int64_t count, const float* block) {
      for (int64_t t = 0; t < count; ++t) {
        if (mask[first + t]) std::copy_n(block + t * width, width, out + (first + t) * width);
      }
    };
    if (absl::Status status = encoder.Validate(text, options[row]); !status.ok()) return status;
    batch.Add(text);
  }
  for (const auto& result : encoder.Encode(batch, options)) {
    if (!result.ok()) return result.status();
  }
  return absl::OkStatus();
}

absl::Status EncodeFolder(const std::string& folder) {
  const auto encoder = Encoder::Load(folder);
  if (!encoder.ok()) return encoder.status();
  Outputs outputs;
  const nlohmann::json cases = nlohmann::json::parse(std::ifstream(folder + "/cases.json"));
  for (const auto& test_case : cases.at("cases")) {
    if (absl::Status status = EncodeCase(**encoder, test_case, outputs); !status.ok())
      return status;
  }
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [name, values] : outputs.values) {
    tensors[name] = {.type = StoredType::kF32,
                     .shape = outputs.shapes[name],
                     .data = std::as_bytes(std::span(values))};
  }
  return WriteSafetensors(folder + "/got.safetensors", tensors);
}

}  // namespace
}  // namespace longspan

int main() {
  for (std::string folder; std::getline(std::cin, folder);) {
    const absl::Status status = longspan::EncodeFolder(folder);
    std::cout << (status.ok() ? "ok" : std::string(status.message())) << std::endl;
  }
  return 0;
}
