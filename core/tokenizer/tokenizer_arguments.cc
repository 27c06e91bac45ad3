#include "core/tokenizer/tokenizer_arguments.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/tokenizer_keys.h"

namespace longspan {
namespace {

using json = nlohmann::json;

constexpr std::array<std::string_view, 7> kRoles = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool IsRole(std::string_view key) {
  return std::find(kRoles.begin(), kRoles.end(), key) != kRoles.end();
}

absl::Status Bad(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// In quotes, with control characters escaped: keys and tokens come from strangers.
std::string Quoted(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

// A token that a file gives as its text, or as an object with the text and the rules by which it is
// found. A rule that is not given stays open.
absl::StatusOr<json> ReadToken(const std::string& key, const json& value,
                               const std::string& where) {
  if (value.is_string()) return json{{"content", value}, {"special", true}};
  const bool has_content =
      value.is_object() && value.contains("content") && value["content"].is_string();
  if (!has_content)
    return Bad(where, absl::StrCat(Quoted(key),
                                   " should be a string or an object with a string \"content\""));
  json token = {{"content", value["content"]}};
  for (const char* rule : {"single_word", "lstrip", "rstrip", "normalized", "special"}) {
    if (!value.contains(rule) || value[rule].is_null()) continue;
    if (!value[rule].is_boolean())
      return Bad(where, absl::StrCat(Quoted(key), ": \"", rule, "\" should be true or false"));
    token[rule] = value[rule];
  }
  return token;
}

// The token with every rule: those that were left open are false, but a token that is not special
// is looked for in the normalised text.
json WithAllRules(json token) {
  for (const char* rule : {"single_word", "lstrip", "rstrip", "special"}) {
    if (!token.contains(rule)) token[rule] = false;
  }
  if (!token.contains("normalized")) token["normalized"] = !token["special"].get<bool>();
  return token;
}

std::optional<int64_t> ReadId(const std::string& text) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 0) return std::nullopt;
  return id;
}

// The file names a tokenizer class of the folder's own, which is never run.
absl::Status CheckOwnClass(const JsonReader& config) {
  const json& map = config.Value("auto_map");
  const bool names_one = map.is_object() ? !map.value("AutoTokenizer", json()).is_null()
                                         : !map.is_null() && map != json::array();
  if (!names_one) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(config.source(),
                   ": \"auto_map\" names a tokenizer class of the folder's own; its code is "
                   "not run. Save the tokenizer as PreTrainedTokenizerFast"));
}

// --- The files, one by one -----------------------------------------------------------------------

class Merger {
 public:
  Merger(const std::string& folder, const json& file_tokens)
      : folder_(folder), file_tokens_(file_tokens) {}

  absl::StatusOr<TokenizerArguments> Run() {
    std::vector<std::string> unheard;  // ModelFolder collects these warnings
    if (absl::Status status = CheckTokenizerKeys(folder_, &unheard); !status.ok()) return status;
    auto config = Open("tokenizer_config.json");
    if (!config.ok()) return config.status();
    if (absl::Status status = CheckOwnClass(*config); !status.ok()) return status;
    source_ = config->source();
    values_ = config->object();
    MoveExtraTokens();
    absl::Status status = values_.contains("added_tokens_decoder") ? ReadDecoder() : ReadLegacy();
    if (status.ok()) status = ReadNamedTokens();
    if (status.ok()) status = ReadExtraTokens();
    if (!status.ok()) return status;
    return TokenizerArguments{
        .values = JsonReader(std::move(values_), source_, JsonReader::Wording::kShouldBe,
                             {&TokenizerConfigKeys(), ""}),
        .added_tokens = std::move(added_),
        .named_tokens = std::move(named_),
        .extra_special_tokens = std::move(extra_)};
  }

 private:
  absl::StatusOr<JsonReader> Open(const char* name) const {
    return JsonReader::ReadOptional((std::filesystem::path(folder_) / name).string());
  }

