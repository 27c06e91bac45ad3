#include "core/tokenizer/tokenizer_folder.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"
#include "core/checkpoint/json_reader.h"
#include "core/checkpoint/multi_vector_layout.h"
#include "core/checkpoint/sentence_keys.h"
#include "core/checkpoint/sentence_layout.h"
#include "core/tokenizer/tokenizer_arguments.h"
#include "core/tokenizer/tokenizer_json.h"
#include "core/tokenizer/vocabulary_files.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = 256 << 20;  // far above any published file

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  return ReadBoundedFile(path.string(), kMaxFileBytes);
}

// Where the tokenizer's files lie: in the model's own folder, or in that of its transformer module
// ("0_Transformer").
struct TokenizerPlace {
  fs::path folder;
  bool is_module = false;  // modules.json names the folder
  std::string_view family = kSentenceFamily;
};

absl::StatusOr<TokenizerPlace> PlaceOf(const std::string& model_dir) {
  const absl::StatusOr<std::optional<SentenceModules>> modules = ReadModules(model_dir);
  if (!modules.ok()) return modules.status();
  if (!modules->has_value()) return TokenizerPlace{.folder = fs::path(model_dir)};
  return TokenizerPlace{fs::path((*modules)->transformer), true, (*modules)->family()};
}

// The text of the tokenizer.json that the folder's files give, and the file that it came from.
struct Vocabulary {
  std::string json;
  std::string name;
  const char* file = "";  // "tokenizer.json", "vocab.json" or "vocab.txt"
};

absl::StatusOr<Vocabulary> FromTokenizerJson(const fs::path& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  // The byte order mark with which some editors begin a file. It is skipped as in config.json.
  if (text->starts_with("\xEF\xBB\xBF")) text->erase(0, 3);
  return Vocabulary{*std::move(text), path.string(), "tokenizer.json"};
}

absl::StatusOr<Vocabulary> FromVocabularyAndMerges(const fs::path& folder) {
  const fs::path vocabulary_path = folder / "vocab.json";
  const absl::StatusOr<std::string> vocabulary = ReadFile(vocabulary_path);
  if (!vocabulary.ok()) return vocabulary.status();
  const absl::StatusOr<std::string> merges = ReadFile(folder / "merges.txt");
  if (!merges.ok()) return merges.status();
  absl::StatusOr<std::string> text = BytePairModel(folder.string(), *vocabulary, *merges);
  if (!text.ok()) return text.status();
  return Vocabulary{*std::move(text), vocabulary_path.string(), "vocab.json"};
}

absl::StatusOr<Vocabulary> FromVocabularyText(const fs::path& path) {
  const absl::StatusOr<std::string> vocabulary = ReadFile(path);
  if (!vocabulary.ok()) return vocabulary.status();
  return Vocabulary{WordPieceModel(*vocabulary), path.string(), "vocab.txt"};
}

absl::StatusOr<Vocabulary> ReadVocabulary(const fs::path& folder) {
  // A name that is there but cannot be read counts as there; reading it gives the reason.
  const auto has = [&](const char* name) {
    return HasFile((folder / name).string()).value_or(true);
  };
  if (has("tokenizer.json")) return FromTokenizerJson(folder / "tokenizer.json");
  if (has("vocab.json") && has("merges.txt")) return FromVocabularyAndMerges(folder);
  if (has("vocab.txt")) return FromVocabularyText(folder / "vocab.txt");
  for (const char* name :
       {"spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model"}) {
    if (!has(name)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(folder.string(), ": has a SentencePiece model (", name,
                     ") and no tokenizer.json; write one with Python's transformers: "
                     "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"));
  }
  if (has("vocab.json") || has("merges.txt")) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder.string(), ": has ", has("vocab.json") ? "vocab.json" : "merges.txt", " but no ",
        has("vocab.json") ? "merges.txt" : "vocab.json", "; byte-level BPE needs both"));
  }
  return absl::NotFoundError(absl::StrCat(
      folder.string(),
      ": no tokenizer files (tokenizer.json, or vocab.json + merges.txt, or vocab.txt)"));
}

