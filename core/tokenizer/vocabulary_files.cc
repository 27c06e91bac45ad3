#include "core/tokenizer/vocabulary_files.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/checkpoint/json_reader.h"
#include "core/tokenizer/special_tokens.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using json = nlohmann::json;

absl::Status Bad(const std::string& folder, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(folder, ": ", what));
}

absl::StatusOr<JsonReader> ReadConfig(const std::string& folder) {
  return JsonReader::ReadOptional(
      (std::filesystem::path(folder) / "tokenizer_config.json").string());
}

// Checks that tokenizer_config.json names a class that this file follows. Other classes read the
// same vocabulary files otherwise: GPT-2 adds no special tokens, DeBERTa adds others.
absl::Status CheckClass(JsonReader* config, const std::vector<std::string>& families) {
  std::string name = config->String("tokenizer_class", "");
  if (!config->status().ok() || name.empty()) return config->status();
  if (absl::EndsWith(name, "Fast")) name.resize(name.size() - 4);
  const bool known = std::any_of(families.begin(), families.end(), [&](const std::string& family) {
    return name == family + "Tokenizer";
  });
  if (known) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(config->source(), ": tokenizer_class ", name,
                   " cannot be built from vocabulary files (can: ", absl::StrJoin(families, ", "),
                   "); save the tokenizer as tokenizer.json with Python's transformers: "
                   "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"));
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

// The id of a role that the post-processor needs.
absl::StatusOr<int64_t> RequiredId(const std::string& folder, const SpecialTokens& special,
                                   const std::string& role, const json& vocabulary) {
  const std::string& text = special.Text(role);
  const auto place = vocabulary.find(text);
  if (place != vocabulary.end()) return place->get<int64_t>();
  return Bad(folder, absl::StrCat("the vocabulary lacks \"", text, "\", the ", role));
}

std::string Dump(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::string> BuildByteLevelBpe(const std::string& folder,
                                              std::string_view vocab_json,
                                              std::string_view merges_txt) {
  absl::StatusOr<JsonReader> config = ReadConfig(folder);
  if (!config.ok()) return config.status();
  if (absl::Status status = CheckClass(&*config, {"Roberta", "Longformer", "LED", "Bart"});
      !status.ok())
    return status;
  const bool prefix = config->Boolean("add_prefix_space", false);
  const bool trim = config->Boolean("trim_offsets", true);
  if (!config->status().ok()) return config->status();

  const absl::StatusOr<json> vocabulary = ParseVocabulary(folder, vocab_json);
  if (!vocabulary.ok()) return vocabulary.status();
  const absl::StatusOr<json> merges = ParseMerges(folder, merges_txt);
  if (!merges.ok()) return merges.status();
  const absl::StatusOr<SpecialTokens> special = SpecialTokens::Read(folder,
                                                                    {{"bos_token", "<s>"},
                                                                     {"eos_token", "</s>"},
                                                                     {"sep_token", "</s>"},
                                                                     {"cls_token", "<s>"},
                                                                     {"unk_token", "<unk>"},
                                                                     {"pad_token", "<pad>"},
                                                                     {"mask_token", "<mask>"}},
                                                                    /*mask_swallows_blanks=*/true);
  if (!special.ok()) return special.status();
  const absl::StatusOr<int64_t> cls = RequiredId(folder, *special, "cls_token", *vocabulary);
  if (!cls.ok()) return cls.status();
  const absl::StatusOr<int64_t> sep = RequiredId(folder, *special, "sep_token", *vocabulary);
  if (!sep.ok()) return sep.status();

  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", prefix},
                           {"trim_offsets", trim},
                           {"use_regex", true}};
  return Dump({{"version", "1.0"},
               {"added_tokens", special->AddedTokens(*vocabulary)},
               {"normalizer", nullptr},
               {"pre_tokenizer", byte_level},
               {"decoder", byte_level},
               {"post_processor",
                {{"type", "RobertaProcessing"},
                 {"sep", json::array({special->Text("sep_token"), *sep})},
                 {"cls", json::array({special->Text("cls_token"), *cls})},
                 {"trim_offsets", trim},
                 {"add_prefix_space", prefix}}},
               {"model",
                {{"type", "BPE"},
                 {"dropout", nullptr},
                 {"unk_token", nullptr},  // so bytes outside the vocabulary are dropped
                 {"continuing_subword_prefix", ""},
                 {"end_of_word_suffix", ""},
                 {"fuse_unk", false},
                 {"byte_fallback", false},
                 {"ignore_merges", false},
                 {"vocab", *vocabulary},
                 {"merges", *merges}}}});
}

