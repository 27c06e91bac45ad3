#include "core/checkpoint/sentence_layout.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/json_reader.h"
#include "core/checkpoint/known_keys.h"
#include "core/checkpoint/sentence_keys.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

absl::Status Bad(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(OneLine(absl::StrCat(where, ": ", what)));
}

std::string Join(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

std::string LastComponent(const std::string& dotted) {
  return dotted.substr(dotted.rfind('.') + 1);
}

// The packages of sentence-transformers 2.0 to 6.2 that hold the class of a module. Each holds it
// under its own name and, in a file of that name, once more: "models.Pooling.Pooling" in old
// versions, "modules.pooling.Pooling" in new ones.
constexpr std::array<std::string_view, 7> kPackages = {
    "sentence_transformers.models",
    "sentence_transformers.base.modules",
    "sentence_transformers.sentence_transformer.modules",
    "sentence_transformers.sparse_encoder.models",
    "sentence_transformers.sparse_encoder.modules",
    "sentence_transformers.cross_encoder.modules",
    "sentence_transformers.multi_vector_encoder.modules",
};

constexpr std::string_view kMask = "MultiVectorMask";
constexpr std::string_view kPylateDense = "pylate.models.Dense.Dense";

// The name of the class that modules.json names; empty where it is of another package.
std::string ClassOfModule(const std::string& type) {
  const std::string name = LastComponent(type);
  if (type == kPylateDense) return "Dense";
  const std::string file =
      name == kMask ? std::string("multi_vector_mask") : absl::AsciiStrToLower(name);
  for (const std::string_view package : kPackages) {
    const std::string prefix = absl::StrCat(std::string(package), ".");
    if (type == prefix + name || type == absl::StrCat(prefix, name, ".", name) ||
        type == absl::StrCat(prefix, file, ".", name))
      return name;
  }
  return "";
}

// Compares the file with its table. `warnings` may be null.
absl::Status CheckFile(const KeyTable& table, std::string_view family, const JsonReader& file,
                       Warnings* warnings) {
  Warnings unheard;
  return CheckKeys(table, family, file.object(), file.source(),
                   warnings != nullptr ? warnings : &unheard);
}

// The file at `path` as a reader, compared with its table; an absent file reads as an empty object.
absl::StatusOr<JsonReader> ReadFile(const std::string& path, const KeyTable& table,
                                    std::string_view family, Warnings* warnings) {
  absl::StatusOr<JsonReader> file = JsonReader::ReadOptional(path, {&table, std::string(family)});
  if (!file.ok()) return file;
  if (absl::Status status = CheckFile(table, family, *file, warnings); !status.ok()) return status;
  return file;
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20; }

// The absolute path of a module's folder, which must lie in the model's folder.
absl::StatusOr<std::string> ModulePath(const std::string& folder, const std::string& path,
                                       const std::string& where) {
  const fs::path relative = fs::path(path).lexically_normal();
  const bool leaves = relative.is_absolute() || std::any_of(path.begin(), path.end(), IsControl) ||
                      (!relative.empty() && *relative.begin() == "..");
  if (leaves) return Bad(where, absl::StrCat("module path \"", path, "\" leaves the folder"));
  return (fs::path(folder) / relative).lexically_normal().string();
}

// Places one module behind those before it. `rank` says how far the chain is: 0 = nothing yet, 1 =
// transformer, 2 = pooling and perhaps Dense, 3 = normalised.
absl::Status PlaceModule(const std::string& kind, const std::string& path, int* rank,
                         SentenceModules* modules) {
  if (kind == "Transformer" && *rank == 0) {
    modules->transformer = path;
    *rank = 1;
  } else if (kind == "Pooling" && *rank == 1) {
    modules->pooling = path;
    *rank = 2;
  } else if (kind == "Dense" && *rank == 2) {
    modules->dense.push_back(path);
  } else if (kind == "Normalize" && *rank == 2) {
    modules->normalize = path;
    *rank = 3;
  } else if (kind == "Dropout" && *rank >= 2) {
    // Dropout does nothing at inference.
  } else {
    const bool known = kind == "Transformer" || kind == "Pooling" || kind == "Dense" ||
                       kind == "Normalize" || kind == "Dropout";
    return absl::InvalidArgumentError(absl::StrCat(
        known ? "module \"" : "unknown module \"", kind, "\"",
        known ? " stands in an unusual place" : "",
        "; this server reads Transformer, Pooling, any number of Dense, then perhaps Normalize"));
  }
  return absl::OkStatus();
}

// The same of a multi-vector model: 1 = transformer and perhaps Dense and mask, 2 = normalised.
absl::Status PlaceTokenModule(const std::string& kind, const std::string& path, int* rank,
                              SentenceModules* modules) {
  if (kind == "Transformer" && *rank == 0) {
    modules->transformer = path;
    *rank = 1;
  } else if (kind == "Dense" && *rank == 1) {
    modules->dense.push_back(path);
  } else if (kind == kMask && *rank >= 1 && !modules->mask.has_value()) {
    modules->mask = path;
  } else if (kind == "Normalize" && *rank == 1) {
    modules->normalize = path;
    *rank = 2;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "module \"", kind,
        "\" stands in an unusual place; of a multi-vector model this server reads "
        "Transformer, any number of Dense, then perhaps MultiVectorMask and Normalize"));
  }
  return absl::OkStatus();
}

