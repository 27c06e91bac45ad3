// The lexical vectors of longspan.v1: what a request says of them, checked, and how large they are
// in an answer. Errors are those of input_decoder.h.
//
// Free functions without state: thread safe. Proven by lexical_codec_test.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/text/lexical_vector.h"

namespace longspan {

// `lexical`: EncodeOptions.lexical.
absl::StatusOr<LexicalOptions> DecodeLexicalOptions(const v1::LexicalOptions& lexical);

void FillLexical(const LexicalVector& vector, v1::LexicalVector* out);
// Bytes of the message that FillLexical fills.
int64_t LexicalMessageBytes(const LexicalVector& vector);

}  // namespace longspan
