#include "core/checkpoint/multi_vector_layout.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/json_reader.h"
#include "core/checkpoint/sentence_keys.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// What ColBERT pads queries to where nothing says otherwise.
constexpr int64_t kClassicQueryLength = 32;
// string.punctuation of Python.
constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
constexpr std::string_view kStrings = "a list of strings";

std::string Join(const std::string& folder, std::string_view name) {
  return (fs::path(folder) / name).string();
}

std::vector<std::string> Punctuation() {
  std::vector<std::string> words;
  for (const char c : kPunctuation) words.emplace_back(1, c);
  return words;
}

// A list of strings; nullopt where the key is not given. One string counts as a list of one where
// `or_one` allows it.
std::optional<std::vector<std::string>> Strings(JsonReader* fields, std::string_view key,
                                                bool or_one = false) {
  if (!fields->Has(key)) return std::nullopt;
  const json& value = fields->Value(key);
  if (or_one && value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  std::vector<std::string> strings;
  const bool is_list = value.is_array() && std::all_of(value.begin(), value.end(),
                                                       [](const json& s) { return s.is_string(); });
  if (!is_list) fields->Fail(key, kStrings);
  if (is_list) strings = value.get<std::vector<std::string>>();
  return strings;
}

// The file at `path`, compared with its table; an absent file reads as an empty object.
absl::StatusOr<JsonReader> ReadFile(const std::string& path, const KeyTable& table,
                                    Warnings* warnings) {
  const std::string family(kMultiVectorFamily);
  absl::StatusOr<JsonReader> file = JsonReader::ReadOptional(path, {&table, family});
  if (!file.ok()) return file;
  const absl::Status status = CheckKeys(table, family, file->object(), file->source(), warnings);
  if (!status.ok()) return status;
  return file;
}

// The object under "query_expansion" of the library's own files; nullopt = no expansion.
std::optional<MultiVectorConfig::Expansion> ReadExpansion(JsonReader* fields) {
  constexpr std::string_view kKey = "query_expansion";
  if (!fields->Has(kKey)) return std::nullopt;
  for (const auto& [key, value] : fields->Value(kKey).items()) {
    if (key != "strategy" && key != "attend" && key != "token" && key != "length")
      fields->Fail(kKey, "an object of strategy, attend, token and length");
  }
  JsonReader keys = fields->Object(kKey);
  MultiVectorConfig::Expansion expansion;
  expansion.is_fixed = keys.String("strategy", "", {"fixed", "min"}) == "fixed";
  expansion.is_attended = keys.Boolean("attend", false);
  expansion.token = keys.String("token", "");
  expansion.length = keys.Size("length").value_or(0);
  if (!keys.Has("strategy")) keys.Fail("strategy", "\"fixed\" or \"min\"");
  if (!keys.Has("length")) keys.Fail("length", "a whole number of tokens, at least 1");
  fields->Merge(keys);
  return expansion;
}

// The keys at the top of PyLate's config_sentence_transformers.json.
absl::Status ReadPylate(JsonReader* fields, MultiVectorConfig* config) {
  config->query_length = fields->Size("query_length").value_or(0);
  config->document_length = fields->Size("document_length").value_or(0);
  for (const auto& [key, name] :
       {std::pair("query_prefix", "query"), std::pair("document_prefix", "document")}) {
    if (fields->Contains(key)) config->prefixes[name] = fields->String(key, "");
  }
  constexpr std::string_view kMarkers[] = {"query_length",          "document_length",
                                           "do_query_expansion",    "attend_to_expansion_tokens",
                                           "attend_to_mask_tokens", "query_prefix",
                                           "document_prefix",       "skiplist_words"};
  const bool is_pylates = std::any_of(std::begin(kMarkers), std::end(kMarkers),
                                      [&](std::string_view key) { return fields->Contains(key); });
  if (fields->Contains("query_expansion")) {
    config->expansion = ReadExpansion(fields);
  } else if (is_pylates && fields->Boolean("do_query_expansion", true)) {
    const std::string_view attend = fields->Contains("attend_to_expansion_tokens")
                                        ? "attend_to_expansion_tokens"
                                        : "attend_to_mask_tokens";
    config->expansion = {
        .length = config->query_length > 0 ? config->query_length : kClassicQueryLength,
        .is_fixed = true,
        .is_attended = fields->Boolean(attend, false)};
    config->query_length = 0;  // the library knows the expansion's length alone
  }
  return fields->status();
}

// What sentence_bert_config.json says goes before what PyLate's file says.
absl::Status ReadTransformerKeys(const std::string& transformer, MultiVectorConfig* config,
                                 Warnings* warnings) {
  absl::StatusOr<JsonReader> fields =
      ReadFile(Join(transformer, "sentence_bert_config.json"), SentenceBertKeys(), warnings);
  if (!fields.ok()) return fields.status();
  if (fields->Contains("query_length"))
    config->query_length = fields->Size("query_length").value_or(0);
  if (fields->Contains("document_length"))
    config->document_length = fields->Size("document_length").value_or(0);
  if (fields->Contains("query_expansion")) config->expansion = ReadExpansion(&*fields);
  if (!fields->status().ok() || !config->expansion.has_value()) return fields->status();
  if (config->query_length > 0 && config->query_length < config->expansion->length) {
    fields->FailBecause("query_length",
                        absl::StrCat("is ", config->query_length, ", less than the ",
                                     config->expansion->length, " tokens of query_expansion"));
  }
  return fields->status();
}

// Task names other than these two are never asked for.
void ReadTasks(JsonReader* fields, MultiVectorConfig* config) {
  const auto tasks = Strings(fields, "skiplist_tasks", /*or_one=*/true);
  if (!tasks.has_value()) return;
  const auto has = [&](const char* task) {
    return std::find(tasks->begin(), tasks->end(), task) != tasks->end();
  };
  config->skips_in_queries = has("query");
  config->skips_in_documents = has("document");
}

absl::Status ReadMask(const std::string& module_path, MultiVectorConfig* config,
                      Warnings* warnings) {
  absl::StatusOr<JsonReader> fields =
      ReadFile(Join(module_path, "config.json"), MultiVectorMaskKeys(), warnings);
  if (!fields.ok()) return fields.status();
  config->skipped_words = Strings(&*fields, "skiplist_words").value_or(std::vector<std::string>());
  ReadTasks(&*fields, config);
  return fields->status();
}

absl::StatusOr<MultiVectorConfig> ReadModular(const std::string& folder,
                                              const SentenceModules& modules, Warnings* warnings) {
  MultiVectorConfig config;
  Warnings unheard;  // ReadPrompts and ReadLengthAndCase warn of the keys of these two files
  absl::StatusOr<JsonReader> top = ReadFile(Join(folder, "config_sentence_transformers.json"),
                                            SentenceTransformerKeys(), &unheard);
  if (!top.ok()) return top.status();
  if (absl::Status status = ReadPylate(&*top, &config); !status.ok()) return status;
  if (absl::Status status = ReadTransformerKeys(modules.transformer, &config, &unheard);
      !status.ok())
    return status;
  if (modules.mask.has_value()) {
    if (absl::Status status = ReadMask(*modules.mask, &config, warnings); !status.ok())
      return status;
  } else if (modules.is_pylates) {
    const bool skips = modules.is_colbert || !config.prefixes.empty();
    config.skipped_words = Strings(&*top, "skiplist_words")
                               .value_or(skips ? Punctuation() : std::vector<std::string>());
    if (!top->status().ok()) return top->status();
  } else if (config.expansion.has_value()) {
    return absl::InvalidArgumentError(OneLine(
        absl::StrCat(Join(folder, "modules.json"),
                     ": queries are expanded (query_expansion), but no MultiVectorMask counts the "
                     "tokens that are added; allowed: a MultiVectorMask, or no query_expansion")));
  }
  return config;
}

// Without modules.json the library would put a projection of random weights behind such a model.
absl::Status CheckHasModules(const std::string& folder) {
  const auto top = JsonReader::ReadOptional(Join(folder, "config_sentence_transformers.json"));
  if (!top.ok()) return top.status();
  const json& model_type = top->Value("model_type");
  if (model_type != kMultiVectorFamily && model_type != "ColBERT") return absl::OkStatus();
  return absl::InvalidArgumentError(
      OneLine(absl::StrCat(top->source(), ": \"model_type\" is \"", model_type.get<std::string>(),
                           "\", but the folder has no modules.json, which names the projection")));
}

absl::StatusOr<MultiVectorConfig> ReadStanford(const std::string& folder, Warnings* warnings) {
  const std::string path = Join(folder, "artifact.metadata");
  const absl::StatusOr<bool> there = HasFile(path);
  if (!there.ok()) return there.status();
  if (!*there) {
    warnings->push_back(OneLine(absl::StrCat(
        path,
        ": is not there; the markers [unused0] and [unused1], queries of 32 tokens and the "
        "skip list of punctuation are taken, as in sentence-transformers")));
  }
  absl::StatusOr<JsonReader> fields = ReadFile(path, ArtifactMetadataKeys(), warnings);
  if (!fields.ok()) return fields.status();
  const auto marker = [&](const char* key, const char* fallback) {
    const std::string given = fields->String(key, "");
    return absl::StrCat(given.empty() ? fallback : given, " ");
  };
  MultiVectorConfig config;
  config.has_inline_projection = true;
  config.prefixes = {{"query", marker("query_token_id", "[unused0]")},
                     {"document", marker("doc_token_id", "[unused1]")}};
  config.document_length = fields->Size("doc_maxlen").value_or(0);
  config.expansion = {.length = fields->Size("query_maxlen").value_or(kClassicQueryLength),
                      .is_fixed = true,
                      .is_attended = fields->Boolean("attend_to_mask_tokens", false)};
  if (fields->Boolean("mask_punctuation", true)) config.skipped_words = Punctuation();
  if (!fields->status().ok()) return fields->status();
  return config;
}

}  // namespace

