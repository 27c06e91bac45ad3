// The files of a random model.
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/weights/safetensors_reader.h"
#include "tests/cuda/random_models.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

uint16_t Bfloat16Of(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}

// The values lie evenly in [middle - reach, middle + reach).
struct Spread {
  float middle = 0;
  float reach = 0;
};

// Tables of vectors have half the width of what norms make of them. A product keeps the variance of
// what it multiplies: an even spread of +-reach has a variance of reach^2 / 3.
Spread SpreadOf(const std::string& name, const std::vector<int64_t>& shape) {
  const bool is_norm = absl::StrContains(name, "norm.") || absl::StrContains(name, "Norm.") ||
                       absl::StrContains(name, "norm_embedding.");
  if (is_norm && name.ends_with("weight")) return {1, 0.2F};
  if (shape.size() == 1) return {0, 0.1F};
  if (absl::StrContains(name, "embed") || name == "shared.weight") return {0, 0.9F};
  return {0, std::sqrt(3.0F / static_cast<float>(shape.back()))};
}

uint64_t SeedOf(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash | 1;
}

// xorshift64 (Marsaglia 2003); each step gives four values.
std::vector<uint16_t> Draw(const std::string& name, const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  const Spread spread = SpreadOf(name, shape);
  std::vector<uint16_t> values(count);
  uint64_t state = SeedOf(name);
  for (int64_t i = 0; i < count; ++i) {
    if (i % 4 == 0) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
    }
    const auto bits = static_cast<uint16_t>(state >> (16 * (i % 4)));
    const float even = static_cast<float>(bits) / 32768.0F - 1;
    values[i] = Bfloat16Of(spread.middle + spread.reach * even);
  }
  return values;
}

Json Tokenizer(const RandomModel& model) {
  const bool pad_second = model.config["pad_token_id"] == 1;
  Json vocabulary = {
      {"[CLS]", pad_second ? 0 : 1}, {"[PAD]", pad_second ? 1 : 0}, {"[SEP]", 2}, {"[UNK]", 3}};
  int64_t next = 5;
  for (const char* word : {"the", "court", "shall", "report", "a", "long", "river", "under",
                           "seven", "and", "paper", "of", "night", "people"})
    vocabulary[word] = next++;
  Json added = Json::array(), special = Json::object();
  for (const char* token : {"[CLS]", "[PAD]", "[SEP]", "[UNK]"}) {
    const Json id = vocabulary[token];
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    special[token] = {{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
  }
  const auto token = [](const char* id) {
    return Json{{"SpecialToken", {{"id", id}, {"type_id", 0}}}};
  };
  const auto sequence = [](const char* id) {
    return Json{{"Sequence", {{"id", id}, {"type_id", 0}}}};
  };
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {token("[CLS]"), sequence("A"), token("[SEP]")}},
        {"pair", {token("[CLS]"), sequence("A"), token("[SEP]"), sequence("B"), token("[SEP]")}},
        {"special_tokens", special}}},
      {"decoder", nullptr},
      {"model", {{"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
}

absl::Status WriteJson(const fs::path& path, const Json& json) {
  std::ofstream file(path);
  file << json.dump(1) << "\n";
  file.close();
  if (file) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot write ", path.string()));
}

absl::Status WriteWeights(const RandomModel& model, const fs::path& folder) {
  std::map<std::string, std::vector<uint16_t>> values;
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [name, shape] : model.tensors) {
    std::vector<uint16_t>& of_tensor = values[name] = Draw(name, shape);
    tensors[name] = {
        .type = StoredType::kBF16, .shape = shape, .data = std::as_bytes(std::span(of_tensor))};
  }
  return WriteSafetensors((folder / "model.safetensors").string(), tensors, {{"format", "pt"}});
}

}  // namespace

absl::Status WriteRandomModel(const RandomModel& model, const std::string& path) {
  const fs::path folder = path;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return absl::InternalError(absl::StrCat("cannot make ", path, ": ", error.message()));
  if (absl::Status status = WriteWeights(model, folder); !status.ok()) return status;
  if (model.has_tokenizer) {
    const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"cls_token", "[CLS]"},
                         {"pad_token", "[PAD]"},
                         {"sep_token", "[SEP]"},
                         {"unk_token", "[UNK]"}};
    if (absl::Status status = WriteJson(folder / "tokenizer.json", Tokenizer(model)); !status.ok())
      return status;
    if (absl::Status status = WriteJson(folder / "tokenizer_config.json", config); !status.ok())
      return status;
  }
  // Last, so that a folder with a config is whole.
  return WriteJson(folder / "config.json", model.config);
}

}  // namespace longspan