  // "additional_special_tokens" is the old name of "extra_special_tokens".
  void MoveExtraTokens() {
    if (!values_.contains("additional_special_tokens")) return;
    const json extra = values_.value("extra_special_tokens", json());
    if (!extra.is_null() && !extra.empty()) return;
    values_["extra_special_tokens"] = values_["additional_special_tokens"];
    values_.erase("additional_special_tokens");
  }

  absl::Status ReadDecoder() {
    const json& decoder = values_["added_tokens_decoder"];
    if (!decoder.is_object())
      return Bad(source_, "\"added_tokens_decoder\" should be an object of ids and tokens");
    for (const auto& [key, value] : decoder.items()) {
      const std::string name = absl::StrCat("added_tokens_decoder.", key);
      const std::optional<int64_t> id = ReadId(key);
      if (!id.has_value()) return Bad(source_, absl::StrCat(Quoted(name), " is not an id"));
      if (!value.is_object()) return Bad(source_, absl::StrCat(Quoted(name), " is no object"));
      absl::StatusOr<json> token = ReadToken(name, value, source_);
      if (!token.ok()) return token.status();
      added_[*id] = *std::move(token);
    }
    return absl::OkStatus();
  }

  absl::Status ReadLegacy() {
    if (absl::Status status = ReadSpecialTokensMap(); !status.ok()) return status;
    if (absl::Status status = ReadAddedTokensFile(); !status.ok()) return status;
    for (const json& token : file_tokens_) {
      absl::StatusOr<json> read = ReadToken("added_tokens", token, folder_);
      if (!read.ok()) return read.status();
      added_[token["id"].get<int64_t>()] = *std::move(read);
    }
    return absl::OkStatus();
  }

  absl::Status ReadSpecialTokensMap() {
    const auto map = Open("special_tokens_map.json");
    if (!map.ok()) return map.status();
    for (const auto& [key, value] : map->object().items()) {
      const bool is_list = key == "additional_special_tokens" || key == "extra_special_tokens";
      if (!is_list && !absl::EndsWith(key, "_token")) {
        return absl::UnimplementedError(
            absl::StrCat(map->source(), ": ", Quoted(key),
                         " is not supported; allowed: roles of tokens, such as ",
                         "\"cls_token\", and \"additional_special_tokens\""));
      }
      if (!is_list && !value.is_null()) {
        absl::StatusOr<json> token = ReadToken(key, value, map->source());
        if (!token.ok()) return token.status();
        if (value.is_object()) {
          (*token)["special"] = true;
          values_[key] = *std::move(token);
          continue;
        }
      }
      values_[key] = value;
    }
    // Where both names are given now, the new one counts.
    if (!values_.contains("extra_special_tokens") && values_.contains("additional_special_tokens"))
      values_["extra_special_tokens"] = values_["additional_special_tokens"];
    return absl::OkStatus();
  }

  absl::Status ReadAddedTokensFile() {
    const auto file = Open("added_tokens.json");
    if (!file.ok()) return file.status();
    for (const auto& [text, id] : file->object().items()) {
      if (!id.is_number_unsigned())
        return Bad(file->source(), absl::StrCat(Quoted(text), " has no whole number as its id"));
      const bool special = IsSpecial(text);
      added_[id.get<int64_t>()] = {
          {"content", text}, {"special", special}, {"normalized", !special}};
    }
    return absl::OkStatus();
  }

  // Whether the arguments give this text a role or list it among the special tokens.
  bool IsSpecial(const std::string& text) const {
    const auto is_text = [&](const json& token) {
      return token == text || (token.is_object() && token.value("content", json()) == text);
    };
    for (const std::string_view role : kRoles) {
      const auto found = values_.find(std::string(role));
      if (found != values_.end() && is_text(*found)) return true;
    }
    const json extra = values_.value("extra_special_tokens", json());
    return extra.is_array() && std::any_of(extra.begin(), extra.end(), is_text);
  }

