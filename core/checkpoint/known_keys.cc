#include "core/checkpoint/known_keys.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/checkpoint/config_keys.h"
#include "core/checkpoint/python_json.h"
#include "core/checkpoint/sentence_keys.h"
#include "core/checkpoint/tokenizer_keys.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

using nlohmann::json;

// In this Abseil, absl::string_view is a type of its own.
absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

bool HoldsWord(std::string_view words, std::string_view word) {
  for (const absl::string_view one : absl::StrSplit(Absl(words), ' ', absl::SkipEmpty())) {
    if (one == Absl(word)) return true;
  }
  return false;
}

// Whether the path `key` is the one that `pattern` names, in which a component may be '*'.
bool MatchesPath(std::string_view pattern, std::string_view key) {
  if (pattern.find('*') == std::string_view::npos) return pattern == key;
  const std::vector<absl::string_view> want = absl::StrSplit(Absl(pattern), '.');
  const std::vector<absl::string_view> have = absl::StrSplit(Absl(key), '.');
  return std::equal(want.begin(), want.end(), have.begin(), have.end(),
                    [](absl::string_view w, absl::string_view h) { return w == "*" || w == h; });
}

// Whether some row is for a key inside of the object under `key`, at any depth.
bool HasRowsInside(const KeyTable& table, std::string_view family, std::string_view key) {
  return std::any_of(table.keys.begin(), table.keys.end(), [&](const KnownKey& row) {
    if (!IsForFamily(row, family)) return false;
    for (size_t dot = row.key.rfind('.'); dot != std::string_view::npos && dot > 0;
         dot = row.key.rfind('.', dot - 1)) {
      if (MatchesPath(row.key.substr(0, dot), key)) return true;
    }
    return false;
  });
}

// Words in the name of a key that speak of what changes vectors. Published libraries ignore a key
// that they do not know, but a newer one than this table was made from may read it.
constexpr std::array<std::string_view, 10> kSuspiciousWords = {
    "rope",  "rotary", "alibi",   "causal",  "bidirectional",
    "quant", "lora",   "adapter", "softcap", "logn"};