// Finds out from the list and "model_type" whether the folder is a multi-vector model's.
absl::Status FindKind(const std::string& folder, const json& list, SentenceModules* modules) {
  const auto config = JsonReader::ReadOptional(Join(folder, "config_sentence_transformers.json"));
  if (!config.ok()) return config.status();
  const json& model_type = config->Value("model_type");
  const bool holds_pylates = std::any_of(list.begin(), list.end(), [](const json& module) {
    return module.is_object() && module.value("type", json()) == kPylateDense;
  });
  modules->is_colbert = model_type == "ColBERT";
  // The library takes such a folder without "model_type" for one to be converted, which comes to
  // the same.
  const bool is_unnamed = model_type.is_null() || model_type == kSentenceFamily;
  modules->is_pylates = modules->is_colbert || (is_unnamed && holds_pylates);
  modules->is_multi_vector = modules->is_pylates || model_type == kMultiVectorFamily;
  return absl::OkStatus();
}

// What modules.json may not be without.
absl::Status CheckChain(const SentenceModules& modules, int rank, const std::string& where) {
  if (rank == 0) return Bad(where, "names no Transformer");
  if (!modules.is_multi_vector && rank < 2)
    return Bad(where, "names no Pooling, so the model gives no text vectors");
  if (modules.is_pylates && modules.mask.has_value())
    return Bad(where,
               "names a MultiVectorMask in a folder of PyLate, which has a skip list beside");
  return absl::OkStatus();
}

constexpr std::array<std::pair<const char*, PoolingMode>, 6> kOldPoolingKeys = {{
    {"pooling_mode_cls_token", PoolingMode::kCls},
    {"pooling_mode_max_tokens", PoolingMode::kMax},
    {"pooling_mode_mean_tokens", PoolingMode::kMean},
    {"pooling_mode_mean_sqrt_len_tokens", PoolingMode::kMeanSqrtLen},
    {"pooling_mode_weightedmean_tokens", PoolingMode::kWeightedMean},
    {"pooling_mode_lasttoken", PoolingMode::kLastToken},
}};

constexpr std::string_view kPoolingModes =
    "one or a list of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken";

std::optional<PoolingMode> ModeOfName(const json& name) {
  for (const auto& [key, mode] : kOldPoolingKeys) {
    if (name.is_string() && name.get<std::string>() == PoolingModeName(mode)) return mode;
  }
  return std::nullopt;
}

std::vector<PoolingMode> ReadModes(JsonReader* fields) {
  std::vector<PoolingMode> modes;
  if (fields->Has("pooling_mode")) {
    const json& value = fields->Value("pooling_mode");
    for (const json& name : value.is_array() ? value : json::array({value})) {
      const std::optional<PoolingMode> mode = ModeOfName(name);
      if (mode.has_value()) modes.push_back(*mode);
      if (!mode.has_value()) fields->Fail("pooling_mode", kPoolingModes);
    }
    if (modes.empty()) fields->Fail("pooling_mode", kPoolingModes);
    return modes;
  }
  for (const auto& [key, mode] : kOldPoolingKeys) {
    if (fields->Boolean(key, false)) modes.push_back(mode);
  }
  if (modes.empty()) modes = {PoolingMode::kMean};
  return modes;
}

// The library takes a function from outside of torch for Tanh, which its author hardly meant.
std::string ReadActivation(JsonReader* fields) {
  if (!fields->Has("activation_function"))
    return fields->Contains("activation_function") ? "Identity" : "Tanh";  // null : absent
  const std::string type = fields->String("activation_function", "");
  std::string activation = LastComponent(type);
  const std::array<std::string_view, 5> known = {"Identity", "Tanh", "ReLU", "GELU", "SiLU"};
  const std::string file = activation == "Identity" ? "linear." : "activation.";
  const std::string in_torch = "torch.nn.";
  const bool is_torchs = type == in_torch + activation ||
                         type == absl::StrCat(in_torch, "modules.", activation) ||
                         type == absl::StrCat(in_torch, "modules.", file, activation);
  if (!is_torchs || std::find(known.begin(), known.end(), activation) == known.end())
    fields->Fail("activation_function", "Identity, Tanh, ReLU, GELU or SiLU of torch.nn");
  return activation;
}

}  // namespace

