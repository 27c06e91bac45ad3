#include "server/encode_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/libtorch_version.h"
#include "server/error_details.h"

namespace longspan {
namespace {

absl::Status BadEnum(const std::string& field, int got, absl::string_view allowed) {
  return InvalidField(field, absl::StrCat("is ", got, "; allowed: ", allowed));
}

absl::StatusOr<std::optional<PoolingMode>> DecodePooling(v1::Pooling pooling) {
  using Result = std::optional<PoolingMode>;
  switch (pooling) {
    case v1::POOLING_UNSPECIFIED:
      return Result();
    case v1::POOLING_CLS:
      return Result(PoolingMode::kCls);
    case v1::POOLING_MEAN:
      return Result(PoolingMode::kMean);
    case v1::POOLING_MAX:
      return Result(PoolingMode::kMax);
    case v1::POOLING_MEAN_SQRT_LEN:
      return Result(PoolingMode::kMeanSqrtLen);
    case v1::POOLING_WEIGHTED_MEAN:
      return Result(PoolingMode::kWeightedMean);
    case v1::POOLING_LAST_TOKEN:
      return Result(PoolingMode::kLastToken);
    default:
      return BadEnum("options.pooling", pooling, "a value of longspan.v1.Pooling, 0..6");
  }
}

absl::StatusOr<Truncation> DecodeTruncation(v1::Truncation truncation) {
  switch (truncation) {
    case v1::TRUNCATION_UNSPECIFIED:
    case v1::TRUNCATION_REJECT:
      return Truncation::kReject;
    case v1::TRUNCATION_HEAD:
      return Truncation::kHead;
    case v1::TRUNCATION_TAIL:
      return Truncation::kTail;
    case v1::TRUNCATION_HEAD_TAIL:
      return Truncation::kHeadTail;
    case v1::TRUNCATION_WINDOWS:
      return Truncation::kWindows;
    default:
      return BadEnum("options.truncation", truncation, "a value of longspan.v1.Truncation, 0..5");
  }
}

absl::StatusOr<SpanPolicy> DecodeSpanPolicy(v1::SpanPolicy policy, bool has_spans) {
  switch (policy) {
    case v1::SPAN_POLICY_UNSPECIFIED:
      return has_spans ? SpanPolicy::kGiven : SpanPolicy::kNone;
    case v1::SPAN_POLICY_NONE:
      return SpanPolicy::kNone;
    case v1::SPAN_POLICY_GIVEN:
      return SpanPolicy::kGiven;
    case v1::SPAN_POLICY_SENTENCES:
      return SpanPolicy::kSentences;
    case v1::SPAN_POLICY_PARAGRAPHS:
      return SpanPolicy::kParagraphs;
    case v1::SPAN_POLICY_FIXED:
      return SpanPolicy::kFixed;
    default:
      return BadEnum("options.span_policy", policy, "a value of longspan.v1.SpanPolicy, 0..5");
  }
}

absl::StatusOr<std::optional<GlobalAttention>> DecodeGlobalAttention(v1::GlobalAttention policy) {
  using Result = std::optional<GlobalAttention>;
  switch (policy) {
    case v1::GLOBAL_ATTENTION_UNSPECIFIED:
      return Result();
    case v1::GLOBAL_ATTENTION_NONE:
      return Result(GlobalAttention::kNone);
    case v1::GLOBAL_ATTENTION_CLS:
      return Result(GlobalAttention::kCls);
    case v1::GLOBAL_ATTENTION_POSITIONS:
      return Result(GlobalAttention::kPositions);
    default:
      return BadEnum("options.global_attention", policy, "a value of longspan.v1.GlobalAttention, 0..3");
  }
}

std::vector<TextRange> DecodeRanges(const google::protobuf::RepeatedPtrField<v1::Range>& ranges) {
  std::vector<TextRange> out;
  out.reserve(ranges.size());
  for (const v1::Range& range : ranges) out.push_back({static_cast<int64_t>(range.begin()), static_cast<int64_t>(range.end())});
  return out;
}

// Decodes one input step by step; the first thing wrong ends it.
class InputDecoder {
 public:
  InputDecoder(v1::Input* wire, const v1::EncodeOptions& options, const std::string& field, const CodecContext& context)
      : wire_(wire), options_(options), context_(context), model_(*context.model) {
    input_.field = field;
  }

