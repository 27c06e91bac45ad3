#include "core/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace longspan {
namespace {

using json = nlohmann::json;

constexpr int kMaxDepth = 64;  // published files are nested a few levels
// The crate keeps the pieces of a Unigram vocabulary in a trie and frees it by recursion, one call
// for each byte of a piece: longer strings could overflow the stack.
constexpr size_t kMaxStringBytes = 16384;

// One kind of component.
struct ComponentKind {
  const char* key;
  const char* steps;               // the key of the list in a component of type "Sequence"
  std::vector<std::string> types;  // that the crate reads
};

const std::vector<ComponentKind>& ComponentKinds() {
  static const auto* kinds = new std::vector<ComponentKind>{
      {"normalizer",
       "normalizers",
       {"BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt",
        "Precompiled", "Prepend", "Replace", "Strip", "StripAccents"}},
      {"pre_tokenizer",
       "pretokenizers",
       {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace",
        "Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"}},
      {"post_processor",
       "processors",
       {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}},
      {"decoder",
       "decoders",
       {"BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Strip",
        "WordPiece"}},
  };
  return *kinds;
}

absl::Status Bad(const std::string& name, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", what));
}

// Whether the string behind `before` is the one that may be long: the charsmap of a Precompiled
// normaliser, a binary table in base 64.
bool IsCharsmap(std::string_view before) {
  while (!before.empty() && (before.back() == ' ' || before.back() == ':')) before.remove_suffix(1);
  return before.ends_with("\"precompiled_charsmap\"");
}

// Checks nesting and lengths of strings in one pass, before a parser builds anything.
absl::Status CheckBounds(std::string_view text, const std::string& name) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const size_t begin = i++;
      while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
      if (i - begin > kMaxStringBytes && !IsCharsmap(text.substr(0, begin))) {
        return Bad(name, absl::StrCat("the string at byte ", begin, " is longer than ",
                                      kMaxStringBytes, " bytes"));
      }
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth)
        return Bad(name, absl::StrCat("nested deeper than ", kMaxDepth, " at byte ", i));
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return absl::OkStatus();
}

// The document without the model's vocabulary and merges, which are most of the file.
absl::StatusOr<json> ParseWithoutVocabulary(std::string_view text, const std::string& name) {
  bool in_model = false;
  const auto keep = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event != json::parse_event_t::key) return true;
    if (depth == 1) in_model = parsed == "model";
    return !(in_model && depth == 2 && (parsed == "vocab" || parsed == "merges"));
  };
  try {
    return json::parse(text, keep);
  } catch (const json::parse_error& error) {
    return Bad(name, absl::StrCat("not valid JSON at byte ", error.byte));
  } catch (const json::exception&) {
    return Bad(name, "not valid JSON: a number is out of range");
  }
}

std::string TypeOf(const json& component) {
  const auto type = component.is_object() ? component.find("type") : component.end();
  return type != component.end() && type->is_string() ? type->get<std::string>() : "";
}