bool IsStanfordColbert(const json& config) {
  const auto architectures = config.find("architectures");
  return architectures != config.end() && architectures->is_array() &&
         std::find(architectures->begin(), architectures->end(), "HF_ColBERT") !=
             architectures->end();
}

absl::StatusOr<std::optional<MultiVectorConfig>> ReadMultiVector(
    const std::string& folder, const std::optional<SentenceModules>& modules, const json& config,
    Warnings* warnings) {
  const bool is_modular = modules.has_value() && modules->is_multi_vector;
  if (!modules.has_value() && !IsStanfordColbert(config)) {
    if (absl::Status status = CheckHasModules(folder); !status.ok()) return status;
    return std::nullopt;
  }
  if (modules.has_value() && !is_modular) return std::nullopt;
  absl::StatusOr<MultiVectorConfig> read =
      is_modular ? ReadModular(folder, *modules, warnings) : ReadStanford(folder, warnings);
  if (!read.ok()) return read.status();
  return *std::move(read);
}

absl::StatusOr<std::vector<std::string>> ReadPrefixes(const std::string& folder) {
  const auto modules = ReadModules(folder);
  if (!modules.ok()) return modules.status();
  const std::string& transformer = modules->has_value() ? (*modules)->transformer : folder;
  const absl::StatusOr<json> config = ReadJsonFile(Join(transformer, "config.json"));
  if (!config.ok() || !config->is_object()) return std::vector<std::string>();
  Warnings unheard;
  const auto multi_vector = ReadMultiVector(folder, *modules, *config, &unheard);
  if (!multi_vector.ok()) return multi_vector.status();
  std::vector<std::string> prefixes;
  if (!multi_vector->has_value()) return prefixes;
  for (const char* name : {"query", "document"}) {
    const auto found = (*multi_vector)->prefixes.find(name);
    if (found != (*multi_vector)->prefixes.end()) prefixes.push_back(found->second);
  }
  return prefixes;
}

}  // namespace longspan