  absl::StatusOr<EncodeInput> Run() {
    for (const auto step : {&InputDecoder::Content, &InputDecoder::Prompt, &InputDecoder::VectorOptions, &InputDecoder::Cutting,
                            &InputDecoder::Globals, &InputDecoder::Hashing, &InputDecoder::Spans, &InputDecoder::SpanPooling}) {
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    return std::move(input_);
  }

 private:
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
      return InvalidField(field, absl::StrCat(bytes == 0 ? "is empty" : absl::StrCat("has ", bytes, " bytes"), "; allowed: 1 to ",
                                              context_.max_text_bytes, " bytes"));
    }
    if (!context_.has_tokenizer) {
      return AtField(absl::FailedPreconditionError("cannot be read: this model has no tokenizer; allowed: token_ids"), field);
    }
    input_.text = std::move(*wire_->mutable_text());
    return absl::OkStatus();
  }

  absl::Status IdContent() {
    const auto& ids = wire_->token_ids().ids();
    const std::string field = input_.field + ".token_ids.ids";
    if (ids.empty()) return InvalidField(field, "is empty; allowed: at least 1 id");
    if (static_cast<int64_t>(ids.size()) * 4 > context_.max_text_bytes) {
      return InvalidField(field, absl::StrCat("has ", ids.size(), " ids; allowed: at most ", context_.max_text_bytes / 4));
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

  absl::Status Prompt() {
    if (!options_.prompt_name().empty() && input_.text.empty()) {
      return InvalidField("options.prompt_name",
                          absl::StrCat("is '", options_.prompt_name(), "' with token_ids; allowed: only with text"));
    }
    if (input_.text.empty()) return absl::OkStatus();
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
                          absl::StrCat("is ", options_.dimensions(), "; allowed: at most ", model_.output_dimensions));
    }
    input_.options.dimensions = static_cast<int32_t>(options_.dimensions());
    input_.options.document_vector = !options_.has_include_document_vector() || options_.include_document_vector();
    return DecodeVectorFormat(options_.vector_format()).status();
  }

  absl::Status Cutting() {
    const auto truncation = DecodeTruncation(options_.truncation());
    if (!truncation.ok()) return truncation.status();
    input_.truncation = *truncation;
    input_.window_overlap = options_.window_overlap_tokens();
    if (input_.window_overlap > 0 && *truncation != Truncation::kWindows) {
      return InvalidField("options.window_overlap_tokens",
                          absl::StrCat("is ", input_.window_overlap, "; allowed: only with TRUNCATION_WINDOWS"));
    }
    return absl::OkStatus();
  }

  absl::Status Globals() {
    const auto policy = DecodeGlobalAttention(options_.global_attention());
    if (!policy.ok()) return policy.status();
    input_.global_attention = *policy;
    const bool given = wire_->global_attention_spans_size() > 0 || wire_->global_token_positions_size() > 0;
    const bool wanted = given || *policy == GlobalAttention::kCls || *policy == GlobalAttention::kPositions;
    if (wanted && !model_.supports_global_attention) {
      return AtField(absl::FailedPreconditionError(
                         absl::StrCat("asks for global attention; ", model_.architecture, " has none; allowed: NONE")),
                     given ? input_.field + ".global_token_positions" : "options.global_attention");
    }
    if (*policy == GlobalAttention::kPositions && !given) {
      return InvalidField("options.global_attention",
                          "is POSITIONS without any; allowed: with global_attention_spans or global_token_positions");
    }
    if (wire_->global_attention_spans_size() > 0 && input_.text.empty()) {
      return InvalidField(input_.field + ".global_attention_spans",
                          "are characters of a text; allowed with token_ids: global_token_positions");
    }
    input_.global_spans = DecodeRanges(wire_->global_attention_spans());
    for (const uint32_t position : wire_->global_token_positions()) {
      input_.global_positions.push_back(static_cast<int32_t>(std::min<uint32_t>(position, INT32_MAX)));
    }
    return absl::OkStatus();
  }

