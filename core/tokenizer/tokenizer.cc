#include "core/tokenizer/tokenizer.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/tokenizer/ffi/longspan_tokenizers.h"
#include "core/tokenizer/tokenizer_folder.h"
#include "core/tokenizer/tokenizer_json.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using Handle = std::unique_ptr<longspan_tokenizers_tokenizer, decltype(&longspan_tokenizers_free)>;
using EncodingHandle =
    std::unique_ptr<longspan_tokenizers_encoding, decltype(&longspan_tokenizers_encoding_free)>;

// The buffer for the message of one call of the crate, and its status as an absl::Status.
class Answer {
 public:
  longspan_tokenizers_message message() { return {text_, sizeof(text_)}; }

  absl::Status Check(int32_t status, const std::string& context = "") const {
    if (status == LONGSPAN_TOKENIZERS_OK) return absl::OkStatus();
    const std::string reason = context.empty() ? text_ : absl::StrCat(context, ": ", text_);
    return status == LONGSPAN_TOKENIZERS_BUG ? absl::InternalError(reason)
                                             : absl::InvalidArgumentError(reason);
  }

 private:
  char text_[512] = "";
};

absl::Status AddTokens(longspan_tokenizers_tokenizer* tokenizer,
                       const std::vector<nlohmann::json>& tokens, const std::string& name) {
  if (tokens.empty()) return absl::OkStatus();
  const std::string list =
      nlohmann::json(tokens).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Answer answer;
  return answer.Check(
      longspan_tokenizers_add_tokens(tokenizer, list.data(), list.size(), answer.message()), name);
}

// The id of a token's text, -1 where the vocabulary has none.
absl::StatusOr<int32_t> IdOf(const longspan_tokenizers_tokenizer* tokenizer,
                             const std::string& text, const std::string& name) {
  int32_t id = -1;
  Answer answer;
  const int32_t code =
      longspan_tokenizers_token_id(tokenizer, text.data(), text.size(), &id, answer.message());
  if (absl::Status status = answer.Check(code, name); !status.ok()) return status;
  return id;
}

// Checks that the vocabulary has the tokens that the class puts around a text. The class would add
// one that is missing behind the vocabulary, with an id that the model was not trained with.
absl::Status CheckRequired(const longspan_tokenizers_tokenizer* tokenizer,
                           const TokenizerFiles& files) {
  for (const TokenizerRecipe::Required& required : files.recipe.required) {
    const auto& added = files.recipe.added_ids;
    const bool is_added = std::any_of(added.begin(), added.end(), [&](const auto& token) {
      return token.second == required.token;
    });
    const absl::StatusOr<int32_t> id = IdOf(tokenizer, required.token, files.name);
    if (!id.ok()) return id.status();
    if (*id >= 0 || is_added) continue;
    return absl::InvalidArgumentError(absl::StrCat(files.name, ": the vocabulary lacks \"",
                                                   required.token, "\", the ", required.role));
  }
  return absl::OkStatus();
}

// Makes the post-processor of the recipe, now that all tokens have ids.
absl::Status SetPostProcessor(longspan_tokenizers_tokenizer* tokenizer,
                              const TokenizerFiles& files) {
  if (!files.recipe.post_processor) return absl::OkStatus();
  const std::string processor = files.recipe
                                    .post_processor([&](const std::string& token) -> int64_t {
                                      const absl::StatusOr<int32_t> id =
                                          IdOf(tokenizer, token, files.name);
                                      return id.ok() ? std::max(0, *id) : 0;
                                    })
                                    .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Answer answer;
  return answer.Check(longspan_tokenizers_set_post_processor(tokenizer, processor.data(),
                                                             processor.size(), answer.message()),
                      files.name);
}

