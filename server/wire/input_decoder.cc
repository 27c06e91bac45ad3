#include "server/wire/input_decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "core/token_batch.h"
#include "server/wire/enums.h"
#include "server/wire/lexical_codec.h"

namespace longspan {
namespace {

constexpr int64_t kBytesPerId = sizeof(int32_t);     // as the engine holds them
constexpr uint64_t kMostTokens = uint64_t{1} << 40;  // beyond any text, as with --max-tokens

// Ends beyond int64 become negative, which text preparation refuses as outside the text.
std::vector<TextRange> DecodeRanges(const google::protobuf::RepeatedPtrField<v1::Range>& ranges) {
  std::vector<TextRange> out;
  out.reserve(ranges.size());
  for (const v1::Range& range : ranges)
    out.push_back({static_cast<int64_t>(range.begin()), static_cast<int64_t>(range.end())});
  return out;
}

// Decodes one input step by step. The first fault ends it.
class InputDecoder {
 public:
  InputDecoder(v1::Input* wire, const v1::EncodeOptions& options, const std::string& field,
               const DecodingContext& context)
      : wire_(wire), options_(options), context_(context), model_(*context.model) {
    input_.field = field;
  }

  absl::StatusOr<EncodeInput> Run() {
    for (const auto step :
         {&InputDecoder::Id, &InputDecoder::Content, &InputDecoder::Role, &InputDecoder::Prompt,
          &InputDecoder::VectorOptions, &InputDecoder::TokenPooling, &InputDecoder::Cutting,
          &InputDecoder::Globals, &InputDecoder::Hashing, &InputDecoder::Lexical,
          &InputDecoder::Spans, &InputDecoder::SpanPooling}) {
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    return std::move(input_);
  }

 private:
  absl::Status Id() { return CheckId(wire_->id(), input_.field); }

  absl::Status Content() {
    switch (wire_->content_case()) {
      case v1::Input::kText:
        return TextContent();
      case v1::Input::kTokenIds:
        return IdContent();
      default:
        return InvalidField(input_.field, "has no content; allowed: text or token_ids");
    }
  }

  absl::Status TextContent() {
    const std::string field = input_.field + ".text";
    const auto bytes = static_cast<int64_t>(wire_->text().size());
    if (bytes == 0 || bytes > context_.max_text_bytes) {
      absl::Status status = InvalidField(
          field, absl::StrCat(bytes == 0 ? "is empty" : absl::StrCat("has ", bytes, " bytes"),
                              "; allowed: 1 to ", context_.max_text_bytes, " bytes"));
      return bytes == 0 ? status : WithReason(std::move(status), kReasonMaxTextBytes);
    }
    if (!context_.has_tokenizer) {
      return AtField(absl::FailedPreconditionError(
                         "cannot be read: this model has no tokenizer; allowed: token_ids"),
                     field);
    }
    input_.text = std::move(*wire_->mutable_text());
    return absl::OkStatus();
  }

  absl::Status IdContent() {
    const auto& ids = wire_->token_ids().ids();
    const std::string field = input_.field + ".token_ids.ids";
    if (ids.empty()) return InvalidField(field, "is empty; allowed: at least 1 id");
    if (static_cast<int64_t>(ids.size()) * kBytesPerId > context_.max_text_bytes) {
      return WithReason(
          InvalidField(field, absl::StrCat("has ", ids.size(), " ids; allowed: at most ",
                                           context_.max_text_bytes / kBytesPerId)),
          kReasonMaxTextBytes);
    }
    for (int i = 0; i < ids.size(); ++i) {
      if (ids[i] >= static_cast<uint64_t>(model_.vocab_size)) {
        return InvalidField(absl::StrCat(field, "[", i, "]"),
                            absl::StrCat("is ", ids[i], "; allowed: below ", model_.vocab_size));
      }
    }
    input_.token_ids.assign(ids.begin(), ids.end());
    return absl::OkStatus();
  }

  absl::Status Role() {
    const auto role = DecodeTextRole(options_.text_role());
    if (!role.ok()) return role.status();
    if (options_.text_role() != v1::TEXT_ROLE_UNSPECIFIED && !model_.multi_vector.has_value()) {
      return AtField(absl::FailedPreconditionError(
                         "is set; this is no multi-vector model, which would tell queries from "
                         "documents; allowed: unset"),
                     "options.text_role");
    }
    input_.options.text_role = *role;
    return absl::OkStatus();
  }

  absl::Status Prompt() {
    if (absl::Status status = CheckPromptName(options_.prompt_name(), "options.prompt_name");
        !status.ok())
      return status;
    if (!options_.prompt_name().empty() && input_.text.empty()) {
      return InvalidField("options.prompt_name",
                          absl::StrCat("is ", Quoted(options_.prompt_name()),
                                       " with token_ids; allowed: only with text"));
    }
    if (input_.text.empty()) return absl::OkStatus();
    if (model_.multi_vector.has_value() && options_.prompt_name().empty()) {
      const std::string* of_role = model_.PromptOf(input_.options.text_role);
      if (of_role != nullptr) input_.prompt = *of_role;
      return absl::OkStatus();
    }
    const auto prompt = FindPrompt(options_.prompt_name(), "options.prompt_name", model_);
    if (!prompt.ok()) return prompt.status();
    if (*prompt != nullptr) input_.prompt = **prompt;
    return absl::OkStatus();
  }

  absl::Status VectorOptions() {
    const auto pooling = DecodePooling(options_.pooling());
    if (!pooling.ok()) return pooling.status();
    input_.options.pooling = *pooling;
    if (options_.has_normalize()) input_.options.normalize = options_.normalize();
    if (options_.dimensions() > static_cast<uint64_t>(model_.output_dimensions)) {
      return InvalidField("options.dimensions",
                          absl::StrCat("is ", options_.dimensions(), "; allowed: at most ",
                                       model_.output_dimensions));
    }
    input_.options.dimensions = static_cast<int32_t>(options_.dimensions());
    input_.options.document_vector =
        !options_.has_include_document_vector() || options_.include_document_vector();
    return DecodeVectorFormat(options_.vector_format()).status();
  }

  absl::Status TokenPooling() {
    const auto refuse = [&](absl::string_view why) {
      return InvalidField("options.token_pooling",
                          absl::StrCat("is ", options_.token_pooling(), why));
    };
    input_.token_pooling = static_cast<int32_t>(std::max<uint32_t>(1, options_.token_pooling()));
    if (input_.token_pooling == 1) return absl::OkStatus();
    if (input_.token_pooling != 2 && input_.token_pooling != 4)
      return refuse("; allowed: 1, 2, 4, 0 = 1");
    if (!context_.token_vectors)
      return refuse("; allowed: 1, as only EncodeTokens answers with the vectors of tokens");
    if (input_.options.text_role == TextRole::kQuery)
      return refuse(" with TEXT_ROLE_QUERY; allowed: 1, a query keeps the vector of each token");
    return absl::OkStatus();
  }

  absl::Status Cutting() {
    const auto truncation = DecodeTruncation(options_.truncation());
    if (!truncation.ok()) return truncation.status();
    input_.truncation = *truncation;
    if (context_.max_tokens > 0 &&
        options_.max_tokens() > static_cast<uint64_t>(context_.max_tokens)) {
      return WithReason(InvalidField("options.max_tokens",
                                     absl::StrCat("is ", options_.max_tokens(), "; allowed: 1 to ",
                                                  context_.max_tokens, ", 0 = that limit")),
                        kReasonMaxTokens);
    }
    input_.max_tokens =
        static_cast<int64_t>(std::min<uint64_t>(options_.max_tokens(), kMostTokens));
    input_.window_overlap = options_.window_overlap_tokens();
    if (input_.window_overlap > 0 && *truncation != Truncation::kWindows) {
      return InvalidField(
          "options.window_overlap_tokens",
          absl::StrCat("is ", input_.window_overlap, "; allowed: only with TRUNCATION_WINDOWS"));
    }
    return absl::OkStatus();
  }

  absl::Status Globals() {
    const auto policy = DecodeGlobalAttention(options_.global_attention());
    if (!policy.ok()) return policy.status();
    input_.global_attention = *policy;
    const bool given =
        wire_->global_attention_spans_size() > 0 || wire_->global_token_positions_size() > 0;
    const bool wanted =
        given || *policy == GlobalAttention::kCls || *policy == GlobalAttention::kPositions;
    if (wanted && !model_.supports_global_attention) {
      return AtField(
          absl::FailedPreconditionError(absl::StrCat(
              "asks for global attention; ", model_.architecture, " has none; allowed: NONE")),
          given ? input_.field + ".global_token_positions" : "options.global_attention");
    }
    if (*policy == GlobalAttention::kPositions && !given) {
      return InvalidField("options.global_attention",
                          "is POSITIONS without any; allowed: with global_attention_spans or "
                          "global_token_positions");
    }
    if (wire_->global_attention_spans_size() > 0 && input_.text.empty()) {
      return InvalidField(
          input_.field + ".global_attention_spans",
          "are characters of a text; allowed with token_ids: global_token_positions");
    }
    const int64_t num_given = int64_t{wire_->global_attention_spans_size()} +
                              int64_t{wire_->global_token_positions_size()};
    if (context_.max_global_spans > 0 && num_given > context_.max_global_spans) {
      return WithReason(
          InvalidField(
              input_.field + (wire_->global_attention_spans_size() > 0 ? ".global_attention_spans"
                                                                       : ".global_token_positions"),
              absl::StrCat("are ", num_given, ", spans and positions together; allowed: at most ",
                           context_.max_global_spans)),
          kReasonMaxGlobalSpansPerText);
    }
    input_.global_spans = DecodeRanges(wire_->global_attention_spans());
    input_.global_positions.reserve(wire_->global_token_positions_size());
    // A position beyond int32 is beyond any text too: text preparation refuses both alike.
    for (const uint32_t position : wire_->global_token_positions()) {
      input_.global_positions.push_back(
          static_cast<int32_t>(std::min<uint32_t>(position, INT32_MAX)));
    }
    return absl::OkStatus();
  }

  absl::Status Hashing() {
    const bool wanted = options_.num_hashes() > 0 || options_.has_hash_seed();
    if (wanted && !model_.supports_hashing) {
      return AtField(absl::FailedPreconditionError(absl::StrCat("is set; ", model_.architecture,
                                                                " does not hash; allowed: unset")),
                     options_.num_hashes() > 0 ? "options.num_hashes" : "options.hash_seed");
    }
    if (options_.num_hashes() > static_cast<uint32_t>(LshOptions::kMaxHashes)) {
      return InvalidField(
          "options.num_hashes",
          absl::StrCat("is ", options_.num_hashes(), "; allowed: 1 to ", LshOptions::kMaxHashes,
                       ", 0 = the model's ", model_.num_hashes));
    }
    input_.lsh.num_hashes = static_cast<int32_t>(options_.num_hashes());
    if (options_.has_hash_seed()) input_.lsh.hash_seed = options_.hash_seed();
    return absl::OkStatus();
  }

  absl::Status Lexical() {
    if (!options_.has_lexical()) return absl::OkStatus();
    if (input_.text.empty()) {
      return InvalidField(input_.field + ".token_ids.ids",
                          "have no words for options.lexical; allowed: text, or lexical unset");
    }
    auto lexical = DecodeLexicalOptions(options_.lexical());
    if (!lexical.ok()) return lexical.status();
    input_.lexical = *std::move(lexical);
    return absl::OkStatus();
  }

  absl::Status Spans() {
    const bool given = wire_->spans_size() > 0;
    const auto policy = DecodeSpanPolicy(options_.span_policy(), given);
    if (!policy.ok()) return policy.status();
    input_.span_policy = *policy;
    if (given != (*policy == SpanPolicy::kGiven)) {
      return InvalidField(input_.field + ".spans",
                          given ? "are given; allowed: with SPAN_POLICY_GIVEN or no policy"
                                : "are empty; SPAN_POLICY_GIVEN needs at least 1");
    }
    if (input_.text.empty() &&
        (*policy == SpanPolicy::kSentences || *policy == SpanPolicy::kParagraphs)) {
      return InvalidField("options.span_policy",
                          "reads a text; allowed with token_ids: GIVEN, FIXED");
    }
    if (wire_->spans_size() > context_.max_spans) {
      return WithReason(InvalidField(input_.field + ".spans",
                                     absl::StrCat("are ", wire_->spans_size(),
                                                  "; allowed: at most ", context_.max_spans)),
                        kReasonMaxSpansPerText);
    }
    input_.spans = DecodeRanges(wire_->spans());
    if (!v1::SpanContext_IsValid(options_.span_context())) {
      return BadEnum("options.span_context", options_.span_context(),
                     "a value of longspan.v1.SpanContext, 0..2");
    }
    input_.independent_spans = options_.span_context() == v1::SPAN_CONTEXT_INDEPENDENT;
    if (!input_.options.document_vector && *policy == SpanPolicy::kNone && !input_.lexical) {
      return InvalidField("options.include_document_vector",
                          "is false without spans and lexical, so nothing would come back; "
                          "allowed: true, or one of these");
    }
    if (absl::Status status = SpanSizes(); !status.ok()) return status;
    return *policy == SpanPolicy::kFixed ? FixedSpans() : absl::OkStatus();
  }

  absl::Status SpanSizes() {
    const bool found = input_.span_policy == SpanPolicy::kSentences ||
                       input_.span_policy == SpanPolicy::kParagraphs;
    input_.span_min_tokens = options_.span_min_tokens();
    input_.span_max_tokens = options_.span_max_tokens();
    if (!found && (input_.span_min_tokens > 0 || input_.span_max_tokens > 0)) {
      const bool min = input_.span_min_tokens > 0;
      return InvalidField(
          min ? "options.span_min_tokens" : "options.span_max_tokens",
          absl::StrCat("is ", min ? input_.span_min_tokens : input_.span_max_tokens,
                       "; allowed: only with SPAN_POLICY_SENTENCES and SPAN_POLICY_PARAGRAPHS"));
    }
    if (input_.span_max_tokens > 0 && input_.span_min_tokens > input_.span_max_tokens) {
      return InvalidField(
          "options.span_min_tokens",
          absl::StrCat("is ", input_.span_min_tokens, "; allowed: at most span_max_tokens, ",
                       input_.span_max_tokens));
    }
    return absl::OkStatus();
  }

  absl::Status FixedSpans() {
    input_.span_tokens = options_.span_tokens();
    input_.span_overlap = options_.span_overlap_tokens();
    if (input_.span_tokens < 1)
      return InvalidField("options.span_tokens", "is 0; SPAN_POLICY_FIXED allows: at least 1");
    if (input_.span_overlap >= input_.span_tokens) {
      return InvalidField("options.span_overlap_tokens",
                          absl::StrCat("is ", input_.span_overlap, "; allowed: below span_tokens, ",
                                       input_.span_tokens));
    }
    return absl::OkStatus();
  }

  // A span is a slice of the text's hidden states. A pooling that takes one special token's vector
  // finds that token in no slice, or in one only.
  absl::Status SpanPooling() {
    if (input_.span_policy == SpanPolicy::kNone || input_.independent_spans)
      return absl::OkStatus();
    std::vector<PoolingMode> modes = model_.pooling;
    if (input_.options.pooling.has_value()) modes = {*input_.options.pooling};
    for (const PoolingMode mode : modes) {
      if (!PoolsOneToken(mode)) continue;
      return AtField(
          absl::FailedPreconditionError(absl::StrCat(
              "is ", std::string(PoolingModeName(mode)),
              ", which has no vector for a span; allowed: name MEAN, or SPAN_CONTEXT_INDEPENDENT")),
          "options.pooling");
    }
    return absl::OkStatus();
  }

  v1::Input* const wire_;
  const v1::EncodeOptions& options_;
  const DecodingContext& context_;
  const ModelInfo& model_;
  EncodeInput input_;
};

}  // namespace

absl::StatusOr<const std::string*> FindPrompt(const std::string& name, const std::string& field,
                                              const ModelInfo& model) {
  const std::string& wanted = name.empty() ? model.default_prompt_name : name;
  if (wanted.empty()) return nullptr;
  const auto found = model.prompts.find(wanted);
  if (found != model.prompts.end()) return &found->second;
  std::vector<std::string> names;
  names.reserve(model.prompts.size());
  for (const auto& [known, prompt] : model.prompts) names.push_back(known);
  return InvalidField(
      field, absl::StrCat("is ", Quoted(wanted), "; allowed: ",
                          names.empty() ? "none, this model has no prompts" : QuotedNames(names)));
}

absl::Status CheckId(const std::string& id, const std::string& field) {
  return CheckIdBytes(id, field + ".id");
}

absl::Status CheckIdBytes(const std::string& id, const std::string& field) {
  if (static_cast<int64_t>(id.size()) <= kMaxIdBytes) return absl::OkStatus();
  return WithReason(InvalidField(field, absl::StrCat("has ", id.size(), " bytes; allowed: at most ",
                                                     kMaxIdBytes)),
                    kReasonMaxIdBytes);
}

absl::Status CheckPromptName(const std::string& name, const std::string& field) {
  if (static_cast<int64_t>(name.size()) <= kMaxPromptNameBytes) return absl::OkStatus();
  return WithReason(
      InvalidField(field, absl::StrCat("has ", name.size(), " bytes; allowed: at most ",
                                       kMaxPromptNameBytes)),
      kReasonMaxPromptNameBytes);
}

absl::StatusOr<EncodeInput> DecodeInput(v1::Input* input, const v1::EncodeOptions& options,
                                        const std::string& field, const DecodingContext& context) {
  return InputDecoder(input, options, field, context).Run();
}

}  // namespace longspan