  // Every "..._token" that is a token is one that the tokenizer must know.
  absl::Status ReadNamedTokens() {
    json named = values_.value("model_specific_special_tokens", json());
    if (named.is_null()) named = json::object();
    if (!named.is_object())
      return Bad(source_, "\"model_specific_special_tokens\" should be an object");
    for (const auto& [key, value] : values_.items()) {
      const bool is_token = value.is_string() || (value.is_object() && value.contains("content"));
      if (absl::EndsWith(key, "_token") && !IsRole(key) && is_token) named[key] = value;
    }
    const json extra = values_.value("extra_special_tokens", json());
    if (extra.is_object()) named.update(extra);
    for (const auto& [key, value] : named.items()) {
      absl::StatusOr<json> token = ReadToken(key, value, source_);
      if (!token.ok()) return token.status();
      (*token)["special"] = true;
      named_.push_back(WithAllRules(*std::move(token)));
    }
    return absl::OkStatus();
  }

  absl::Status ReadExtraTokens() {
    const json extra = values_.value("extra_special_tokens", json());
    if (extra.is_null() || extra.is_object()) return absl::OkStatus();
    if (!extra.is_array())
      return Bad(source_, "\"extra_special_tokens\" should be a list or an object of tokens");
    for (const json& value : extra) {
      absl::StatusOr<json> token = ReadToken("extra_special_tokens", value, source_);
      if (!token.ok()) return token.status();
      extra_.push_back(WithAllRules(*std::move(token)));
    }
    return absl::OkStatus();
  }

  const std::string& folder_;
  const json& file_tokens_;
  std::string source_;
  json values_;
  std::map<int64_t, json> added_;
  std::vector<json> named_;
  std::vector<json> extra_;
};

}  // namespace

absl::StatusOr<TokenizerArguments> ReadTokenizerArguments(const std::string& folder,
                                                          const json& file_tokens) {
  return Merger(folder, file_tokens).Run();
}

std::optional<json> RoleToken(TokenizerArguments& arguments, const std::string& role,
                              const char* fallback, bool swallows_blanks) {
  JsonReader& values = arguments.values;
  json token;
  bool has_rules = false;
  if (values.Contains(role)) {
    if (!values.Has(role)) return std::nullopt;
    const absl::StatusOr<json> read = ReadToken(role, values.Value(role), values.source());
    if (!read.ok()) {
      values.Fail(role, "a string or an object with a string \"content\"");
      return std::nullopt;
    }
    token = *read;
    has_rules = values.Value(role).is_object();
    for (const auto& [id, added] : arguments.added_tokens) {
      if (added["content"] != token["content"]) continue;
      token = added;
      has_rules = true;
    }
  } else if (fallback != nullptr) {
    token = {{"content", fallback}};
  } else {
    return std::nullopt;
  }
  if (!has_rules && swallows_blanks) token["lstrip"] = true;
  token["special"] = true;
  return WithAllRules(std::move(token));
}

std::vector<json> TokensToAdd(const TokenizerArguments& arguments, const std::vector<json>& roles,
                              const json& file_tokens) {
  std::set<std::string> named;
  for (const json& token : roles) named.insert(token["content"]);
  for (const json& token : arguments.named_tokens) named.insert(token["content"]);

  std::vector<json> tokens;
  std::set<std::string> present;
  for (const json& token : file_tokens) present.insert(token["content"]);
  for (const auto& [id, added] : arguments.added_tokens) {
    json token = added;
    if (named.contains(token["content"].get<std::string>())) token["special"] = true;
    present.insert(token["content"]);
    tokens.push_back(WithAllRules(std::move(token)));
  }
  const auto add = [&](const std::vector<json>& more) {
    for (const json& token : more) {
      const bool known = present.contains(token["content"].get<std::string>()) ||
                         std::find(tokens.begin(), tokens.end(), token) != tokens.end();
      if (!known) tokens.push_back(token);
    }
  };
  add(roles);
  add(arguments.named_tokens);
  add(arguments.extra_special_tokens);
  return tokens;
}

}  // namespace longspan