absl::StatusOr<Handle> LoadCrate(const TokenizerFiles& files, bool lowercase_first) {
  const nlohmann::json& components = files.recipe.components;
  const std::string recipe =
      components.is_null()
          ? ""
          : components.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  longspan_tokenizers_tokenizer* raw = nullptr;
  Answer answer;
  const int32_t code = longspan_tokenizers_load(files.json.data(), files.json.size(), recipe.data(),
                                                recipe.size(), &raw, answer.message());
  absl::Status status = answer.Check(code, files.name);
  if (!status.ok()) return status;
  Handle handle(raw, longspan_tokenizers_free);
  status = CheckRequired(raw, files);
  if (status.ok()) status = AddTokens(raw, files.recipe.tokens, files.name);
  if (status.ok()) status = SetPostProcessor(raw, files);
  if (status.ok()) status = AddTokens(raw, files.recipe.later_tokens, files.name);
  if (status.ok() && lowercase_first)
    status = answer.Check(longspan_tokenizers_lowercase_first(raw, answer.message()), files.name);
  if (!status.ok()) return status;
  if (files.recipe.split_special_tokens) longspan_tokenizers_split_special_tokens(raw);
  return handle;
}

// Checks that added tokens get the ids that the file gives them. Where the model has no such token,
// the crate numbers added tokens itself, in the order of the list from the end of the vocabulary
// on; for a file that says otherwise, that would be ids that the model was not trained with.
absl::Status CheckAddedTokens(const longspan_tokenizers_tokenizer* tokenizer,
                              const TokenizerJsonSummary& summary, const TokenizerFiles& files) {
  std::vector<AddedToken> tokens = summary.added_tokens;
  for (const auto& [id, content] : files.recipe.added_ids) tokens.push_back({content, id});
  for (const AddedToken& token : tokens) {
    const absl::StatusOr<int32_t> id = IdOf(tokenizer, token.content, files.name);
    if (!id.ok()) return id.status();
    if (*id == token.id) continue;
    return absl::InvalidArgumentError(absl::StrCat(files.name, ": added token \"", token.content,
                                                   "\" should have id ", token.id,
                                                   ", but its place in the vocabulary is ", *id));
  }
  return absl::OkStatus();
}

// Whether each visible ASCII character, and the first byte of each character beyond ASCII, has a
// token of its own.
bool HasAllBytes(const longspan_tokenizers_tokenizer* tokenizer, const std::string& name) {
  for (int byte = 0x21; byte <= 0xF4; byte = byte == 0x7E ? 0xC2 : byte + 1) {
    // ByteLevel makes the character with the number of the byte of each of these.
    const std::string character = byte < 0x80
                                      ? std::string(1, static_cast<char>(byte))
                                      : std::string{static_cast<char>(0xC0 | byte >> 6),
                                                    static_cast<char>(0x80 | (byte & 0x3F))};
    const absl::StatusOr<int32_t> id = IdOf(tokenizer, character, name);
    if (!id.ok() || *id < 0) return false;
  }
  return true;
}

CutRules CutRulesFor(const longspan_tokenizers_tokenizer* tokenizer, const TokenizerFiles& files,
                     const std::vector<nlohmann::json>& prefix_tokens, bool lowercase_first) {
  std::vector<nlohmann::json> tokens = files.recipe.tokens;
  tokens.insert(tokens.end(), files.recipe.later_tokens.begin(), files.recipe.later_tokens.end());
  tokens.insert(tokens.end(), prefix_tokens.begin(), prefix_tokens.end());
  CutRules rules = CutRulesOf(files.document, tokens, lowercase_first);
  if (rules.byte_level && !HasAllBytes(tokenizer, files.name)) return {};
  return rules;
}

Tokenization Copy(const longspan_tokenizers_encoding* encoding, bool with_types = false) {
  static_assert(sizeof(TextRange) == 2 * sizeof(int64_t));
  Tokenization result;
  const size_t n = longspan_tokenizers_encoding_size(encoding);
  if (n == 0) return result;
  result.ids.resize(n);
  if (with_types) result.types.resize(n);
  result.special.resize(n);
  result.bytes.resize(n);
  result.characters.resize(n);
  longspan_tokenizers_encoding_copy(encoding, {.ids = result.ids.data(),
                                               .types = with_types ? result.types.data() : nullptr,
                                               .special = result.special.data(),
                                               .bytes = &result.bytes.front().begin,
                                               .characters = &result.characters.front().begin});
  return result;
}