// Checks a component and, where it is a Sequence, the steps in it. Calls `seen(step)` for each one
// that is not a Sequence.
template <typename Seen>
absl::Status CheckComponent(const json& component, const ComponentKind& kind,
                            const std::string& name, const Seen& seen) {
  if (component.is_null()) return absl::OkStatus();
  const std::string type = TypeOf(component);
  if (type == "Sequence") {
    const auto steps = component.find(kind.steps);
    if (steps == component.end() || !steps->is_array()) {
      return Bad(name, absl::StrCat("the Sequence of \"", kind.key, "\" has no list \"", kind.steps,
                                    "\""));
    }
    for (const json& step : *steps) {
      if (absl::Status status = CheckComponent(step, kind, name, seen); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  if (std::find(kind.types.begin(), kind.types.end(), type) == kind.types.end()) {
    return absl::UnimplementedError(absl::StrCat(
        name, ": ", kind.key, " of type \"", type,
        "\" is not supported; supported: ", absl::StrJoin(kind.types, ", "), ", Sequence"));
  }
  seen(component);
  return absl::OkStatus();
}

// Finds out whether a text may be cut in front of a blank between two ASCII letters: no component
// may reach over such a blank, and none may treat the beginning of a text differently where it
// begins with a blank. A component of which this is not known counts as one that does.
class BlankRule {
 public:
  void SeeNormalizer(const json& step) {
    static const auto* local = new std::vector<std::string>{
        "BertNormalizer", "Lowercase", "NFC",         "NFD",         "NFKC",
        "NFKD",           "Nmt",       "Precompiled", "StripAccents"};
    local_ = local_ && Contains(*local, TypeOf(step));
  }
  void SeePreTokenizer(const json& step) {
    const std::string type = TypeOf(step);
    static const auto* splitting =
        new std::vector<std::string>{"BertPreTokenizer", "Whitespace", "WhitespaceSplit"};
    static const auto* others = new std::vector<std::string>{"Digits", "Punctuation"};
    if (Contains(*splitting, type) || (type == "ByteLevel" && step.value("use_regex", true)) ||
        (type == "Metaspace" && step.value("split", true))) {
      splits_ = true;
    } else {
      local_ = local_ && Contains(*others, type);
    }
  }
  void SeeAddedToken(const json& token) {
    const std::string content = token["content"].get<std::string>();
    bool over_a_cut = false;  // the token holds a letter and the blank behind it
    for (size_t i = 0; i + 1 < content.size(); ++i)
      over_a_cut |= IsLetter(content, i) && content[i + 1] == ' ';
    // A token that swallows the blanks beside it must not have a letter there: then no cut can lie
    // beside it.
    const bool swallows = (token.value("lstrip", false) && IsLetter(content, 0)) ||
                          (token.value("rstrip", false) && IsLetter(content, content.size() - 1));
    local_ = local_ && !over_a_cut && !swallows;
  }
  bool Holds() const { return local_ && splits_; }

 private:
  static bool Contains(const std::vector<std::string>& types, const std::string& type) {
    return std::find(types.begin(), types.end(), type) != types.end();
  }
  static bool IsLetter(const std::string& content, size_t at) {
    const char c = at < content.size() ? static_cast<char>(content[at] | 0x20) : ' ';
    return c >= 'a' && c <= 'z';
  }
  bool local_ = true;
  bool splits_ = false;
};

absl::Status CheckModel(const json& document, const std::string& name) {
  const auto model = document.find("model");
  if (model == document.end() || !model->is_object()) return Bad(name, "has no \"model\"");
  // Old files name no type; the crate infers it from the fields.
  if (!model->contains("type")) return absl::OkStatus();
  const std::string type = TypeOf(*model);
  for (const char* known : {"BPE", "WordPiece", "Unigram", "WordLevel"}) {
    if (type == known) return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat(name, ": model of type \"", type,
                   "\" is not supported; supported: BPE, WordPiece, Unigram, WordLevel"));
}

absl::Status ReadAddedTokens(const json& document, const std::string& name,
                             std::vector<AddedToken>* tokens, BlankRule* blanks) {
  const auto list = document.find("added_tokens");
  if (list == document.end() || list->is_null()) return absl::OkStatus();
  for (const json& token : *list) {
    if (!token.is_object() || !token.contains("id") || !token["id"].is_number_unsigned() ||
        !token.contains("content") || !token["content"].is_string()) {
      return Bad(name, "\"added_tokens\" holds an entry without \"id\" and \"content\"");
    }
    blanks->SeeAddedToken(token);
    tokens->push_back({token["content"].get<std::string>(), token["id"].get<int64_t>()});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<json> ParseTokenizerJson(std::string_view text, const std::string& name) {
  if (const absl::Status bounds = CheckBounds(text, name); !bounds.ok()) return bounds;
  absl::StatusOr<json> document = ParseWithoutVocabulary(text, name);
  if (document.ok() && !document->is_object()) return Bad(name, "is not a JSON object");
  return document;
}

absl::StatusOr<TokenizerJsonSummary> InspectTokenizerJson(const json& document,
                                                          const std::string& name) {
  TokenizerJsonSummary summary;
  const auto note_lower_case = [&](const json& step) {
    const auto flag = step.find("lowercase");
    summary.lowercases |= TypeOf(step) == "Lowercase" ||
                          (TypeOf(step) == "BertNormalizer" && flag != step.end() && *flag == true);
  };
  BlankRule blanks;
  for (const ComponentKind& kind : ComponentKinds()) {
    const auto component = document.find(kind.key);
    if (component == document.end()) continue;
    const bool normalizer = kind.key == std::string_view("normalizer");
    const bool splitter = kind.key == std::string_view("pre_tokenizer");
    const absl::Status status = CheckComponent(*component, kind, name, [&](const json& step) {
      note_lower_case(step);
      if (normalizer) blanks.SeeNormalizer(step);
      if (splitter) blanks.SeePreTokenizer(step);
    });
    if (!status.ok()) return status;
  }
  if (const absl::Status status = CheckModel(document, name); !status.ok()) return status;
  const absl::Status status = ReadAddedTokens(document, name, &summary.added_tokens, &blanks);
  if (!status.ok()) return status;
  summary.cuts_at_blanks = blanks.Holds();
  return summary;
}

json AddedTokensOf(const json& document) {
  const auto list = document.find("added_tokens");
  return list != document.end() && list->is_array() ? *list : json::array();
}

}  // namespace longspan
