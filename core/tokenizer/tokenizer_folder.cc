#include "core/tokenizer/tokenizer_folder.h"

#include <cstdint>
#include <filesystem>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"
#include "core/checkpoint/sentence_layout.h"
#include "core/tokenizer/vocabulary_files.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = 256 << 20;  // far above any published file

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  return ReadBoundedFile(path.string(), kMaxFileBytes);
}

// The folder in which the tokenizer's files lie: the model's own, or the one of its transformer
// module ("0_Transformer").
absl::StatusOr<fs::path> TransformerFolder(const std::string& model_dir) {
  const absl::StatusOr<std::optional<SentenceModules>> modules = ReadModules(model_dir);
  if (!modules.ok()) return modules.status();
  return fs::path(modules->has_value() ? (*modules)->transformer : model_dir);
}

absl::StatusOr<TokenizerFiles> FromTokenizerJson(const fs::path& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  // The byte order mark with which some editors begin a file. It is skipped as in config.json.
  if (text->starts_with("\xEF\xBB\xBF")) text->erase(0, 3);
  return TokenizerFiles{.json = *std::move(text), .name = path.string()};
}

absl::StatusOr<TokenizerFiles> FromVocabularyAndMerges(const fs::path& folder) {
  const fs::path vocabulary_path = folder / "vocab.json";
  const fs::path merges_path = folder / "merges.txt";
  const absl::StatusOr<std::string> vocabulary = ReadFile(vocabulary_path);
  if (!vocabulary.ok()) return vocabulary.status();
  const absl::StatusOr<std::string> merges = ReadFile(merges_path);
  if (!merges.ok()) return merges.status();
  absl::StatusOr<std::string> text = BuildByteLevelBpe(folder.string(), *vocabulary, *merges);
  if (!text.ok()) return text.status();
  return TokenizerFiles{.json = *std::move(text), .name = vocabulary_path.string()};
}

absl::StatusOr<TokenizerFiles> FromVocabularyText(const fs::path& folder) {
  const fs::path path = folder / "vocab.txt";
  const absl::StatusOr<std::string> vocabulary = ReadFile(path);
  if (!vocabulary.ok()) return vocabulary.status();
  absl::StatusOr<std::string> text = BuildWordPiece(folder.string(), *vocabulary);
  if (!text.ok()) return text.status();
  return TokenizerFiles{.json = *std::move(text), .name = path.string()};
}

absl::StatusOr<TokenizerFiles> ReadFiles(const fs::path& folder) {
  // A name that is there but cannot be read counts as there; reading it gives the reason.
  const auto has = [&](const char* name) {
    return HasFile((folder / name).string()).value_or(true);
  };
  if (has("tokenizer.json")) return FromTokenizerJson(folder / "tokenizer.json");
  if (has("vocab.json") && has("merges.txt")) return FromVocabularyAndMerges(folder);
  if (has("vocab.txt")) return FromVocabularyText(folder);
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

}  // namespace

absl::StatusOr<TokenizerFiles> ReadTokenizerFolder(const std::string& model_dir) {
  const absl::StatusOr<fs::path> folder = TransformerFolder(model_dir);
  if (!folder.ok()) return folder.status();
  absl::StatusOr<TokenizerFiles> files = ReadFiles(*folder);
  if (!files.ok()) return files;
  const absl::StatusOr<LengthAndCase> options = ReadLengthAndCase(folder->string());
  if (!options.ok()) return options.status();
  files->do_lower_case = options->do_lower_case;
  return files;
}

}  // namespace longspan
