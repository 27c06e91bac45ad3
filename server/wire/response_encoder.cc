#include "server/wire/response_encoder.h"

#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "server/wire/enums.h"
#include "server/wire/lexical_codec.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

using google::protobuf::internal::WireFormatLite;

void FillRange(int64_t begin, int64_t end, v1::Range* out) {
  out->set_begin(begin);
  out->set_end(end);
}

void FillRanges(const std::vector<TextRange>& ranges,
                google::protobuf::RepeatedPtrField<v1::Range>* out) {
  for (const TextRange& range : ranges) FillRange(range.begin, range.end, out->Add());
}

void FillVector(const std::vector<float>& values, VectorFormat format, v1::Vector* out) {
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

// `Span`: one with its vector, or one that is merely prepared.
template <typename Span>
void FillPlace(const Span& span, v1::SpanEncoding* out) {
  if (span.bytes.end > 0) {  // a span of token_ids has neither bytes nor characters
    FillRange(span.bytes.begin, span.bytes.end, out->mutable_bytes());
    FillRange(span.characters.begin, span.characters.end, out->mutable_characters());
  }
  FillRange(span.tokens.begin, span.tokens.end, out->mutable_tokens());
}

void FillSpan(const EncodedSpan& span, VectorFormat format, v1::SpanEncoding* out) {
  FillPlace(span, out);
  FillVector(span.vector, format, out->mutable_vector());
  if (span.lexical != nullptr) FillLexical(*span.lexical, out->mutable_lexical());
}

// `Text`: one with its vectors, or one that is merely prepared.
template <typename Text>
void FillUse(const Text& text, v1::Encoding* out) {
  out->set_tokens_total(text.tokens_total);
  out->set_tokens_used(text.tokens_used);
  out->set_truncated(text.tokens_used < text.tokens_total);
  FillRanges(text.used_text, out->mutable_used_text());
}

// A field of so many bytes inside a message, whose number is below 16: with its tag and length.
int64_t FieldBytes(int64_t bytes) {
  return 1 + static_cast<int64_t>(WireFormatLite::LengthDelimitedSize(static_cast<size_t>(bytes)));
}

// A field with a lexical vector; nothing where there is none.
int64_t LexicalFieldBytes(const std::shared_ptr<const LexicalVector>& vector) {
  return vector == nullptr ? 0 : FieldBytes(LexicalMessageBytes(*vector));
}

// A field with one vector.
int64_t VectorFieldBytes(VectorFormat format, int64_t dimensions) {
  v1::Vector vector;  // without its values
  vector.set_format(WireFormat(format));
  vector.set_dimensions(static_cast<uint32_t>(dimensions));
  if (format == VectorFormat::kInt8) vector.set_scale(1);
  return FieldBytes(static_cast<int64_t>(vector.ByteSizeLong()) +
                    FieldBytes(PackedBytes(format, dimensions)));
}

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

}  // namespace

void AppendEncoding(int number, EncodedDocument document, std::string id, VectorFormat format,
                    std::vector<grpc::Slice>* out) {
  SliceWriter writer;
  v1::Encoding encoding;  // all but the fields behind the status, and the spans
  encoding.set_id(std::move(id));
  if (!document.vector.empty()) FillVector(document.vector, format, encoding.mutable_vector());
  FillUse(document, &encoding);
  writer.Append(encoding);
  v1::SpanEncoding message;  // keeps its memory from span to span
  for (EncodedSpan& span : document.spans) {
    message.Clear();
    FillSpan(span, format, &message);
    span.vector = {};
    span.lexical = nullptr;
    writer.AppendField(v1::Encoding::kSpansFieldNumber, message);
  }
  if (document.lexical != nullptr) {
    v1::LexicalVector lexical;
    FillLexical(*document.lexical, &lexical);
    writer.AppendField(v1::Encoding::kLexicalFieldNumber, lexical);
  }
  writer.FinishField(number, out);
}

int64_t EncodingBytes(const PreparedText& text, int64_t id_bytes, VectorFormat format,
                      int64_t dimensions) {
  const int64_t vector = VectorFieldBytes(format, dimensions);
  v1::Encoding encoding;
  FillUse(text, &encoding);
  int64_t bytes = static_cast<int64_t>(encoding.ByteSizeLong());
  if (id_bytes > 0) bytes += FieldBytes(id_bytes);
  if (!text.document.empty()) bytes += vector;
  v1::SpanEncoding place;  // keeps its memory from span to span
  for (const PreparedSpan& span : text.spans) {
    place.Clear();
    FillPlace(span, &place);
    bytes += FieldBytes(static_cast<int64_t>(place.ByteSizeLong()) + vector +
                        LexicalFieldBytes(span.lexical));
  }
  return FieldBytes(bytes + LexicalFieldBytes(text.lexical));
}

void FillTimings(const StageTimings& timings, v1::Timings* out) {
  out->set_tokenize_ns(Nanoseconds(timings.tokenize));
  out->set_queue_ns(Nanoseconds(timings.queue));
  out->set_compute_ns(Nanoseconds(timings.compute));
  out->set_total_ns(Nanoseconds(timings.total));
  out->set_batch_texts(timings.batch_pieces);
  out->set_batch_tokens(timings.batch_tokens);
}

void MaxTimings(const StageTimings& one, StageTimings* total) {
  total->tokenize = std::max(total->tokenize, one.tokenize);
  total->queue = std::max(total->queue, one.queue);
  total->compute = std::max(total->compute, one.compute);
  total->total = std::max(total->total, one.total);
  total->batch_pieces = std::max(total->batch_pieces, one.batch_pieces);
  total->batch_tokens = std::max(total->batch_tokens, one.batch_tokens);
  total->stage = std::max(total->stage, one.stage);
}

void FillTokens(int64_t first_token, int64_t num_rows, std::vector<float> values,
                VectorFormat format, v1::EncodeTokensResponse* out) {
  const size_t width = values.size() / static_cast<size_t>(std::max<int64_t>(1, num_rows));
  out->set_first_token(first_token);
  out->set_token_count(num_rows);
  out->set_dimensions(static_cast<uint32_t>(width));
  out->set_format(WireFormat(format));
  if (format == VectorFormat::kFloat32) {
    out->mutable_values()->Add(values.begin(), values.end());
    return;
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    float scale = 0;
    AppendPacked({values.data() + row * width, width}, format, out->mutable_data(), &scale);
    if (format == VectorFormat::kInt8) out->add_scales(scale);
  }
}

void FillTokensEnd(const EncodedDocument& document, v1::EncodeTokensResponse* out) {
  out->set_tokens_total(document.tokens_total);
  out->set_tokens_used(document.tokens_used);
  out->set_truncated(document.truncated);
  FillRanges(document.used_text, out->mutable_used_text());
}

}  // namespace longspan