// The prefixes of a multi-vector model that are tokens of the vocabulary, but are not read as one:
// each becomes an added token. A prefix that the vocabulary does not have is text like any.
absl::StatusOr<std::vector<nlohmann::json>> PrefixTokens(
    const longspan_tokenizers_tokenizer* tokenizer, const TokenizerFiles& files) {
  std::vector<nlohmann::json> tokens;
  for (const std::string& prefix : files.prefixes) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(prefix, absl::ByAnyChar(" \t\n\r\f\v"), absl::SkipEmpty());
    if (words.empty()) continue;
    for (const std::string& token : {prefix, std::string(words.front())}) {
      const absl::StatusOr<int32_t> id = IdOf(tokenizer, token, files.name);
      if (!id.ok()) return id.status();
      if (*id < 0) continue;
      longspan_tokenizers_encoding* raw = nullptr;
      Answer answer;
      const int32_t code =
          longspan_tokenizers_encode(tokenizer, token.data(), token.size(),
                                     /*add_special_tokens=*/0, &raw, answer.message());
      if (absl::Status status = answer.Check(code, files.name); !status.ok()) return status;
      const EncodingHandle encoding(raw, longspan_tokenizers_encoding_free);
      if (Copy(encoding.get()).ids != std::vector<int32_t>{*id}) {
        tokens.push_back({{"content", token},
                          {"single_word", false},
                          {"lstrip", false},
                          {"rstrip", false},
                          {"normalized", false},
                          {"special", true}});
      }
      break;
    }
  }
  return tokens;
}

absl::Status Ask(const StopCheck& stop) { return stop ? stop() : absl::OkStatus(); }

// Bytes that the crate may need for each byte of one piece (text_chunks.h), and what must stay free
// beside them: gRPC and the crate end the process where they get no memory for small things.
constexpr size_t kBytesPerByte = 600;
constexpr size_t kSpareBytes = size_t{64} << 20;

// A Rust library that gets no memory ends the process. So where address space is limited, what a
// text may take is mapped once and given back before the crate sees the text.
absl::Status CheckAddressSpace(size_t text_bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return absl::OkStatus();
  const size_t needed = kBytesPerByte * text_bytes + kSpareBytes;
  void* const probe =
      mmap(nullptr, needed, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("reading ", text_bytes, " bytes of text may take ", needed,
                     " bytes of memory, which the limit of address space does not leave"));
  }
  munmap(probe, needed);
  return absl::OkStatus();
}

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

void Reserve(size_t tokens, Tokenization* all) {
  all->ids.reserve(tokens);
  all->bytes.reserve(tokens);
  all->characters.reserve(tokens);
  all->special.reserve(tokens);
}

void AppendSpecial(const std::vector<int32_t>& ids, Tokenization* all) {
  for (const int32_t id : ids) {
    all->ids.push_back(id);
    all->bytes.emplace_back();
    all->characters.emplace_back();
    all->special.push_back(1);
  }
}

// Appends those tokens of a part that begin at byte `begin` of the whole text or behind it. The
// part itself begins `bytes` bytes and `characters` characters into the text.
void AppendShifted(const Tokenization& part, int64_t bytes, int64_t characters, int64_t begin,
                   Tokenization* all) {
  for (size_t i = 0; i < part.ids.size(); ++i) {
    if (part.bytes[i].begin + bytes < begin) continue;
    all->ids.push_back(part.ids[i]);
    all->bytes.push_back({part.bytes[i].begin + bytes, part.bytes[i].end + bytes});
    all->characters.push_back(
        {part.characters[i].begin + characters, part.characters[i].end + characters});
    all->special.push_back(part.special[i]);
  }
}

