#include "core/checkpoint/tokenizer_keys.h"

#include <filesystem>
#include <string_view>

#include "absl/strings/match.h"
#include "core/checkpoint/json_reader.h"

namespace longspan {
namespace {

using nlohmann::json;

constexpr KeyRule kHonoured = KeyRule::kHonoured;
constexpr KeyRule kHarmless = KeyRule::kHarmless;
constexpr KeyRule kRefused = KeyRule::kRefused;

constexpr std::string_view kToken =
    "A special token: its text, or an object with the rules by which it is found. It wins over "
    "tokenizer.json in the classes that build their tokenizer (see tokenizer_class).";
constexpr std::string_view kMapToken =
    "It wins over tokenizer_config.json, but is read only where that lists no "
    "added_tokens_decoder.";
constexpr std::string_view kReplaces = "It would replace what the tokenizer's files say.";
constexpr std::string_view kOneText =
    "It acts on batches or on the cutting of texts; the server "
    "cuts as each request says and pads nothing.";
constexpr std::string_view kDecoding = "It acts on the way from ids to text.";
constexpr std::string_view kPath = "A note of where files were; the folder's own are read.";
constexpr std::string_view kOldKey = "Old versions of the library read it; now none does.";
constexpr std::string_view kChat = "It acts on chats.";

constexpr KnownKey kConfig[] = {
    {"tokenizer_class", kHonoured, "", "",
     "Which class builds the tokenizer, out of the vocabulary and of this file (BertTokenizer, "
     "RobertaTokenizer, ...) or exactly as tokenizer.json says (PreTrainedTokenizerFast and names "
     "that the library does not know). ModernBERT always takes tokenizer.json as it is. Other "
     "classes of the library are refused."},
    {"do_lower_case", kHonoured, "", "", "Of BertTokenizer, MPNetTokenizer, AlbertTokenizer."},
    {"strip_accents", kHonoured, "", "", "Of BertTokenizer and MPNetTokenizer."},
    {"tokenize_chinese_chars", kHonoured, "", "", "Of BertTokenizer and MPNetTokenizer."},
    {"keep_accents", kHonoured, "", "", "Of AlbertTokenizer."},
    {"do_basic_tokenize", kHonoured, "", "",
     "Of BertTokenizer and MPNetTokenizer: false is refused, no version reads it alike."},
    {"add_prefix_space", kHonoured, "", "",
     "Of RobertaTokenizer, XLMRobertaTokenizer, CamembertTokenizer, BigBirdTokenizer and "
     "AlbertTokenizer; PreTrainedTokenizerFast ignores it."},
    {"trim_offsets", kHonoured, "", "", "Of RobertaTokenizer; it moves offsets only."},
    {"bos_token", kHonoured, "", "", kToken},
    {"eos_token", kHonoured, "", "", kToken},
    {"unk_token", kHonoured, "", "", kToken},
    {"sep_token", kHonoured, "", "", kToken},
    {"pad_token", kHonoured, "", "", kToken},
    {"cls_token", kHonoured, "", "", kToken},
    {"mask_token", kHonoured, "", "", kToken},
    {"added_tokens_decoder", kHonoured, "", "",
     "The added tokens with their ids and rules, which win over those of tokenizer.json."},
    {"additional_special_tokens", kHonoured, "", "", "The old name of extra_special_tokens."},
    {"extra_special_tokens", kHonoured, "", "",
     "More special tokens: a list, or names and tokens."},
    {"model_specific_special_tokens", kHonoured, "", "", "More special tokens, by names."},
    {"split_special_tokens", kHonoured, "", "",
     "true: the names of special tokens in a text are text like any other."},
    {"model_input_names", kHonoured, "", "",
     "With token_type_ids the model is given the types that the post-processor sets, where it has "
     "a table of types; only BertTokenizer does so by itself."},
    {"model_max_length", kHonoured, "", "",
     "The longest text, in tokens, where sentence_bert_config.json says none."},
    {"max_len", kHonoured, "", "", "The old name of model_max_length."},
    {"chat_template", kHarmless, "", "",
     "It acts on chats; sentence-transformers uses it only in a folder without modules.json."},
    {"chat_control_tokens", kHarmless, "", "", kChat},
    {"response_template", kHarmless, "", "", kChat},
    {"response_schema", kHarmless, "", "", kChat},
    {"auto_map", kHonoured, "", "", "A tokenizer class of the folder's own is refused."},
    {"init_inputs", kRefused, "", "[]", "Arguments without a name."},
    {"fast_tokenizer_files", kRefused, "", "[\"tokenizer.json\"]", "Only tokenizer.json is read."},
    {"processor_class", kRefused, "", "", "A processor would stand in front of the tokenizer."},
    {"tokenizer_object", kRefused, "", "", kReplaces},
    {"vocab", kRefused, "", "", kReplaces},
    {"merges", kRefused, "", "", kReplaces},
    {"post_processor", kRefused, "", "", kReplaces},
    {"gguf_file", kRefused, "", "", kReplaces},
    {"tokenizer_padding", kRefused, "", "", kReplaces},
    {"tokenizer_truncation", kRefused, "", "", kReplaces},
    {"_json_padding", kRefused, "", "", kReplaces},
    {"_json_truncation", kRefused, "", "", kReplaces},
    {"_spm_precompiled_charsmap", kRefused, "", "", kReplaces},
    {"padding_side", kHarmless, "", "", kOneText},
    {"truncation_side", kHarmless, "", "", kOneText},
    {"pad_token_type_id", kHarmless, "", "", kOneText},
    {"pad_to_multiple_of", kHarmless, "", "", kOneText},
    {"max_length", kHarmless, "", "", kOneText},
    {"stride", kHarmless, "", "", kOneText},
    {"truncation_strategy", kHarmless, "", "", kOneText},
    {"padding", kHarmless, "", "", kOneText},
    {"truncation", kHarmless, "", "", kOneText},
    {"return_tensors", kHarmless, "", "", kOneText},
    {"add_bos_token", kHarmless, "", "",
     "Dropped beside a tokenizer.json; the classes that build "
     "from vocabulary files always add their own tokens."},
    {"add_eos_token", kHarmless, "", "", "As add_bos_token."},
    {"add_special_tokens", kHarmless, "", "", "An argument of a call, not of the class."},
    {"clean_up_tokenization_spaces", kHarmless, "", "", kDecoding},
    {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", kHarmless, "", "",
     kDecoding},
    {"errors", kHarmless, "", "", kDecoding},
    {"wordpieces_prefix", kHarmless, "", "", "BertTokenizer's prefix is \"##\" whatever it says."},
    {"clean_text", kHarmless, "", "", "BertTokenizer cleans text whatever it says."},
    {"never_split", kHarmless, "", "", kOldKey},
    {"sp_model_kwargs", kHarmless, "", "", kOldKey},
    {"do_clean_text", kHarmless, "", "", kOldKey},
    {"use_fast", kHarmless, "", "", "Both kinds give the same tokens."},
    {"from_slow", kHarmless, "", "", kOldKey},
    {"legacy", kHarmless, "", "", "No class that is built here reads it."},
    {"backend", kHarmless, "", "", "A note of what read the file."},
    {"fix_mistral_regex", kHarmless, "", "", "It acts on Mistral's models."},
    {"is_local", kHarmless, "", "", kPath},
    {"local_files_only", kHarmless, "", "", kPath},
    {"name_or_path", kHarmless, "", "", kPath},
    {"special_tokens_map_file", kHarmless, "", "", kPath},
    {"tokenizer_file", kHarmless, "", "", kPath},
    {"vocab_file", kHarmless, "", "", kPath},
    {"merges_file", kHarmless, "", "", kPath},
    {"added_tokens_file", kHarmless, "", "", kPath},
    {"spm_file", kHarmless, "", "", kPath},
    {"_commit_hash", kHarmless, "", "", "A note of where the files came from."},
    {"transformers_version", kHarmless, "", "", "A note of what wrote the file."},
    {"verbose", kHarmless, "", "", "It acts on messages."},
};

constexpr KnownKey kMap[] = {
    {"bos_token", kHonoured, "", "", kMapToken},
    {"eos_token", kHonoured, "", "", kMapToken},
    {"unk_token", kHonoured, "", "", kMapToken},
    {"sep_token", kHonoured, "", "", kMapToken},
    {"pad_token", kHonoured, "", "", kMapToken},
    {"cls_token", kHonoured, "", "", kMapToken},
    {"mask_token", kHonoured, "", "", kMapToken},
    {"additional_special_tokens", kHonoured, "", "", kMapToken},
    {"extra_special_tokens", kHonoured, "", "", kMapToken},
};

constexpr KnownKey kJson[] = {
    {"model", kHonoured, "", "",
     "BPE, WordPiece, Unigram or WordLevel. A class that builds its "
     "tokenizer takes vocabulary and merges alone."},
    {"normalizer", kHonoured, "", "", "Of PreTrainedTokenizerFast; other classes make their own."},
    {"pre_tokenizer", kHonoured, "", "",
     "Of PreTrainedTokenizerFast; other classes make their own."},
    {"post_processor", kHonoured, "", "",
     "Of PreTrainedTokenizerFast, ReformerTokenizer and AlbertTokenizer; other classes make their "
     "own."},
    {"decoder", kHonoured, "", "", "Of PreTrainedTokenizerFast; other classes make their own."},
    {"added_tokens", kHonoured, "", "",
     "Of PreTrainedTokenizerFast, and of other classes where tokenizer_config.json has no "
     "added_tokens_decoder."},
    {"padding", kHonoured, "", "", "Its pad token is a special token; nothing is padded."},
    {"truncation", kHarmless, "", "", kOneText},
    {"version", kHarmless, "", "", "A note of what wrote the file."},
};

}  // namespace

const KeyTable& TokenizerConfigKeys() {
  static constexpr KeyTable kTable = {"tokenizer_config.json", kConfig};
  return kTable;
}
const KeyTable& SpecialTokensMapKeys() {
  static constexpr KeyTable kTable = {"special_tokens_map.json", kMap};
  return kTable;
}
const KeyTable& TokenizerJsonKeys() {
  static constexpr KeyTable kTable = {"tokenizer.json", kJson};
  return kTable;
}

absl::Status CheckTokenizerKeys(const std::string& folder, std::vector<std::string>* warnings) {
  const struct {
    const char* name;
    const KeyTable& table;
  } files[] = {{"tokenizer_config.json", TokenizerConfigKeys()},
               {"special_tokens_map.json", SpecialTokensMapKeys()}};
  for (const auto& [name, table] : files) {
    const absl::StatusOr<JsonReader> file =
        JsonReader::ReadOptional((std::filesystem::path(folder) / name).string());
    if (!file.ok()) return file.status();
    json object = file->object();
    // Every other "..._token" is one more special token, whatever it is called.
    for (auto entry = object.begin(); entry != object.end();) {
      const bool is_token = absl::EndsWith(entry.key(), "_token") &&
                            (entry->is_string() || entry->is_object()) &&
                            FindKey(table, "", entry.key()) == nullptr;
      entry = is_token ? object.erase(entry) : std::next(entry);
    }
    if (absl::Status status = CheckKeys(table, "", object, file->source(), warnings); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

}  // namespace longspan