std::string_view SentenceModules::family() const {
  return is_multi_vector ? kMultiVectorFamily : kSentenceFamily;
}

absl::StatusOr<std::optional<SentenceModules>> ReadModules(const std::string& folder,
                                                           Warnings* warnings) {
  const std::string where = Join(folder, "modules.json");
  const absl::StatusOr<json> list = ReadJsonFile(where);
  if (absl::IsNotFound(list.status())) return std::nullopt;
  if (!list.ok()) return list.status();
  if (!list->is_array() || list->empty()) return Bad(where, "is not a list of modules");
  SentenceModules modules;
  if (absl::Status status = FindKind(folder, *list, &modules); !status.ok()) return status;
  std::set<std::string> names;
  int rank = 0;
  for (const json& module : *list) {
    if (!module.is_object()) return Bad(where, "holds a module that is not a JSON object");
    JsonReader fields(module, where, JsonReader::Wording::kShouldBe, {&ModulesKeys(), ""});
    if (absl::Status status = CheckFile(ModulesKeys(), "", fields, warnings); !status.ok())
      return status;
    const std::string type = fields.String("type", "");
    const std::string kind = ClassOfModule(type);
    const std::string name = fields.String("name", "");
    if (fields.status().ok() && kind.empty()) {
      return Bad(where,
                 absl::StrCat("unknown module \"", type,
                              "\"; this server reads Transformer, Pooling (of a multi-vector "
                              "model MultiVectorMask), any number of Dense, then perhaps "
                              "Normalize, each of sentence_transformers (such as "
                              "sentence_transformers.models.Pooling)"));
    }
    const absl::StatusOr<std::string> path = ModulePath(folder, fields.String("path", ""), where);
    if (!fields.status().ok()) return fields.status();
    if (!path.ok()) return path.status();
    const absl::Status placed = modules.is_multi_vector
                                    ? PlaceTokenModule(kind, *path, &rank, &modules)
                                    : PlaceModule(kind, *path, &rank, &modules);
    if (!placed.ok()) return Bad(where, std::string(placed.message()));
    if (fields.Has("name") && !names.insert(name).second)
      return Bad(where, absl::StrCat("two modules have the name \"", name, "\""));
  }
  if (absl::Status status = CheckChain(modules, rank, where); !status.ok()) return status;
  return modules;
}