// The text that `write(buffer, capacity, &length)` writes. It is called a second time, with a
// buffer of the length that it gave, where the first buffer is too small.
template <typename Write>
absl::StatusOr<std::string> WrittenText(size_t first_guess, const Write& write) {
  std::string text(first_guess, '\0');
  for (;;) {
    size_t length = 0;
    if (const absl::Status status = write(text.data(), text.size(), &length); !status.ok())
      return status;
    const bool complete = length <= text.size();
    text.resize(length);
    if (complete) return text;
  }
}

}  // namespace

struct Tokenizer::Impl {
  Handle handle{nullptr, longspan_tokenizers_free};
  int64_t vocab_size = 0;
  CutRules cut_rules;
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
  TokenTypes types;
  std::string mask_token, end_token, unknown_token;
  bool has_types = false;  // some of `types` is not 0

  absl::StatusOr<Tokenization> EncodeWhole(std::string_view text, bool add_special_tokens) const;
  absl::StatusOr<std::vector<TextChunk>> Cut(std::string_view text, const ChunkSizes& sizes) const;
  // Calls `take` with the tokens of each part as they stand in the part, and the number of
  // characters of the text in front of the part.
  using TakePart =
      std::function<absl::Status(const Tokenization&, const TextChunk&, int64_t characters)>;
  absl::Status ForEachPart(std::string_view text, const std::vector<TextChunk>& parts,
                           const StopCheck& stop, const TakePart& take) const;
  absl::StatusOr<Tokenization> EncodeParts(std::string_view text,
                                           const std::vector<TextChunk>& parts,
                                           bool add_special_tokens, const StopCheck& stop) const;
  absl::Status ReadVocabSize();
  absl::Status ReadFrame(const TokenizerFiles& files);
  void SetTypes(bool framed, Tokenization* tokens) const;
};

absl::Status Tokenizer::Impl::ReadVocabSize() {
  size_t size = 0;
  Answer answer;
  const int32_t code = longspan_tokenizers_vocab_size(handle.get(), &size, answer.message());
  vocab_size = static_cast<int64_t>(size);
  return answer.Check(code);
}

// Reads from the post-processor's "[CLS] x [SEP]" for one token x: prefix [CLS], suffix [SEP], and
// the types of all three.
absl::Status Tokenizer::Impl::ReadFrame(const TokenizerFiles& files) {
  longspan_tokenizers_encoding* raw = nullptr;
  Answer answer;
  const int32_t code = longspan_tokenizers_frame(handle.get(), &raw, answer.message());
  if (absl::Status status = answer.Check(code, files.name); !status.ok()) return status;
  const EncodingHandle encoding(raw, longspan_tokenizers_encoding_free);
  const Tokenization frame = Copy(encoding.get(), /*with_types=*/true);
  int texts = 0;
  for (size_t i = 0; i < frame.ids.size(); ++i) {
    const int32_t type = files.recipe.passes_types ? frame.types[i] : 0;
    has_types = has_types || type != 0;
    if (frame.special[i] == 0) {
      ++texts;
      types.text = type;
    } else {
      (texts == 0 ? prefix_ids : suffix_ids).push_back(frame.ids[i]);
      (texts == 0 ? types.prefix : types.suffix).push_back(type);
    }
  }
  if (texts == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      files.name, ": the post_processor puts a single text ", texts, " times; it should be once"));
}

// `framed`: the tokens begin with the prefix and end with the suffix.
void Tokenizer::Impl::SetTypes(bool framed, Tokenization* tokens) const {
  if (!has_types) return;
  tokens->types.assign(tokens->ids.size(), types.text);
  if (!framed) return;
  std::copy(types.prefix.begin(), types.prefix.end(), tokens->types.begin());
  std::copy(types.suffix.begin(), types.suffix.end(), tokens->types.end() - types.suffix.size());
}