  absl::Status Hashing() {
    const bool wanted = options_.num_hashes() > 0 || options_.has_hash_seed();
    if (wanted && !model_.supports_hashing) {
      return AtField(
          absl::FailedPreconditionError(absl::StrCat("is set; ", model_.architecture, " does not hash; allowed: unset")),
          options_.num_hashes() > 0 ? "options.num_hashes" : "options.hash_seed");
    }
    if (options_.num_hashes() > 64) {
      return InvalidField("options.num_hashes",
                          absl::StrCat("is ", options_.num_hashes(), "; allowed: 1 to 64, 0 = the model's ", model_.num_hashes));
    }
    input_.lsh.num_hashes = static_cast<int32_t>(options_.num_hashes());
    if (options_.has_hash_seed()) input_.lsh.hash_seed = options_.hash_seed();
    return absl::OkStatus();
  }

  absl::Status Spans() {
    const bool given = wire_->spans_size() > 0;
    const auto policy = DecodeSpanPolicy(options_.span_policy(), given);
    if (!policy.ok()) return policy.status();
    input_.span_policy = *policy;
    if (given != (*policy == SpanPolicy::kGiven)) {
      return InvalidField(input_.field + ".spans", given ? "are given; allowed: with SPAN_POLICY_GIVEN or no policy"
                                                         : "are empty; SPAN_POLICY_GIVEN needs at least 1");
    }
    if (input_.text.empty() && (*policy == SpanPolicy::kSentences || *policy == SpanPolicy::kParagraphs)) {
      return InvalidField("options.span_policy", "reads a text; allowed with token_ids: GIVEN, FIXED");
    }
    input_.spans = DecodeRanges(wire_->spans());
    if (!v1::SpanContext_IsValid(options_.span_context())) {
      return BadEnum("options.span_context", options_.span_context(), "a value of longspan.v1.SpanContext, 0..2");
    }
    input_.independent_spans = options_.span_context() == v1::SPAN_CONTEXT_INDEPENDENT;
    if (!input_.options.document_vector && *policy == SpanPolicy::kNone) {
      return InvalidField("options.include_document_vector",
                          "is false without spans, so nothing would come back; allowed: true, or spans");
    }
    return *policy == SpanPolicy::kFixed ? FixedSpans() : absl::OkStatus();
  }

  absl::Status FixedSpans() {
    input_.span_tokens = options_.span_tokens();
    input_.span_overlap = options_.span_overlap_tokens();
    if (input_.span_tokens < 1) return InvalidField("options.span_tokens", "is 0; SPAN_POLICY_FIXED allows: at least 1");
    if (input_.span_overlap >= input_.span_tokens) {
      return InvalidField("options.span_overlap_tokens",
                          absl::StrCat("is ", input_.span_overlap, "; allowed: below span_tokens, ", input_.span_tokens));
    }
    return absl::OkStatus();
  }

  // A slice of hidden states pooled by one special token would be that token's row or nothing.
  absl::Status SpanPooling() {
    if (input_.span_policy == SpanPolicy::kNone || input_.independent_spans) return absl::OkStatus();
    std::vector<PoolingMode> modes = model_.pooling;
    if (input_.options.pooling.has_value()) modes = {*input_.options.pooling};
    for (const PoolingMode mode : modes) {
      if (mode != PoolingMode::kCls && mode != PoolingMode::kLastToken) continue;
      return AtField(absl::FailedPreconditionError(
                         absl::StrCat("is ", std::string(PoolingModeName(mode)),
                                      ", which has no vector for a span; allowed: name MEAN, or SPAN_CONTEXT_INDEPENDENT")),
                     "options.pooling");
    }
    return absl::OkStatus();
  }