absl::StatusOr<PoolingConfig> ReadPooling(const std::string& module_path, Warnings* warnings) {
  const std::string where = Join(module_path, "config.json");
  absl::StatusOr<JsonReader> fields = ReadFile(where, PoolingKeys(), "", warnings);
  if (!fields.ok()) return fields.status();
  PoolingConfig pooling;
  pooling.modes = ReadModes(&*fields);
  pooling.include_prompt = fields->Boolean("include_prompt", true);
  pooling.dimensions = fields->Size(
      fields->Has("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension");
  if (!fields->status().ok()) return fields->status();
  return pooling;
}

absl::StatusOr<DenseModule> ReadDense(const std::string& module_path, std::string_view family,
                                      Warnings* warnings) {
  const std::string where = Join(module_path, "config.json");
  absl::StatusOr<JsonReader> fields = ReadFile(where, DenseKeys(), family, warnings);
  if (!fields.ok()) return fields.status();
  DenseModule dense;
  dense.in_features = fields->Size("in_features").value_or(0);
  dense.out_features = fields->Size("out_features").value_or(0);
  dense.bias = fields->Boolean("bias", true);
  dense.use_residual = fields->Boolean("use_residual", false);
  dense.activation = ReadActivation(&*fields);
  if (!fields->status().ok()) return fields->status();
  if (dense.in_features == 0 || dense.out_features == 0)
    return Bad(where, "has no in_features and out_features");
  dense.weights_path = Join(module_path, "model.safetensors");
  const absl::StatusOr<bool> has_weights = HasFile(dense.weights_path);
  if (!has_weights.ok()) return has_weights.status();
  if (!*has_weights) {
    return absl::NotFoundError(absl::StrCat(
        module_path,
        ": has no model.safetensors (pytorch_model.bin is not read; load and save the model "
        "once with sentence-transformers to convert it)"));
  }
  return dense;
}

// The library's Normalize reads the pooled vector where the file names nothing.
absl::Status CheckNormalize(const std::string& module_path, std::string_view family,
                            Warnings* warnings) {
  absl::StatusOr<JsonReader> fields =
      ReadFile(Join(module_path, "config.json"), NormalizeKeys(), family, warnings);
  if (!fields.ok() || family != kMultiVectorFamily) return fields.status();
  if (fields->String("module_input_name", "") != "token_embeddings")
    fields->Fail("module_input_name", "\"token_embeddings\" in a multi-vector model");
  return fields->status();
}

bool IsCausalLanguageModel(const json& config) {
  const auto architectures = config.find("architectures");
  if (architectures == config.end() || !architectures->is_array()) return false;
  return std::any_of(architectures->begin(), architectures->end(), [](const json& name) {
    const std::string text = name.is_string() ? name.get<std::string>() : "";
    return absl::EndsWith(text, "ForCausalLM") || absl::EndsWith(text, "ModelWithLMHead") ||
           absl::EndsWith(text, "LMHeadModel");
  });
}

absl::StatusOr<LengthAndCase> ReadLengthAndCase(const std::string& transformer_path, bool is_module,
                                                std::string_view family, Warnings* warnings) {
  LengthAndCase result;
  for (const char* infix :
       {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"}) {
    const std::string path =
        Join(transformer_path, absl::StrCat("sentence_", infix, "_config.json"));
    const absl::StatusOr<bool> there = HasFile(path);
    if (!there.ok()) return there.status();
    if (!*there) continue;
    absl::StatusOr<JsonReader> fields = ReadFile(path, SentenceBertKeys(), family, warnings);
    if (!fields.ok()) return fields.status();
    result.max_seq_length = fields->Size("max_seq_length");
    result.do_lower_case = fields->Boolean("do_lower_case", false);
    if (result.do_lower_case && !is_module) {
      fields->FailBecause("do_lower_case",
                          "true is read only beside a modules.json, as in sentence-transformers");
    }
    if (!fields->status().ok()) return fields->status();
    break;
  }
  if (result.max_seq_length.has_value()) return result;

  const absl::StatusOr<JsonReader> tokenizer =
      JsonReader::ReadOptional(Join(transformer_path, "tokenizer_config.json"));
  if (!tokenizer.ok()) return tokenizer.status();
  // transformers writes int(1e30) where no length is set; so a number that no text can have means
  // that none is set.
  const json& length =
      tokenizer->Value(tokenizer->Has("model_max_length") ? "model_max_length" : "max_len");
  const double value = length.is_number() ? length.get<double>() : 0;
  if (value >= 1 && value < 2147483648.0) result.max_seq_length = static_cast<int64_t>(value);
  return result;
}

absl::StatusOr<SentencePrompts> ReadPrompts(const std::string& folder, std::string_view family,
                                            Warnings* warnings) {
  absl::StatusOr<JsonReader> fields = ReadFile(Join(folder, "config_sentence_transformers.json"),
                                               SentenceTransformerKeys(), family, warnings);
  if (!fields.ok()) return fields.status();
  SentencePrompts result;
  const json& prompts = fields->Value("prompts");
  if (!prompts.is_null() && !prompts.is_object())
    fields->Fail("prompts", "an object of names and texts");
  if (prompts.is_object()) {
    for (const auto& [name, text] : prompts.items()) {
      if (text.is_string()) result.prompts[name] = text.get<std::string>();
      if (!text.is_string() && !text.is_null())
        fields->Fail("prompts", "an object of names and texts");
    }
  }
  result.default_prompt_name = fields->String("default_prompt_name", "");
  if (family != kMultiVectorFamily) result.truncate_dim = fields->Size("truncate_dim");
  if (!fields->status().ok()) return fields->status();
  // The library knows these two prompts in any case; they are empty where the file gives no text.
  const bool is_empty_prompt =
      result.default_prompt_name == "query" || result.default_prompt_name == "document" ||
      (prompts.is_object() && prompts.contains(result.default_prompt_name));
  if (is_empty_prompt && !result.prompts.contains(result.default_prompt_name))
    result.default_prompt_name.clear();
  if (!result.default_prompt_name.empty() && !result.prompts.contains(result.default_prompt_name)) {
    return Bad(fields->source(),
               absl::StrCat("\"default_prompt_name\" is \"", result.default_prompt_name,
                            "\", which \"prompts\" does not hold"));
  }
  return result;
}

}  // namespace longspan