int32_t Tokenizer::TokenTypes::largest() const {
  int32_t most = text;
  for (const int32_t type : prefix) most = std::max(most, type);
  for (const int32_t type : suffix) most = std::max(most, type);
  return most;
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& model_dir) {
  const absl::StatusOr<TokenizerFiles> files = ReadTokenizerFolder(model_dir);
  if (!files.ok()) return files.status();
  const absl::StatusOr<TokenizerJsonSummary> summary =
      InspectTokenizerJson(files->document, files->name);
  if (!summary.ok()) return summary.status();
  const bool lowercase_first = files->do_lower_case && !summary->lowercases;
  absl::StatusOr<Handle> handle = LoadCrate(*files, lowercase_first);
  if (!handle.ok()) return handle.status();
  if (const absl::Status status = CheckAddedTokens(handle->get(), *summary, *files); !status.ok())
    return status;

  auto impl = std::make_unique<Impl>();
  impl->handle = *std::move(handle);
  const auto prefix_tokens = PrefixTokens(impl->handle.get(), *files);
  if (!prefix_tokens.ok()) return prefix_tokens.status();
  if (const absl::Status status = AddTokens(impl->handle.get(), *prefix_tokens, files->name);
      !status.ok())
    return status;
  impl->cut_rules = CutRulesFor(impl->handle.get(), *files, *prefix_tokens, lowercase_first);
  impl->mask_token = files->recipe.mask_token;
  impl->end_token = files->recipe.end_token;
  impl->unknown_token = files->recipe.unknown_token;
  if (const absl::Status status = impl->ReadVocabSize(); !status.ok()) return status;
  if (const absl::Status status = impl->ReadFrame(*files); !status.ok()) return status;
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

absl::StatusOr<Tokenization> Tokenizer::Encode(std::string_view text, bool add_special_tokens,
                                               const StopCheck& stop,
                                               const ChunkSizes& sizes) const {
  const absl::StatusOr<std::vector<TextChunk>> parts = impl_->Cut(text, sizes);
  if (!parts.ok()) return parts.status();
  if (parts->size() > 1) {
    absl::StatusOr<Tokenization> tokens =
        impl_->EncodeParts(text, *parts, add_special_tokens, stop);
    // An error names a byte of its part; below, the whole text gives the same error with the right
    // byte.
    if (tokens.ok() || absl::IsResourceExhausted(tokens.status())) return tokens;
  }
  if (absl::Status status = Ask(stop); !status.ok()) return status;
  absl::StatusOr<Tokenization> tokens = impl_->EncodeWhole(text, add_special_tokens);
  if (tokens.ok()) impl_->SetTypes(add_special_tokens, &*tokens);
  return tokens;
}

absl::StatusOr<Tokenization> Tokenizer::Impl::EncodeParts(std::string_view text,
                                                          const std::vector<TextChunk>& parts,
                                                          bool add_special_tokens,
                                                          const StopCheck& stop) const {
  Tokenization all;
  if (add_special_tokens) AppendSpecial(prefix_ids, &all);
  const absl::Status status = ForEachPart(
      text, parts, stop,
      [&](const Tokenization& tokens, const TextChunk& part, int64_t characters) {
        const bool is_first = all.ids.size() <= prefix_ids.size();
        if (is_first) {
          // Parts have about the same number of tokens: with a tenth more, there is room for all
          // of them at once and the arrays need not double.
          Reserve(static_cast<size_t>(1.1 * static_cast<double>(tokens.ids.size() * parts.size())),
                  &all);
        }
        AppendShifted(tokens, static_cast<int64_t>(part.lead), characters,
                      static_cast<int64_t>(part.begin), &all);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  if (add_special_tokens) AppendSpecial(suffix_ids, &all);
  SetTypes(add_special_tokens, &all);
  return all;
}

absl::StatusOr<std::vector<TextChunk>> Tokenizer::Impl::Cut(std::string_view text,
                                                            const ChunkSizes& sizes) const {
  if (!cut_rules.Any()) return std::vector<TextChunk>{{0, 0, text.size()}};
  return CutText(text, cut_rules, sizes);
}

absl::Status Tokenizer::Impl::ForEachPart(std::string_view text,
                                          const std::vector<TextChunk>& parts,
                                          const StopCheck& stop, const TakePart& take) const {
  int64_t characters = 0;  // of the text in front of the part's lead
  size_t counted = 0;      // bytes of the text whose characters were counted
  for (const TextChunk& part : parts) {
    if (absl::Status status = Ask(stop); !status.ok()) return status;
    const absl::StatusOr<Tokenization> tokens =
        EncodeWhole(text.substr(part.lead, part.end - part.lead), false);
    if (!tokens.ok()) return tokens.status();
    characters += CountCharacters(text.substr(counted, part.lead - counted));
    counted = part.lead;
    if (absl::Status status = take(*tokens, part, characters); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeByParts(
    std::string_view text, bool add_special_tokens,
    const std::function<absl::Status(const Tokenization&)>& take) const {
  const absl::StatusOr<std::vector<TextChunk>> parts = impl_->Cut(text, ChunkSizes());
  if (!parts.ok()) return parts.status();
  if (parts->size() <= 1) {
    const absl::StatusOr<Tokenization> all = impl_->EncodeWhole(text, add_special_tokens);
    return all.ok() ? take(*all) : all.status();
  }
  return impl_->ForEachPart(
      text, *parts, /*stop=*/{},
      [&](const Tokenization& tokens, const TextChunk& part, int64_t characters) {
        Tokenization shifted;
        if (add_special_tokens && part.begin == 0) AppendSpecial(impl_->prefix_ids, &shifted);
        AppendShifted(tokens, static_cast<int64_t>(part.lead), characters,
                      static_cast<int64_t>(part.begin), &shifted);
        if (add_special_tokens && part.end == text.size())
          AppendSpecial(impl_->suffix_ids, &shifted);
        return take(shifted);
      });
}

absl::StatusOr<Tokenization> Tokenizer::Impl::EncodeWhole(std::string_view text,
                                                          bool add_special_tokens) const {
  if (absl::Status status = CheckAddressSpace(text.size()); !status.ok()) return status;
  longspan_tokenizers_encoding* raw = nullptr;
  Answer answer;
  const int32_t code = longspan_tokenizers_encode(handle.get(), text.data(), text.size(),
                                                  add_special_tokens, &raw, answer.message());
  if (const absl::Status status = answer.Check(code); !status.ok()) return status;
  const EncodingHandle encoding(raw, longspan_tokenizers_encoding_free);
  return Copy(encoding.get());
}

absl::StatusOr<std::string> Tokenizer::Decode(const std::vector<int32_t>& ids,
                                              bool skip_special_tokens) const {
  return WrittenText(16 * ids.size(), [&](char* text, size_t capacity, size_t* length) {
    Answer answer;
    return answer.Check(longspan_tokenizers_decode(impl_->handle.get(), ids.data(), ids.size(),
                                                   skip_special_tokens, text, capacity, length,
                                                   answer.message()));
  });
}

const CutRules& Tokenizer::cut_rules() const { return impl_->cut_rules; }
int64_t Tokenizer::vocab_size() const { return impl_->vocab_size; }
const std::vector<int32_t>& Tokenizer::prefix_ids() const { return impl_->prefix_ids; }
const std::vector<int32_t>& Tokenizer::suffix_ids() const { return impl_->suffix_ids; }
const Tokenizer::TokenTypes& Tokenizer::types() const { return impl_->types; }
const std::string& Tokenizer::mask_token() const { return impl_->mask_token; }
const std::string& Tokenizer::end_token() const { return impl_->end_token; }
const std::string& Tokenizer::unknown_token() const { return impl_->unknown_token; }

std::optional<int32_t> Tokenizer::IdOf(const std::string& token) const {
  const absl::StatusOr<int32_t> id = longspan::IdOf(impl_->handle.get(), token, "");
  return id.ok() && *id >= 0 ? std::optional(*id) : std::nullopt;
}

absl::StatusOr<std::string> Tokenizer::TokenText(int32_t id) const {
  return WrittenText(32, [&](char* text, size_t capacity, size_t* length) {
    Answer answer;
    return answer.Check(longspan_tokenizers_token_text(impl_->handle.get(), id, text, capacity,
                                                       length, answer.message()));
  });
}

}  // namespace longspan
