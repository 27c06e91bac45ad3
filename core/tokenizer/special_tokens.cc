#include "core/tokenizer/special_tokens.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_reader.h"

namespace longspan {
namespace {

using json = nlohmann::json;

// The "added_tokens" entry of one special token, which a file gives as its text, or as an object
// with the text and the rules by which it is found. A token without rules is found exactly, in the
// raw text.
absl::StatusOr<json> Entry(const std::string& role, const json& value, bool lstrip,
                           const std::string& where) {
  json entry = {{"content", ""},   {"single_word", false}, {"lstrip", lstrip},
                {"rstrip", false}, {"normalized", false},  {"special", true}};
  if (value.is_string()) {
    entry["content"] = value;
    return entry;
  }
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string()) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ": \"", role, "\" should be a string or an object with a string \"content\""));
  }
  for (const char* key : {"content", "single_word", "lstrip", "rstrip", "normalized"}) {
    if (value.contains(key)) entry[key] = value[key];
  }
  return entry;
}

const JsonReader* FirstWith(const std::string& key, const std::vector<JsonReader>& files) {
  for (const JsonReader& file : files) {
    if (file.Has(key)) return &file;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<SpecialTokens> SpecialTokens::Read(
    const std::string& folder, const std::map<std::string, std::string>& defaults,
    bool mask_swallows_blanks) {
  std::vector<JsonReader> files;
  for (const char* name :
       {"special_tokens_map.json", "tokenizer_config.json", "added_tokens.json"}) {
    absl::StatusOr<JsonReader> file =
        JsonReader::ReadOptional((std::filesystem::path(folder) / name).string());
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
  }
  const JsonReader added = std::move(files.back());
  files.pop_back();

  SpecialTokens result;
  const auto add = [&](const std::string& role, const json& value,
                       const std::string& where) -> absl::Status {
    absl::StatusOr<json> entry =
        Entry(role, value, mask_swallows_blanks && role == "mask_token", where);
    if (!entry.ok()) return entry.status();
    const std::string text = (*entry)["content"];
    if (defaults.contains(role)) result.roles_[role] = text;
    const auto known = std::find_if(result.tokens_.begin(), result.tokens_.end(),
                                    [&](const json& token) { return token["content"] == text; });
    if (known == result.tokens_.end()) result.tokens_.push_back(*std::move(entry));
    return absl::OkStatus();
  };
  for (const auto& [role, text] : defaults) {
    const JsonReader* file = FirstWith(role, files);
    const absl::Status status =
        file ? add(role, file->Value(role), file->source()) : add(role, json(text), folder);
    if (!status.ok()) return status;
  }
  if (const JsonReader* file = FirstWith("additional_special_tokens", files)) {
    const json& list = file->Value("additional_special_tokens");
    if (!list.is_array())
      return absl::InvalidArgumentError(
          absl::StrCat(file->source(), ": \"additional_special_tokens\" should be a list"));
    for (const json& token : list) {
      if (const absl::Status status = add("additional_special_tokens", token, file->source());
          !status.ok())
        return status;
    }
  }
  for (const auto& [text, id] : added.object().items()) {
    if (!id.is_number_unsigned())
      return absl::InvalidArgumentError(
          absl::StrCat(added.source(), ": \"", text, "\" has no whole number as its id"));
    result.added_ids_[text] = id.get<int64_t>();
    const absl::Status status =
        add("added_tokens", json{{"content", text}, {"normalized", true}}, added.source());
    if (!status.ok()) return status;
  }
  return result;
}

json SpecialTokens::AddedTokens(const json& vocabulary) const {
  std::vector<json> list;
  for (json token : tokens_) {
    const std::string text = token["content"];
    if (const auto place = vocabulary.find(text); place != vocabulary.end()) {
      token["id"] = *place;
    } else if (const auto added = added_ids_.find(text); added != added_ids_.end()) {
      token["id"] = added->second;
    } else {
      continue;  // this vocabulary has no token for the role
    }
    list.push_back(std::move(token));
  }
  std::sort(list.begin(), list.end(),
            [](const json& a, const json& b) { return a["id"] < b["id"]; });
  return json(std::move(list));
}

}  // namespace longspan