// What config.json says of the tokenizer; empty where there is no such file.
struct ModelWords {
  std::string model_type;
  std::string tokenizer_class;
};

absl::StatusOr<ModelWords> ReadModelWords(const fs::path& folder) {
  absl::StatusOr<JsonReader> config = JsonReader::ReadOptional((folder / "config.json").string());
  if (!config.ok()) return config.status();
  ModelWords words{config->String("model_type", ""), config->String("tokenizer_class", "")};
  if (!config->status().ok()) return config->status();
  return words;
}

absl::StatusOr<TokenizerClass> ReadClass(const fs::path& folder, const Vocabulary& vocabulary,
                                         TokenizerArguments* arguments) {
  const absl::StatusOr<ModelWords> model = ReadModelWords(folder);
  if (!model.ok()) return model.status();
  std::string named = arguments->values.String("tokenizer_class", "");
  if (!arguments->values.status().ok()) return arguments->values.status();
  std::string source = arguments->values.source();
  if (named.empty() && !model->tokenizer_class.empty()) {
    named = model->tokenizer_class;
    source = (folder / "config.json").string();
  }
  // A folder of vocabulary files alone, without any configuration, is read as it was meant.
  const std::string_view file = vocabulary.file;
  if (named.empty() && model->model_type.empty() && file != "tokenizer.json")
    named = file == "vocab.txt" ? "BertTokenizer" : "RobertaTokenizer";
  const bool byte_level = vocabulary.json.find("\"ByteLevel\"") != std::string::npos;
  absl::StatusOr<TokenizerClass> found =
      ResolveTokenizerClass(named, model->model_type, byte_level, source);
  if (!found.ok() || file == "tokenizer.json") return found;
  const std::string_view needed = file == "vocab.txt" ? "WordPiece" : "BPE";
  if (found->model == needed) return found;
  return absl::UnimplementedError(absl::StrCat(
      source, ": tokenizer_class ", found->name, " cannot be built from ", vocabulary.file,
      "; save the tokenizer as tokenizer.json with Python's transformers: "
      "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"));
}

}  // namespace

absl::StatusOr<TokenizerFiles> ReadTokenizerFolder(const std::string& model_dir) {
  const absl::StatusOr<TokenizerPlace> place = PlaceOf(model_dir);
  if (!place.ok()) return place.status();
  const fs::path& folder = place->folder;
  absl::StatusOr<Vocabulary> vocabulary = ReadVocabulary(folder);
  if (!vocabulary.ok()) return vocabulary.status();
  absl::StatusOr<nlohmann::json> document = ParseTokenizerJson(vocabulary->json, vocabulary->name);
  if (!document.ok()) return document.status();
  const absl::StatusOr<TokenizerJsonSummary> summary =
      InspectTokenizerJson(*document, vocabulary->name);
  if (!summary.ok()) return summary.status();

  absl::StatusOr<TokenizerArguments> arguments =
      ReadTokenizerArguments(folder.string(), AddedTokensOf(*document));
  if (!arguments.ok()) return arguments.status();
  const absl::StatusOr<TokenizerClass> of = ReadClass(folder, *vocabulary, &*arguments);
  if (!of.ok()) return of.status();
  absl::StatusOr<TokenizerRecipe> recipe = MakeRecipe(*of, *std::move(arguments), *document);
  if (!recipe.ok()) return recipe.status();
  if (!recipe->components.is_null()) document->update(recipe->components);
  // The class makes these tokens; those of the file that it does not add are unknown to it.
  if (!recipe->components.is_null()) document->erase("added_tokens");

  const absl::StatusOr<LengthAndCase> options =
      ReadLengthAndCase(folder.string(), place->is_module, place->family);
  if (!options.ok()) return options.status();
  absl::StatusOr<std::vector<std::string>> prefixes = ReadPrefixes(model_dir);
  if (!prefixes.ok()) return prefixes.status();
  return TokenizerFiles{.json = std::move(vocabulary->json),
                        .name = std::move(vocabulary->name),
                        .document = *std::move(document),
                        .recipe = *std::move(recipe),
                        .do_lower_case = options->do_lower_case,
                        .prefixes = *std::move(prefixes)};
}

}  // namespace longspan
