#include "server/rest/encoding_json.h"

#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/rest/json_message.h"
#include "server/rest/json_writer.h"
#include "server/wire/enums.h"
#include "server/wire/response_encoder.h"

namespace longspan {
namespace {

void AppendRange(int64_t begin, int64_t end, std::string* out) {
  absl::StrAppend(out, R"({"begin":")", begin, R"(","end":")", end, R"("})");
}

void AppendVectorJson(const std::vector<float>& values, VectorFormat format, std::string* out) {
  if (format == VectorFormat::kFloat32) {
    out->append(R"({"values":)");
    AppendJsonFloats(values, out);
  } else {
    std::string packed;
    float scale = 0;
    AppendPacked(values, format, &packed, &scale);
    out->append(R"({"data":)");
    AppendJsonBase64(packed, out);
    if (format == VectorFormat::kInt8) {
      out->append(R"(,"scale":)");
      AppendJsonFloat(scale, out);
    }
  }
  absl::StrAppend(out, R"(,"format":")", v1::VectorFormat_Name(WireFormat(format)),
                  R"(","dimensions":)", values.size(), "}");
}

// Nothing where there is none.
void AppendLexicalJson(const std::shared_ptr<const LexicalVector>& vector, std::string* out) {
  if (vector == nullptr) return;
  absl::StrAppend(out, R"(,"lexical":{"indices":[)", absl::StrJoin(vector->indices, ","),
                  R"(],"values":)");
  AppendJsonFloats(vector->values, out);
  out->push_back('}');
}

void AppendSpanJson(const EncodedSpan& span, VectorFormat format, std::string* out) {
  out->push_back('{');
  if (span.bytes.end > 0) {  // a span of token_ids has neither bytes nor characters
    out->append(R"("bytes":)");
    AppendRange(span.bytes.begin, span.bytes.end, out);
    out->append(R"(,"characters":)");
    AppendRange(span.characters.begin, span.characters.end, out);
    out->push_back(',');
  }
  out->append(R"("tokens":)");
  AppendRange(span.tokens.begin, span.tokens.end, out);
  out->append(R"(,"vector":)");
  AppendVectorJson(span.vector, format, out);
  AppendLexicalJson(span.lexical, out);
  out->push_back('}');
}

}  // namespace

void AppendRangesJson(const std::vector<TextRange>& ranges, std::string* out) {
  const char* comma = "";
  out->push_back('[');
  for (const TextRange& range : ranges) {
    out->append(comma);
    AppendRange(range.begin, range.end, out);
    comma = ",";
  }
  out->push_back(']');
}

void AppendEncodingJson(const EncodedDocument& document, std::string_view id, VectorFormat format,
                        std::string* out) {
  out->append(R"({"id":)");
  AppendJsonString(id, out);
  if (!document.vector.empty()) {
    out->append(R"(,"vector":)");
    AppendVectorJson(document.vector, format, out);
  }
  absl::StrAppend(out, R"(,"tokensTotal":")", document.tokens_total, R"(","tokensUsed":")",
                  document.tokens_used, R"(","truncated":)", document.truncated ? "true" : "false",
                  R"(,"usedText":)");
  AppendRangesJson(document.used_text, out);
  if (!document.spans.empty()) {
    const char* comma = R"(,"spans":[)";
    for (const EncodedSpan& span : document.spans) {
      out->append(comma);
      AppendSpanJson(span, format, out);
      comma = ",";
    }
    out->push_back(']');
  }
  AppendLexicalJson(document.lexical, out);
  out->push_back('}');
}

void AppendTimingsJson(const StageTimings& timings, std::string* out) {
  v1::Timings message;
  FillTimings(timings, &message);
  out->append(WriteMessage(message, /*all_fields=*/true));
}

}  // namespace longspan