  v1::Input* wire_;
  const v1::EncodeOptions& options_;
  const CodecContext& context_;
  const ModelInfo& model_;
  EncodeInput input_;
};

void FillRange(int64_t begin, int64_t end, v1::Range* out) {
  out->set_begin(begin);
  out->set_end(end);
}

void FillSpan(EncodedSpan span, bool of_text, VectorFormat format, v1::SpanEncoding* out) {
  if (of_text) {
    FillRange(span.bytes.begin, span.bytes.end, out->mutable_bytes());
    FillRange(span.characters.begin, span.characters.end, out->mutable_characters());
  }
  FillRange(span.tokens.begin, span.tokens.end, out->mutable_tokens());
  FillVector(std::move(span.vector), format, out->mutable_vector());
}

v1::VectorFormat WireFormat(VectorFormat format) {
  switch (format) {
    case VectorFormat::kFloat32:
      return v1::VECTOR_FORMAT_FLOAT32;
    case VectorFormat::kFloat16:
      return v1::VECTOR_FORMAT_FLOAT16;
    case VectorFormat::kBFloat16:
      return v1::VECTOR_FORMAT_BFLOAT16;
    case VectorFormat::kInt8:
      return v1::VECTOR_FORMAT_INT8;
    case VectorFormat::kBinary:
      return v1::VECTOR_FORMAT_BINARY;
  }
  return v1::VECTOR_FORMAT_UNSPECIFIED;
}

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

void FillLimits(const ModelInfo& model, const ServerOptions& options, v1::Limits* out) {
  out->set_max_tokens(options.max_tokens > 0 ? options.max_tokens : model.max_tokens);
  out->set_max_text_bytes(options.max_text_bytes);
  out->set_max_request_bytes(options.max_request_bytes);
  out->set_max_texts_per_request(options.max_texts_per_request);
  out->set_max_batch_tokens(options.max_batch_tokens);
  out->set_max_queue_tokens(options.max_queue_tokens);
  out->set_max_queue_seconds(options.max_queue_seconds);
  out->set_max_concurrent_streams(options.max_concurrent_streams);
  out->set_max_deadline_seconds(absl::ToDoubleSeconds(options.max_deadline));
  out->set_default_deadline_seconds(absl::ToDoubleSeconds(options.default_deadline));
}

v1::GlobalAttention WireGlobalAttention(GlobalAttention policy) {
  switch (policy) {
    case GlobalAttention::kNone:
      return v1::GLOBAL_ATTENTION_NONE;
    case GlobalAttention::kCls:
      return v1::GLOBAL_ATTENTION_CLS;
    case GlobalAttention::kPositions:
      return v1::GLOBAL_ATTENTION_POSITIONS;
  }
  return v1::GLOBAL_ATTENTION_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<VectorFormat> DecodeVectorFormat(v1::VectorFormat format) {
  switch (format) {
    case v1::VECTOR_FORMAT_UNSPECIFIED:
    case v1::VECTOR_FORMAT_FLOAT32:
      return VectorFormat::kFloat32;
    case v1::VECTOR_FORMAT_FLOAT16:
      return VectorFormat::kFloat16;
    case v1::VECTOR_FORMAT_BFLOAT16:
      return VectorFormat::kBFloat16;
    case v1::VECTOR_FORMAT_INT8:
      return VectorFormat::kInt8;
    case v1::VECTOR_FORMAT_BINARY:
      return VectorFormat::kBinary;
    default:
      return BadEnum("options.vector_format", format, "a value of longspan.v1.VectorFormat, 0..5");
  }
}

absl::StatusOr<const std::string*> FindPrompt(const std::string& name, const std::string& field, const ModelInfo& model) {
  const std::string& wanted = name.empty() ? model.default_prompt_name : name;
  if (wanted.empty()) return nullptr;
  const auto found = model.prompts.find(wanted);
  if (found != model.prompts.end()) return &found->second;
  std::vector<std::string> names;
  for (const auto& [known, prompt] : model.prompts) names.push_back(known);
  return InvalidField(field, absl::StrCat("is '", wanted, "'; allowed: ",
                                          names.empty() ? "none, this model has no prompts" : absl::StrJoin(names, ", ")));
}

absl::StatusOr<EncodeInput> DecodeInput(v1::Input* input, const v1::EncodeOptions& options, const std::string& field,
                                        const CodecContext& context) {
  return InputDecoder(input, options, field, context).Run();
}

absl::StatusOr<DecodedRequest> DecodeEncodeRequest(v1::EncodeRequest* request, const CodecContext& context) {
  const int num_inputs = request->inputs_size();
  if (num_inputs == 0 || num_inputs > context.max_texts_per_request) {
    return InvalidField("inputs", absl::StrCat(num_inputs == 0 ? "is empty" : absl::StrCat("has ", num_inputs, " texts"),
                                               "; allowed: 1 to ", context.max_texts_per_request));
  }
  DecodedRequest decoded;
  for (int i = 0; i < num_inputs; ++i) {
    auto input = DecodeInput(request->mutable_inputs(i), request->options(), absl::StrCat("inputs[", i, "]"), context);
    if (!input.ok()) return input.status();
    decoded.inputs.push_back(*std::move(input));
  }
  decoded.format = DecodeVectorFormat(request->options().vector_format()).value();  // every input checked it
  return decoded;
}

absl::StatusOr<EncodeInput> DecodeTokensInput(v1::EncodeTokensRequest* request, const CodecContext& context) {
  const v1::EncodeOptions& options = request->options();
  if (options.pooling() != v1::POOLING_UNSPECIFIED)
    return InvalidField("options.pooling", "is set; allowed for token vectors: unset");
  if (options.truncation() == v1::TRUNCATION_WINDOWS) {
    return InvalidField("options.truncation", "is WINDOWS; allowed for token vectors: REJECT, HEAD, TAIL, HEAD_TAIL");
  }
  if (options.dimensions() != 0) return InvalidField("options.dimensions", "is set; allowed for token vectors: 0");
  if (request->input().spans_size() > 0 || options.span_policy() > v1::SPAN_POLICY_NONE) {
    return InvalidField("options.span_policy", "asks for spans; allowed for token vectors: none");
  }
  auto input = DecodeInput(request->mutable_input(), options, "input", context);
  if (!input.ok()) return input;
  input->options.document_vector = false;
  if (!options.has_normalize()) input->options.normalize = false;
  return input;
}

absl::Status CheckTokenizeRequest(const v1::TokenizeRequest& request, const CodecContext& context) {
  if (!context.has_tokenizer) {
    return absl::FailedPreconditionError("this model has no tokenizer: texts cannot be read; allowed: Encode with token_ids");
  }
  if (request.texts_size() == 0 || request.texts_size() > context.max_texts_per_request) {
    return InvalidField(
        "texts", absl::StrCat(request.texts_size() == 0 ? "is empty" : absl::StrCat("has ", request.texts_size(), " texts"),
                              "; allowed: 1 to ", context.max_texts_per_request));
  }
  for (int i = 0; i < request.texts_size(); ++i) {
    const auto bytes = static_cast<int64_t>(request.texts(i).size());
    if (bytes > context.max_text_bytes) {
      return InvalidField(absl::StrCat("texts[", i, "]"),
                          absl::StrCat("has ", bytes, " bytes; allowed: at most ", context.max_text_bytes));
    }
  }
  if (request.prompt_name().empty()) return absl::OkStatus();
  return FindPrompt(request.prompt_name(), "prompt_name", *context.model).status();
}

void FillVector(std::vector<float> values, VectorFormat format, v1::Vector* out) {
  out->set_format(WireFormat(format));
  out->set_dimensions(static_cast<uint32_t>(values.size()));
  if (format == VectorFormat::kFloat32) {
    out->mutable_values()->Add(values.begin(), values.end());
    return;
  }
  float scale = 0;
  AppendPacked(values, format, out->mutable_data(), &scale);
  out->set_scale(scale);
}

void FillEncoding(EncodedDocument document, std::string id, VectorFormat format, v1::Encoding* out) {
  out->set_id(std::move(id));
  if (!document.vector.empty()) FillVector(std::move(document.vector), format, out->mutable_vector());
  out->set_tokens_total(document.tokens_total);
  out->set_tokens_used(document.tokens_used);
  out->set_truncated(document.truncated);
  for (const TextRange& range : document.used_text) FillRange(range.begin, range.end, out->add_used_text());
  for (EncodedSpan& span : document.spans) {
    const bool of_text = span.bytes.end > 0;
    FillSpan(std::move(span), of_text, format, out->add_spans());
  }
}

void FillTimings(const StageTimings& timings, v1::Timings* out) {
  out->set_tokenize_ns(Nanoseconds(timings.tokenize));
  out->set_queue_ns(Nanoseconds(timings.queue));
  out->set_compute_ns(Nanoseconds(timings.compute));
  out->set_total_ns(Nanoseconds(timings.total));
  out->set_batch_texts(timings.batch_texts);
  out->set_batch_tokens(timings.batch_tokens);
}

void MaxTimings(const StageTimings& one, StageTimings* total) {
  total->tokenize = std::max(total->tokenize, one.tokenize);
  total->queue = std::max(total->queue, one.queue);
  total->compute = std::max(total->compute, one.compute);
  total->total = std::max(total->total, one.total);
  total->batch_texts = std::max(total->batch_texts, one.batch_texts);
  total->batch_tokens = std::max(total->batch_tokens, one.batch_tokens);
  total->stage = std::max(total->stage, one.stage);
}

void FillTokens(int64_t first_token, int64_t num_tokens, std::vector<float> values, VectorFormat format,
                v1::EncodeTokensResponse* out) {
  const size_t width = values.size() / static_cast<size_t>(std::max<int64_t>(1, num_tokens));
  out->set_first_token(first_token);
  out->set_token_count(num_tokens);
  out->set_dimensions(static_cast<uint32_t>(width));
  out->set_format(WireFormat(format));
  if (format == VectorFormat::kFloat32) {
    out->mutable_values()->Add(values.begin(), values.end());
    return;
  }
  for (int64_t t = 0; t < num_tokens; ++t) {
    float scale = 0;
    AppendPacked({values.data() + t * width, width}, format, out->mutable_data(), &scale);
    if (format == VectorFormat::kInt8) out->add_scales(scale);
  }
}

void FillModelInfo(const ModelInfo& model, bool has_tokenizer, const ServerOptions& options, v1::GetModelInfoResponse* out) {
  out->set_model(model.name);
  out->set_architecture(model.architecture);
  out->set_dtype(std::string(DataTypeName(model.dtype)));
  out->set_device(model.device);
  out->set_dimensions(static_cast<uint32_t>(model.output_dimensions));
  out->set_token_dimensions(static_cast<uint32_t>(model.token_dimensions));
  out->set_vocab_size(model.vocab_size);
  for (const PoolingMode mode : model.pooling) out->add_pooling(std::string(PoolingModeName(mode)));
  out->set_normalize(model.normalize);
  for (const LayerAttention& layer : model.layers) {
    v1::LayerAttention* wire = out->add_layers();
    wire->set_kind(std::string(AttentionKindName(layer.kind)));
    wire->set_window(layer.window);
    wire->set_chunk_length(layer.chunk_length);
    wire->set_chunks_before(layer.chunks_before);
    wire->set_chunks_after(layer.chunks_after);
    wire->set_random_blocks(layer.random_blocks);
  }
  out->set_supports_global_attention(model.supports_global_attention);
  out->set_default_global_attention(WireGlobalAttention(model.default_global_attention));
  out->set_dense_up_to(model.dense_up_to);
  out->set_supports_hashing(model.supports_hashing);
  out->set_num_hashes(model.num_hashes);
  out->set_hash_seed(model.hash_seed);
  out->set_num_parameters(model.num_parameters);
  out->set_weight_bytes(model.weight_bytes);
  out->set_has_tokenizer(has_tokenizer);
  for (const auto& [name, prompt] : model.prompts) out->add_prompt_names(name);
  out->set_default_prompt_name(model.default_prompt_name);
  FillLimits(model, options, out->mutable_limits());
  out->set_server_version(LONGSPAN_VERSION);
  out->set_libtorch_version(std::string(LibTorchVersion()));
  out->set_num_replicas(static_cast<uint32_t>(options.replicas));
  out->set_threads_per_replica(static_cast<uint32_t>(options.threads));
  out->set_length_multiple(model.length_multiple);
}

}  // namespace longspan
