#include "core/tokenizer/vocabulary_files.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using json = nlohmann::json;

absl::Status Bad(const std::string& folder, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(folder, ": ", what));
}

// The lines of a text without their ends. "\r\n" counts as one end, and an end at the end of the
// text begins no further line.
std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

absl::StatusOr<json> ParseVocabulary(const std::string& folder, std::string_view text) {
  const std::string where = (std::filesystem::path(folder) / "vocab.json").string();
  json vocabulary = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (vocabulary.is_discarded() || !vocabulary.is_object())
    return Bad(where, "not a JSON object of tokens and ids");
  for (const auto& [token, id] : vocabulary.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      return Bad(where, absl::StrCat("token \"", token, "\" has no id from 0 to ", INT32_MAX));
  }
  return vocabulary;
}

absl::StatusOr<json> ParseMerges(const std::string& folder, std::string_view text) {
  json merges = json::array();
  int64_t number = 0;
  for (const std::string_view line : Lines(text)) {
    ++number;
    if (line.empty() || line.starts_with("#version")) continue;
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos || blank == 0 || blank + 1 == line.size() ||
        line.find(' ', blank + 1) != std::string_view::npos) {
      return Bad((std::filesystem::path(folder) / "merges.txt").string(),
                 absl::StrCat("line ", number, " is not two symbols with one blank between them"));
    }
    merges.push_back({line.substr(0, blank), line.substr(blank + 1)});
  }
  return merges;
}

std::string Document(json model) {
  const json document = {{"version", "1.0"},         {"added_tokens", json::array()},
                         {"normalizer", nullptr},    {"pre_tokenizer", nullptr},
                         {"decoder", nullptr},       {"post_processor", nullptr},
                         {"model", std::move(model)}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::string> BytePairModel(const std::string& folder, std::string_view vocab_json,
                                          std::string_view merges_txt) {
  const absl::StatusOr<json> vocabulary = ParseVocabulary(folder, vocab_json);
  if (!vocabulary.ok()) return vocabulary.status();
  const absl::StatusOr<json> merges = ParseMerges(folder, merges_txt);
  if (!merges.ok()) return merges.status();
  return Document({{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},  // so bytes outside the vocabulary are dropped
                   {"continuing_subword_prefix", ""},
                   {"end_of_word_suffix", ""},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", *vocabulary},
                   {"merges", *merges}});
}

std::string WordPieceModel(std::string_view vocab_txt) {
  json vocabulary = json::object();
  int64_t id = 0;
  for (const std::string_view line : Lines(vocab_txt)) vocabulary[std::string(line)] = id++;
  return Document({{"type", "WordPiece"},
                   {"unk_token", "[UNK]"},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", vocabulary}});
}

}  // namespace longspan