bool SoundsLikeIt(std::string_view key) {
  const std::string lower = absl::AsciiStrToLower(Absl(key));
  return std::any_of(kSuspiciousWords.begin(), kSuspiciousWords.end(),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

// Whether the value says that a mechanism is off.
bool IsOff(const json& value) {
  return value.is_null() || value == false ||
         ((value.is_object() || value.is_array()) && value.empty());
}

bool IsServed(const KnownKey& row, const json& value) {
  if (value.is_null()) return true;
  for (const absl::string_view one : absl::StrSplit(Absl(row.allowed), ' ', absl::SkipEmpty())) {
    if (json::parse(one.begin(), one.end()) == value) return true;
  }
  return false;
}

std::string AllowedText(const KnownKey& row) {
  std::vector<absl::string_view> values = absl::StrSplit(Absl(row.allowed), ' ', absl::SkipEmpty());
  values.push_back("null");
  return absl::StrJoin(values, ", ");
}

std::string Shown(const json& value) {
  constexpr size_t kMostBytes = 60;
  std::string text = PythonJsonText(value);
  return text.size() > kMostBytes ? text.substr(0, kMostBytes - 3) + "..." : text;
}

absl::Status Bad(const std::string& source, std::string_view key, const std::string& what) {
  return absl::InvalidArgumentError(OneLine(absl::StrCat(source, ": \"", Absl(key), "\" ", what)));
}

absl::Status CheckUnknownKey(const std::string& key, const json& value, const std::string& source,
                             std::vector<std::string>* warnings) {
  if (SoundsLikeIt(key) && !IsOff(value)) {
    return Bad(source, key,
               absl::StrCat("is ", Shown(value),
                            ", a key that is not known here and whose name says that it changes "
                            "vectors; allowed: null, or no such key"));
  }
  warnings->push_back(OneLine(
      absl::StrCat(source, ": \"", key, "\" is not a key that is known here; it is ignored")));
  return absl::OkStatus();
}

absl::Status CheckKey(const KeyTable& table, std::string_view family, const std::string& key,
                      const json& value, const std::string& source,
                      std::vector<std::string>* warnings) {
  const KnownKey* row = FindKey(table, family, key);
  // What an object's key holds that is no object, the reader of the object refuses, null excepted.
  if (row == nullptr && HasRowsInside(table, family, key)) return absl::OkStatus();
  if (row == nullptr) return CheckUnknownKey(key, value, source, warnings);
  if (row->rule != KeyRule::kRefused || IsServed(*row, value)) return absl::OkStatus();
  return Bad(source, key,
             absl::StrCat("is ", Shown(value), "; allowed: ", AllowedText(*row), " (",
                          Absl(row->why), ")"));
}

absl::Status CheckObject(const KeyTable& table, std::string_view family, const std::string& prefix,
                         const json& object, const std::string& source,
                         std::vector<std::string>* warnings) {
  for (const auto& [name, value] : object.items()) {
    const std::string key = prefix + name;
    absl::Status status;
    if (name.find('.') != std::string::npos)  // it could be taken for the path of another key
      status = CheckUnknownKey(key, value, source, warnings);
    else if (value.is_object() && HasRowsInside(table, family, key))
      status = CheckObject(table, family, key + ".", value, source, warnings);
    else
      status = CheckKey(table, family, key, value, source, warnings);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string TableMarkdown(const KeyTable& table) {
  std::string text = absl::StrCat("### ", Absl(table.file),
                                  "\n\n| key | models | what becomes of it | why |\n"
                                  "| --- | --- | --- | --- |\n");
  for (const KnownKey& row : table.keys) {
    const std::string families =
        row.families.empty() ? "all" : absl::StrReplaceAll(Absl(row.families), {{" ", ", "}});
    const std::string rule = row.rule == KeyRule::kRefused
                                 ? absl::StrCat("refused, unless ", AllowedText(row))
                                 : std::string(KeyRuleName(row.rule));
    absl::StrAppend(&text, "| `", Absl(row.key), "` | ", families, " | ", rule, " | ",
                    Absl(row.why), " |\n");
  }
  return text;
}

}  // namespace

std::string_view KeyRuleName(KeyRule rule) {
  switch (rule) {
    case KeyRule::kHonoured:
      return "honoured";
    case KeyRule::kHarmless:
      return "harmless";
    case KeyRule::kRefused:
      return "refused";
  }
  return "unknown";
}

std::vector<const KeyTable*> KeyTables() {
  return {&ConfigKeys(),
          &TokenizerConfigKeys(),
          &SpecialTokensMapKeys(),
          &TokenizerJsonKeys(),
          &ModulesKeys(),
          &PoolingKeys(),
          &DenseKeys(),
          &NormalizeKeys(),
          &SentenceBertKeys(),
          &SentenceTransformerKeys(),
          &MultiVectorMaskKeys(),
          &ArtifactMetadataKeys()};
}

bool IsForFamily(const KnownKey& row, std::string_view family) {
  return row.families.empty() || HoldsWord(row.families, family);
}

const KnownKey* FindKey(const KeyTable& table, std::string_view family, std::string_view key) {
  const auto row = std::find_if(table.keys.begin(), table.keys.end(), [&](const KnownKey& one) {
    return IsForFamily(one, family) && MatchesPath(one.key, key);
  });
  return row == table.keys.end() ? nullptr : &*row;
}

bool CallsHonoured(const KeyTable& table, std::string_view family, std::string_view key) {
  const KnownKey* row = FindKey(table, family, key);
  return row != nullptr ? row->rule == KeyRule::kHonoured : HasRowsInside(table, family, key);
}

absl::Status CheckKeys(const KeyTable& table, std::string_view family, const json& object,
                       const std::string& source, std::vector<std::string>* warnings) {
  constexpr size_t kMostWarnings = 20;  // a file of strangers must not fill the log
  std::vector<std::string> found;
  absl::Status status = CheckObject(table, family, "", object, source, &found);
  if (found.size() > kMostWarnings) {
    const size_t more = found.size() - kMostWarnings;
    found.resize(kMostWarnings);
    found.push_back(absl::StrCat(source, ": ", more, " more keys that are not known here"));
  }
  warnings->insert(warnings->end(), found.begin(), found.end());
  return status;
}

std::string AllKeysMarkdown() {
  std::string text;
  for (const KeyTable* table : KeyTables()) {
    if (!text.empty()) text += "\n";
    text += TableMarkdown(*table);
  }
  return text;
}

}  // namespace longspan