absl::StatusOr<std::string> BuildWordPiece(const std::string& folder, std::string_view vocab_txt) {
  absl::StatusOr<JsonReader> config = ReadConfig(folder);
  if (!config.ok()) return config.status();
  if (absl::Status status = CheckClass(
          &*config, {"Bert", "DistilBert", "Electra", "MobileBert", "Funnel", "LayoutLM"});
      !status.ok())
    return status;
  if (!config->Boolean("do_basic_tokenize", true))
    config->Fail("do_basic_tokenize", "true: words come from BERT's pre-tokeniser");
  const bool lower = config->Boolean("do_lower_case", true);
  const bool chinese = config->Boolean("tokenize_chinese_chars", true);
  json strip_accents = nullptr;  // null: accents are stripped where do_lower_case is true
  if (config->Has("strip_accents")) strip_accents = config->Boolean("strip_accents", true);
  if (!config->status().ok()) return config->status();

  json vocabulary = json::object();
  int64_t id = 0;
  for (const std::string_view line : Lines(vocab_txt)) vocabulary[std::string(line)] = id++;
  const absl::StatusOr<SpecialTokens> special = SpecialTokens::Read(folder,
                                                                    {{"unk_token", "[UNK]"},
                                                                     {"sep_token", "[SEP]"},
                                                                     {"pad_token", "[PAD]"},
                                                                     {"cls_token", "[CLS]"},
                                                                     {"mask_token", "[MASK]"}},
                                                                    /*mask_swallows_blanks=*/false);
  if (!special.ok()) return special.status();
  const std::string unk = special->Text("unk_token");
  const std::string cls = special->Text("cls_token");
  const std::string sep = special->Text("sep_token");
  for (const char* role : {"unk_token", "cls_token", "sep_token"}) {
    if (const auto found = RequiredId(folder, *special, role, vocabulary); !found.ok())
      return found.status();
  }

  const auto piece = [](const std::string& token, int type) {
    return json{{"SpecialToken", {{"id", token}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* which, int type) {
    return json{{"Sequence", {{"id", which}, {"type_id", type}}}};
  };
  const auto ids = [&](const std::string& token) {
    return json{
        {"id", token}, {"ids", json::array({vocabulary[token]})}, {"tokens", json::array({token})}};
  };
  return Dump({{"version", "1.0"},
               {"added_tokens", special->AddedTokens(vocabulary)},
               {"normalizer",
                {{"type", "BertNormalizer"},
                 {"clean_text", true},
                 {"handle_chinese_chars", chinese},
                 {"strip_accents", strip_accents},
                 {"lowercase", lower}}},
               {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
               {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
               {"post_processor",
                {{"type", "TemplateProcessing"},
                 {"single", json::array({piece(cls, 0), sequence("A", 0), piece(sep, 0)})},
                 {"pair", json::array({piece(cls, 0), sequence("A", 0), piece(sep, 0),
                                       sequence("B", 1), piece(sep, 1)})},
                 {"special_tokens", {{cls, ids(cls)}, {sep, ids(sep)}}}}},
               {"model",
                {{"type", "WordPiece"},
                 {"unk_token", unk},
                 {"continuing_subword_prefix", "##"},
                 {"max_input_chars_per_word", 100},
                 {"vocab", vocabulary}}}});
}

}  // namespace longspan
