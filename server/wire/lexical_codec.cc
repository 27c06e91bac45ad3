#include "server/wire/lexical_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error_details.h"
#include "server/text/stems.h"
#include "server/text/words.h"

namespace longspan {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// NaN is in no range.
absl::Status CheckNumber(const char* field, double value, double least, double most,
                         const char* allowed) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidField(absl::StrCat("options.lexical.", field),
                      absl::StrCat("is ", value, "; allowed: ", allowed));
}

absl::Status CheckNumbers(const v1::LexicalOptions& lexical) {
  constexpr double kMost = 1e9;  // beyond any text
  constexpr char kLength[] = "0 to 1e9, 0 = the default";
  absl::Status status = CheckNumber("k1", lexical.k1(), 0, kMost, "0 to 1e9");
  status.Update(CheckNumber("b", lexical.b(), 0, 1, "0 to 1"));
  status.Update(CheckNumber("average_length", lexical.average_length(), 0, kMost, kLength));
  status.Update(
      CheckNumber("average_span_length", lexical.average_span_length(), 0, kMost, kLength));
  return status;
}

absl::Status CheckLanguage(const std::string& language) {
  const std::vector<std::string>& allowed = Stemmer::Languages();
  if (language.empty() || std::binary_search(allowed.begin(), allowed.end(), language))
    return absl::OkStatus();
  return InvalidField(
      "options.lexical.language",
      absl::StrCat("is ", Quoted(language), "; allowed: ", absl::StrJoin(allowed, ", ")));
}

absl::Status CheckStopWords(const v1::LexicalOptions& lexical) {
  const std::string field = "options.lexical.stop_words";
  if (lexical.stop_words_size() > kMaxStopWords) {
    return InvalidField(field, absl::StrCat("are ", lexical.stop_words_size(),
                                            "; allowed: at most ", kMaxStopWords));
  }
  for (int i = 0; i < lexical.stop_words_size(); ++i) {
    const auto bytes = static_cast<int64_t>(lexical.stop_words(i).size());
    if (bytes <= kLongestWordBytes) continue;
    return InvalidField(
        absl::StrCat(field, "[", i, "]"),
        absl::StrCat("has ", bytes, " bytes; allowed: at most ", kLongestWordBytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LexicalOptions> DecodeLexicalOptions(const v1::LexicalOptions& lexical) {
  absl::Status status = CheckLanguage(lexical.language());
  status.Update(CheckNumbers(lexical));
  status.Update(CheckStopWords(lexical));
  if (!status.ok()) return status;
  LexicalOptions options;
  options.language = lexical.language();
  options.stop_words.assign(lexical.stop_words().begin(), lexical.stop_words().end());
  if (lexical.has_k1()) options.k1 = lexical.k1();
  if (lexical.has_b()) options.b = lexical.b();
  if (lexical.average_length() > 0) options.average_length = lexical.average_length();
  options.average_span_length =
      lexical.average_span_length() > 0 ? lexical.average_span_length() : options.average_length;
  options.query = lexical.query();
  return options;
}

void FillLexical(const LexicalVector& vector, v1::LexicalVector* out) {
  out->mutable_indices()->Add(vector.indices.begin(), vector.indices.end());
  out->mutable_values()->Add(vector.values.begin(), vector.values.end());
}

int64_t LexicalMessageBytes(const LexicalVector& vector) {
  if (vector.indices.empty()) return 0;
  size_t indices = 0;
  for (const uint32_t index : vector.indices) indices += CodedOutputStream::VarintSize32(index);
  const size_t values = vector.values.size() * sizeof(float);
  return static_cast<int64_t>(1 + WireFormatLite::LengthDelimitedSize(indices) + 1 +
                              WireFormatLite::LengthDelimitedSize(values));
}

}  // namespace longspan
