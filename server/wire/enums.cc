#include "server/wire/enums.h"

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {

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
      return BadEnum("options.global_attention", policy,
                     "a value of longspan.v1.GlobalAttention, 0..3");
  }
}

absl::StatusOr<TextRole> DecodeTextRole(v1::TextRole role) {
  switch (role) {
    case v1::TEXT_ROLE_UNSPECIFIED:
    case v1::TEXT_ROLE_DOCUMENT:
      return TextRole::kDocument;
    case v1::TEXT_ROLE_QUERY:
      return TextRole::kQuery;
    default:
      return BadEnum("options.text_role", role, "a value of longspan.v1.TextRole, 0..2");
  }
}

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

absl::StatusOr<std::optional<TokenFormat>> DecodeKeptFormat(v1::KeptFormat format) {
  switch (format) {
    case v1::KEPT_FORMAT_UNSPECIFIED:
      return std::nullopt;
    case v1::KEPT_FORMAT_INT8:
      return TokenFormat::kInt8;
    case v1::KEPT_FORMAT_TWO_BIT:
      return TokenFormat::kTwoBit;
    default:
      return BadEnum("options.format", format, "KEPT_FORMAT_INT8, KEPT_FORMAT_TWO_BIT");
  }
}

v1::KeptFormat WireKeptFormat(TokenFormat format) {
  return format == TokenFormat::kTwoBit ? v1::KEPT_FORMAT_TWO_BIT : v1::KEPT_FORMAT_INT8;
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

}  // namespace longspan
