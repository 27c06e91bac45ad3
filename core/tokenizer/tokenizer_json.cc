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

bool Contains(const std::vector<std::string>& types, const std::string& type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Finds out at which places the components and added tokens of a tokenizer allow a cut
// (text_chunks.h). A component of which this is not known allows none.
class CutRuleMaker {
 public:
  explicit CutRuleMaker(bool lowercases_first) {
    if (lowercases_first) normalizers_.emplace_back("Lowercase");
  }

  void SeeNormalizer(const json& step) {
    normalizers_.push_back(TypeOf(step));
    around_ideographs_ |= TypeOf(step) == "BertNormalizer" && IsTrue(step, "handle_chinese_chars");
  }
  void SeePreTokenizer(const json& step) {
    std::string type = TypeOf(step);
    if (type == "ByteLevel" && !step.value("use_regex", true)) type = "ByteLevel without a regex";
    rules_.prefixes |= type == "ByteLevel" && step.value("add_prefix_space", true);
    if (type == "Metaspace" && !step.value("split", true)) type = "Metaspace without a split";
    pre_tokenizers_.push_back(std::move(type));
  }

  // Behind all normalisers.
  void SeeAddedToken(const json& token) {
    const auto content = token.is_object() ? token.find("content") : token.end();
    if (content == token.end() || !content->is_string()) {
      exact_ = false;
      return;
    }
    const std::string text = content->get<std::string>();
    if (text.empty()) return;  // the crate passes over it
    if (token.value("normalized", true) && !normalizers_.empty()) {
      SeeNormalizedToken(text, token);
    } else {
      SeeVerbatimToken(text, token);
    }
    rules_.any_rstrip |= token.value("rstrip", false);
    if (token.value("single_word", false)) {
      rules_.word_neighbours = false;
      borders_ = borders_ && IsWord(text.back());
    }
  }

  CutRules Make() {
    static const auto* local = new std::vector<std::string>{
        "BertNormalizer", "Lowercase", "NFC",         "NFD",         "NFKC",
        "NFKD",           "Nmt",       "Precompiled", "StripAccents"};
    static const auto* splitting = new std::vector<std::string>{"BertPreTokenizer", "ByteLevel",
                                                                "Whitespace", "WhitespaceSplit"};
    static const auto* others = new std::vector<std::string>{"Digits", "Punctuation"};
    bool splits = false;
    bool only_nfc = true;
    for (const std::string& type : normalizers_) {
      exact_ = exact_ && Contains(*local, type);
      only_nfc = only_nfc && type == "NFC";
    }
    for (const std::string& type : pre_tokenizers_) {
      const bool at_white_space = Contains(*splitting, type);
      rules_.line_breaks |= at_white_space;
      rules_.letters |= Contains(*others, type);
      splits = splits || at_white_space || type == "Metaspace";
      exact_ = exact_ && (at_white_space || type == "Metaspace" || Contains(*others, type));
    }
    if (!exact_ || !splits) return {};
    const bool mapped = Contains(normalizers_, "Precompiled");
    const std::string only = pre_tokenizers_.size() == 1 ? pre_tokenizers_.front() : "";
    rules_.blanks = true;
    rules_.line_breaks = rules_.line_breaks && !mapped;
    rules_.bert_punctuation = borders_ && only == "BertPreTokenizer" && !mapped;
    rules_.ideographs = rules_.bert_punctuation && around_ideographs_;
    rules_.symbols = borders_ && only == "ByteLevel" && only_nfc;
    rules_.wide_ends_token |= normalized_tokens_ && !only_nfc;
    rules_.byte_level = Contains(pre_tokenizers_, "ByteLevel");
    // An ideograph then ends with a blank, which the regex joins with the one behind it.
    rules_.ascii_letters |= rules_.byte_level && around_ideographs_;
    rules_.Seal();
    return std::move(rules_);
  }

 private:
  static bool IsTrue(const json& step, const char* key) {
    const auto value = step.find(key);
    return value != step.end() && *value == true;
  }
  static bool IsAscii(char c) { return static_cast<uint8_t>(c) < 0x80; }
  static bool IsLetter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && IsAscii(c); }
  static bool IsWord(char c) { return IsLetter(c) || (c >= '0' && c <= '9'); }

  // A token that is looked for in the text as it is.
  void SeeVerbatimToken(const std::string& text, const json& token) {
    rules_.ForbidInside(text);
    EndsWith(text.back());
    Swallow(token, "rstrip", text.back(), &rules_.ends_rstrip);
    Swallow(token, "lstrip", text.front(), &rules_.begins_lstrip);
  }
  void EndsWith(char c) {
    if (IsAscii(c)) {
      rules_.ends_token.set(c);
    } else {
      rules_.wide_ends_token = true;
    }
  }
  void Swallow(const json& token, const char* flag, char neighbour, std::bitset<128>* table) {
    if (!token.value(flag, false)) return;
    exact_ = exact_ && IsAscii(neighbour);
    if (IsAscii(neighbour)) table->set(neighbour);
  }

  // A token whose normal form is looked for in the normalised text: of visible ASCII or of nothing
  // but blanks, so that it is known which characters of a text become which of the token's.
  void SeeNormalizedToken(const std::string& text, const json& token) {
    const bool visible = std::all_of(text.begin(), text.end(),
                                     [](char c) { return IsAscii(c) && c > ' ' && c != 0x7F; });
    const bool blank = text.find_first_not_of(' ') == std::string::npos;
    exact_ = exact_ && (visible || (blank && !around_ideographs_));
    for (size_t i = 0; exact_ && i + 1 < text.size(); ++i) {
      for (const char left : InBothCases(text[i]))
        for (const char right : InBothCases(text[i + 1])) rules_.ForbidPair(left, right);
    }
    for (const char end : InBothCases(text.back())) EndsWith(end);
    normalized_tokens_ = true;
    const bool at_left = token.value("lstrip", false), at_right = token.value("rstrip", false);
    if (!at_left && !at_right) return;
    // Other letters than those of ASCII may become the one beside the blanks.
    rules_.ascii_letters = true;
    exact_ = exact_ && !blank && !(at_left && IsLetter(text.front())) &&
             !(at_right && IsLetter(text.back()));
  }
  static std::vector<char> InBothCases(char c) {
    if (!IsLetter(c)) return {c};
    return {static_cast<char>(c | 0x20), static_cast<char>(c & ~0x20)};
  }

  std::vector<std::string> normalizers_;
  std::vector<std::string> pre_tokenizers_;
  bool around_ideographs_ = false;
  bool normalized_tokens_ = false;
  bool exact_ = true;    // nothing was seen that might reach over a cut
  bool borders_ = true;  // no token looks at a letter behind it
  CutRules rules_;
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
                             std::vector<AddedToken>* tokens) {
  const auto list = document.find("added_tokens");
  if (list == document.end() || list->is_null()) return absl::OkStatus();
  for (const json& token : *list) {
    if (!token.is_object() || !token.contains("id") || !token["id"].is_number_unsigned() ||
        !token.contains("content") || !token["content"].is_string()) {
      return Bad(name, "\"added_tokens\" holds an entry without \"id\" and \"content\"");
    }
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
  for (const ComponentKind& kind : ComponentKinds()) {
    const auto component = document.find(kind.key);
    if (component == document.end()) continue;
    const absl::Status status = CheckComponent(*component, kind, name, note_lower_case);
    if (!status.ok()) return status;
  }
  if (const absl::Status status = CheckModel(document, name); !status.ok()) return status;
  const absl::Status status = ReadAddedTokens(document, name, &summary.added_tokens);
  if (!status.ok()) return status;
  return summary;
}

CutRules CutRulesOf(const json& document, const std::vector<json>& more_tokens,
                    bool lowercases_first) {
  CutRuleMaker maker(lowercases_first);
  for (const ComponentKind& kind : ComponentKinds()) {
    const auto component = document.find(kind.key);
    if (component == document.end()) continue;
    const bool normalizer = kind.key == std::string_view("normalizer");
    const bool splitter = kind.key == std::string_view("pre_tokenizer");
    const absl::Status status = CheckComponent(*component, kind, "", [&](const json& step) {
      if (normalizer) maker.SeeNormalizer(step);
      if (splitter) maker.SeePreTokenizer(step);
    });
    if (!status.ok()) return {};
  }
  for (const json& token : AddedTokensOf(document)) maker.SeeAddedToken(token);
  for (const json& token : more_tokens) maker.SeeAddedToken(token);
  return maker.Make();
}

json AddedTokensOf(const json& document) {
  const auto list = document.find("added_tokens");
  return list != document.end() && list->is_array() ? *list : json::array();
}

}  // namespace longspan
