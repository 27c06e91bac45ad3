#include "core/tokenizer/tokenizer_class.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/tokenizer/tokenizer_json.h"

namespace longspan {
namespace {

using json = nlohmann::json;
using IdOf = std::function<int64_t(const std::string&)>;

constexpr std::array<const char*, 7> kRoles = {"bos_token", "eos_token", "unk_token", "sep_token",
                                               "pad_token", "cls_token", "mask_token"};
enum Role { kBos, kEos, kUnk, kSep, kPad, kCls, kMask };

// --- Which class ---------------------------------------------------------------------------------

struct KnownClass {
  TokenizerKind kind;
  const char* model;
  bool mask_swallows_blanks;
  bool passes_types;
  std::array<const char*, 7> defaults;  // in the order of kRoles
  // All that the library resolves to this class; the rest is empty.
  std::array<std::string_view, 6> names;
};

constexpr KnownClass kKnownClasses[] = {
    {TokenizerKind::kBert,
     "WordPiece",
     false,
     true,
     {nullptr, nullptr, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     {"BertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "LayoutLMTokenizer",
      "LxmertTokenizer", "SqueezeBertTokenizer"}},
    {TokenizerKind::kBert,
     "WordPiece",
     false,
     false,
     {nullptr, nullptr, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     {"DistilBertTokenizer"}},
    {TokenizerKind::kRoberta,
     "BPE",
     false,
     false,
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     {"RobertaTokenizer", "LongformerTokenizer", "LEDTokenizer", "BartTokenizer", "MvpTokenizer"}},
    {TokenizerKind::kXlmRoberta,
     "Unigram",
     false,
     false,
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     {"XLMRobertaTokenizer"}},
    {TokenizerKind::kCamembert,
     "Unigram",
     true,
     false,
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     {"CamembertTokenizer"}},
    {TokenizerKind::kBigBird,
     "Unigram",
     true,
     false,
     {"<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     {"BigBirdTokenizer"}},
    {TokenizerKind::kReformer,
     "BPE",
     false,
     false,
     {nullptr, "</s>", "<unk>", nullptr, nullptr, nullptr, nullptr},
     {"ReformerTokenizer"}},
    {TokenizerKind::kMpnet,
     "WordPiece",
     true,
     false,
     {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"},
     {"MPNetTokenizer"}},
    {TokenizerKind::kAlbert,
     "Unigram",
     false,
     false,
     {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     {"AlbertTokenizer"}},
    {TokenizerKind::kHerbert,
     "BPE",
     false,
     false,
     {nullptr, nullptr, "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     {"HerbertTokenizer"}},
};

// Classes of the library that build their tokenizer otherwise, or without any tokenizer.json.
// Names that stand neither here nor above are unknown to the library, which then takes the file.
constexpr std::string_view kOtherClasses[] = {
    "BarthezTokenizer",
    "BartphoTokenizer",
    "BertGenerationTokenizer",
    "BertJapaneseTokenizer",
    "BertTokenizerLegacy",
    "BertweetTokenizer",
    "BioGptTokenizer",
    "BlenderbotSmallTokenizer",
    "BlenderbotTokenizer",
    "ByT5Tokenizer",
    "CLIPTokenizer",
    "CTRLTokenizer",
    "CanineTokenizer",
    "ClvpTokenizer",
    "CodeGenTokenizer",
    "CodeLlamaTokenizer",
    "CohereTokenizer",
    "ConvBertTokenizer",
    "CpmAntTokenizer",
    "CpmTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
    "DebertaTokenizer",
    "DebertaV2Tokenizer",
    "DiaTokenizer",
    "EsmTokenizer",
    "EsmcTokenizer",
    "FNetTokenizer",
    "FSMTTokenizer",
    "FastSpeech2ConformerTokenizer",
    "FlaubertTokenizer",
    "FunnelTokenizer",
    "GPT2Tokenizer",
    "GPTNeoXJapaneseTokenizer",
    "GPTNeoXTokenizer",
    "GPTSw3Tokenizer",
    "GemmaTokenizer",
    "LasrTokenizer",
    "LayoutLMv2Tokenizer",
    "LayoutLMv3Tokenizer",
    "LayoutXLMTokenizer",
    "LlamaTokenizer",
    "LukeTokenizer",
    "M2M100Tokenizer",
    "MBart50Tokenizer",
    "MBartTokenizer",
    "MLukeTokenizer",
    "MarianTokenizer",
    "MarkupLMTokenizer",
    "MgpstrTokenizer",
    "MistralCommonBackend",
    "MyT5Tokenizer",
    "NllbTokenizer",
    "NougatTokenizer",
    "OpenAIGPTTokenizer",
    "PLBartTokenizer",
    "ParakeetTokenizer",
    "PegasusTokenizer",
    "PerceiverTokenizer",
    "PhobertTokenizer",
    "Pop2PianoTokenizer",
    "ProphetNetTokenizer",
    "Qwen2Tokenizer",
    "Qwen3_5Tokenizer",
    "RagTokenizer",
    "RemBertTokenizer",
    "RoCBertTokenizer",
    "RoFormerTokenizer",
    "SeamlessM4TTokenizer",
    "SentencePieceBackend",
    "Siglip2Tokenizer",
    "SiglipTokenizer",
    "Speech2TextTokenizer",
    "SpeechT5Tokenizer",
    "SplinterTokenizer",
    "T5Tokenizer",
    "TapasTokenizer",
    "Tipsv2Tokenizer",
    "UdopTokenizer",
    "VideoPrismTokenizer",
    "VitsTokenizer",
    "Wav2Vec2CTCTokenizer",
    "Wav2Vec2PhonemeCTCTokenizer",
    "Wav2Vec2Tokenizer",
    "WhisperTokenizer",
    "XGLMTokenizer",
    "XLMTokenizer",
    "XLNetTokenizer",
};

// The class of each model_type that this server reads, where no file names one.
constexpr std::pair<std::string_view, std::string_view> kRegistered[] = {
    {"bert", "BertTokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"longformer", "RobertaTokenizer"},
    {"led", "LEDTokenizer"},
    {"big_bird", "BigBirdTokenizer"},
    {"reformer", "ReformerTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
    {"camembert", "CamembertTokenizer"},
    {"modernbert", "TokenizersBackend"},
};

std::string WithoutFast(std::string name) {
  if (absl::EndsWith(name, "Fast")) name.resize(name.size() - 4);
  return name;
}

TokenizerClass FileAsItIs(std::string name) {
  TokenizerClass of;
  of.name = std::move(name);
  return of;
}

absl::StatusOr<TokenizerClass> ClassOfName(const std::string& name, const std::string& source) {
  for (const KnownClass& known : kKnownClasses) {
    if (std::find(known.names.begin(), known.names.end(), name) == known.names.end()) continue;
    return TokenizerClass{.kind = known.kind,
                          .name = name,
                          .model = known.model,
                          .mask_swallows_blanks = known.mask_swallows_blanks,
                          .passes_types = known.passes_types,
                          .defaults = known.defaults};
  }
  if (std::find(std::begin(kOtherClasses), std::end(kOtherClasses), name) ==
      std::end(kOtherClasses))
    return FileAsItIs(name);
  std::string supported = "PreTrainedTokenizerFast";
  for (const KnownClass& known : kKnownClasses) {
    for (const std::string_view one : known.names) {
      if (!one.empty()) absl::StrAppend(&supported, ", ", std::string(one));
    }
  }
  return absl::UnimplementedError(
      absl::StrCat(source, ": tokenizer_class ", name,
                   " cannot be built from vocabulary files or a tokenizer.json (can: ", supported,
                   "); save the tokenizer as PreTrainedTokenizerFast with Python's transformers"));
}

// --- What it builds ------------------------------------------------------------------------------

json Metaspace(bool prepend) {
  return {{"type", "Metaspace"},
          {"replacement", "\u2581"},
          {"prepend_scheme", prepend ? "always" : "never"},
          {"split", true}};
}

json SplitAtBlanksThenMetaspace(bool prepend) {
  return {{"type", "Sequence"},
          {"pretokenizers", json::array({{{"type", "WhitespaceSplit"}}, Metaspace(prepend)})}};
}

json ByteLevel(bool add_prefix_space) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", true}};
}

json WordPieceDecoder() { return {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}; }

json Replace(const char* kind, const char* pattern, const char* content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

json InSequence(json steps) { return {{"type", "Sequence"}, {"normalizers", std::move(steps)}}; }

// The first Precompiled step of the file's normaliser, the charsmap of a SentencePiece model; null
// where there is none.
json Charsmap(const json& document) {
  const json normalizer = document.value("normalizer", json());
  if (!normalizer.is_object()) return nullptr;
  const bool sequence = normalizer.value("type", "") == "Sequence";
  const json steps =
      sequence ? normalizer.value("normalizers", json::array()) : json::array({normalizer});
  for (const json& step : steps) {
    if (step.is_object() && step.value("type", "") == "Precompiled" &&
        step.contains("precompiled_charsmap"))
      return {{"type", "Precompiled"}, {"precompiled_charsmap", step["precompiled_charsmap"]}};
  }
  return nullptr;
}

// [CLS] A [SEP], all of type 0.
json Template(const std::string& begin, int64_t begin_id, const std::string& end, int64_t end_id) {
  const auto token = [](const std::string& name) {
    return json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  };
  const auto sequence = [](const char* name) {
    return json{{"Sequence", {{"id", name}, {"type_id", 0}}}};
  };
  const auto ids = [](const std::string& name, int64_t id) {
    return json{{"id", name}, {"ids", json::array({id})}, {"tokens", json::array({name})}};
  };
  return {
      {"type", "TemplateProcessing"},
      {"single", json::array({token(begin), sequence("A"), token(end)})},
      {"pair", json::array({token(begin), sequence("A"), token(end), sequence("B"), token(end)})},
      {"special_tokens", {{begin, ids(begin, begin_id)}, {end, ids(end, end_id)}}}};
}

class RecipeMaker {
 public:
  RecipeMaker(const TokenizerClass& of, TokenizerArguments arguments, const json& document)
      : class_(of), arguments_(std::move(arguments)), document_(document) {}

  absl::StatusOr<TokenizerRecipe> Run() {
    for (size_t i = 0; i < kRoles.size(); ++i) {
      const bool swallows = class_.mask_swallows_blanks && i == kMask;
      roles_[i] = RoleToken(arguments_, kRoles[i], Fallback(static_cast<Role>(i)).c_str_or_null(),
                            swallows);
    }
    if (class_.kind == TokenizerKind::kCamembert && !GivesExtraTokens()) {
      for (const char* name : {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"})
        arguments_.extra_special_tokens.push_back(SpecialToken(name));
    }
    recipe_.passes_types = PassesTypes();
    recipe_.split_special_tokens = Flag("split_special_tokens", false);
    Build();
    if (!arguments_.values.status().ok()) return arguments_.values.status();
    AddTokens();
    recipe_.mask_token = TokenOf(kMask);
    recipe_.end_token = TokenOf(kEos);
    recipe_.unknown_token = TokenOf(kUnk);
    return std::move(recipe_);
  }

 private:
  // A text, or none.
  struct Text {
    std::optional<std::string> value;
    const char* c_str_or_null() const { return value.has_value() ? value->c_str() : nullptr; }
  };

  // Padding that is stored in the file names the pad token, where neither the configuration nor the
  // class does.
  Text Fallback(Role role) const {
    if (class_.defaults[role] != nullptr) return {class_.defaults[role]};
    const json padding = document_.value("padding", json());
    const bool padded = padding.is_object() && padding.value("pad_token", json()).is_string();
    const bool names_none =
        class_.kind == TokenizerKind::kFile || class_.kind == TokenizerKind::kReformer;
    if (role == kPad && padded && names_none) return {padding["pad_token"].get<std::string>()};
    return {};
  }

  static json SpecialToken(const char* name) {
    return {{"content", name}, {"single_word", false}, {"lstrip", false},
            {"rstrip", false}, {"normalized", false},  {"special", true}};
  }

  bool GivesExtraTokens() const {
    return arguments_.values.Contains("extra_special_tokens") ||
           arguments_.values.Has("additional_special_tokens");
  }

  bool Flag(const char* key, bool fallback) { return arguments_.values.Boolean(key, fallback); }

  bool PassesTypes() {
    const json& names = arguments_.values.Value("model_input_names");
    if (names.is_null()) return class_.passes_types;
    if (!names.is_array()) {
      arguments_.values.Fail("model_input_names", "a list of names");
      return false;
    }
    return std::find(names.begin(), names.end(), "token_type_ids") != names.end();
  }

  std::string TokenOf(Role role) const {
    return roles_[role].has_value() ? (*roles_[role])["content"].get<std::string>() : "";
  }

  // The text of a role that the class cannot do without.
  std::string Needed(Role role) {
    if (roles_[role].has_value()) return (*roles_[role])["content"];
    arguments_.values.Fail(kRoles[role], absl::StrCat("a token; ", class_.name, " needs it"));
    return "";
  }

  // The class puts these two tokens around a text.
  void Frame(Role begin, Role end,
             const std::function<json(const std::string&, int64_t, const std::string&, int64_t)>&
                 post_processor) {
    const std::string first = Needed(begin), last = Needed(end);
    recipe_.required.push_back({kRoles[begin], first});
    recipe_.required.push_back({kRoles[end], last});
    recipe_.post_processor = [=](const IdOf& id_of) {
      return post_processor(first, id_of(first), last, id_of(last));
    };
  }

  void RobertaFrame(bool trim_offsets, bool add_prefix_space) {
    Frame(kCls, kSep,
          [=](const std::string& cls, int64_t cls_id, const std::string& sep, int64_t sep_id) {
            return json{{"type", "RobertaProcessing"},
                        {"sep", json::array({sep, sep_id})},
                        {"cls", json::array({cls, cls_id})},
                        {"trim_offsets", trim_offsets},
                        {"add_prefix_space", add_prefix_space}};
          });
  }

  void Components(json model, json normalizer, json pre_tokenizer, json decoder) {
    recipe_.components = {{"model", std::move(model)},
                          {"normalizer", std::move(normalizer)},
                          {"pre_tokenizer", std::move(pre_tokenizer)},
                          {"decoder", std::move(decoder)}};
  }

  void WordPiece() {
    if (!Flag("do_basic_tokenize", true))
      arguments_.values.Fail("do_basic_tokenize", "true: words come from BERT's pre-tokeniser");
    json strip_accents = nullptr;  // null: accents are stripped where do_lower_case is true
    if (arguments_.values.Has("strip_accents")) strip_accents = Flag("strip_accents", true);
    recipe_.required.push_back({kRoles[kUnk], Needed(kUnk)});
    Components({{"type", "WordPiece"}, {"unk_token", Needed(kUnk)}},
               {{"type", "BertNormalizer"},
                {"clean_text", true},
                {"handle_chinese_chars", Flag("tokenize_chinese_chars", true)},
                {"strip_accents", strip_accents},
                {"lowercase", Flag("do_lower_case", true)}},
               {{"type", "BertPreTokenizer"}}, WordPieceDecoder());
  }

  void Roberta() {
    const bool prefix = Flag("add_prefix_space", false);
    Components({{"type", "BPE"}, {"unk_token", nullptr}, {"end_of_word_suffix", ""}}, nullptr,
               ByteLevel(prefix), ByteLevel(true));
    RobertaFrame(Flag("trim_offsets", true), prefix);
  }

  void Herbert() {
    Components({{"type", "BPE"}, {"unk_token", Needed(kUnk)}, {"end_of_word_suffix", "</w>"}},
               {{"type", "BertNormalizer"},
                {"clean_text", true},
                {"handle_chinese_chars", true},
                {"strip_accents", false},
                {"lowercase", false}},
               {{"type", "BertPreTokenizer"}}, {{"type", "BPEDecoder"}, {"suffix", "</w>"}});
    // The class writes these ids itself, whatever the vocabulary says.
    Frame(kCls, kSep, [](const std::string& cls, int64_t, const std::string& sep, int64_t) {
      return json{{"type", "BertProcessing"},
                  {"sep", json::array({sep, 2})},
                  {"cls", json::array({cls, 0})}};
    });
  }

  void XlmRoberta() {
    const bool prefix = Flag("add_prefix_space", true);
    json model = {{"type", "Unigram"}, {"unk_id", 3}};
    if (class_.kind == TokenizerKind::kCamembert)
      model = {{"type", "Unigram"}, {"unk_token", Needed(kUnk)}, {"unk_id", 0}};
    Components(std::move(model), Charsmap(document_), SplitAtBlanksThenMetaspace(prefix),
               Metaspace(prefix));
    Frame(kBos, kEos, Template);
  }

  void BigBird() {
    const bool prefix = Flag("add_prefix_space", true);
    Components(
        {{"type", "Unigram"}, {"unk_token", Needed(kUnk)}, {"unk_score", 0.0}, {"unk_id", 100}},
        InSequence({{{"type", "Strip"}, {"strip_left", false}, {"strip_right", false}},
                    Replace("Regex", " {2,}", "\u2581")}),
        Metaspace(prefix), Metaspace(prefix));
    Frame(kCls, kSep, Template);
  }

  void Albert() {
    const bool prefix = Flag("add_prefix_space", true);
    json steps = json::array({Replace("String", "``", "\""), Replace("String", "''", "\"")});
    if (!Flag("keep_accents", false)) {
      steps.push_back({{"type", "NFKD"}});
      steps.push_back({{"type", "StripAccents"}});
    }
    if (Flag("do_lower_case", true)) steps.push_back({{"type", "Lowercase"}});
    if (json charsmap = Charsmap(document_); !charsmap.is_null())
      steps.push_back(std::move(charsmap));
    Components({{"type", "Unigram"}, {"unk_id", 1}}, InSequence(std::move(steps)),
               SplitAtBlanksThenMetaspace(prefix), Metaspace(prefix));
    // The base class puts the file's post-processor over the one that this class makes.
    if (document_.value("post_processor", json()).is_null()) Frame(kCls, kSep, Template);
  }

  void Reformer() {
    json normalizer = Charsmap(document_);
    if (!normalizer.is_null())
      normalizer = InSequence({normalizer, Replace("Regex", " {2,}", " ")});
    Components({{"type", "BPE"}, {"unk_token", Needed(kUnk)}, {"fuse_unk", true}},
               std::move(normalizer), Metaspace(true), Metaspace(true));
  }

  void Build() {
    switch (class_.kind) {
      case TokenizerKind::kFile:
        return;
      case TokenizerKind::kBert:
        WordPiece();
        return Frame(kCls, kSep, Template);
      case TokenizerKind::kMpnet:
        WordPiece();
        return RobertaFrame(true, false);
      case TokenizerKind::kRoberta:
        return Roberta();
      case TokenizerKind::kXlmRoberta:
      case TokenizerKind::kCamembert:
        return XlmRoberta();
      case TokenizerKind::kBigBird:
        return BigBird();
      case TokenizerKind::kReformer:
        return Reformer();
      case TokenizerKind::kAlbert:
        return Albert();
      case TokenizerKind::kHerbert:
        return Herbert();
    }
  }

  void AddTokens() {
    std::vector<json> roles;
    for (const std::optional<json>& token : roles_) {
      if (token.has_value()) roles.push_back(*token);
    }
    const bool as_the_file = class_.kind == TokenizerKind::kFile;
    recipe_.tokens =
        TokensToAdd(arguments_, roles, as_the_file ? AddedTokensOf(document_) : json::array());
    for (const auto& [id, token] : arguments_.added_tokens)
      recipe_.added_ids[id] = token["content"].get<std::string>();
    if (class_.kind != TokenizerKind::kReformer) return;
    recipe_.later_tokens = roles;
    for (const std::vector<json>* more :
         {&arguments_.named_tokens, &arguments_.extra_special_tokens})
      recipe_.later_tokens.insert(recipe_.later_tokens.end(), more->begin(), more->end());
    for (json& token : recipe_.later_tokens) token["special"] = true;
  }

  const TokenizerClass& class_;
  TokenizerArguments arguments_;
  const json& document_;
  std::array<std::optional<json>, 7> roles_;
  TokenizerRecipe recipe_;
};

}  // namespace

absl::StatusOr<TokenizerClass> ResolveTokenizerClass(const std::string& named,
                                                     const std::string& model_type, bool byte_level,
                                                     const std::string& source) {
  // The published ModernBERT files name a class that the library knows to be wrong.
  if (model_type == "modernbert") return FileAsItIs("PreTrainedTokenizerFast");
  if (!named.empty()) {
    const std::string name = WithoutFast(named);
    if (name == "LlamaTokenizer" && byte_level) return FileAsItIs(name);
    return ClassOfName(name, source);
  }
  for (const auto& [type, name] : kRegistered) {
    if (type == model_type) return ClassOfName(std::string(name), source);
  }
  return FileAsItIs("PreTrainedTokenizerFast");
}

absl::StatusOr<TokenizerRecipe> MakeRecipe(const TokenizerClass& of, TokenizerArguments arguments,
                                           const json& document) {
  return RecipeMaker(of, std::move(arguments), document).Run();
}

}  // namespace longspan
