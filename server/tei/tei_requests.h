// The requests of tei.v1 that bring a text to encode, turned into the engine's EncodeInput. They
// are checked like those of longspan.v1 (server/wire/input_decoder.h): the first fault ends it, in
// the words of tei.v1, with what was got and what is allowed.
//
//   "dimensions is 0; allowed: 1 to 384"
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
// Proven by tei_requests_test.
#pragma once

#include <longspan/v1/encoder.pb.h>
#include <tei/v1/tei.pb.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/text/encode_input.h"
#include "server/wire/input_decoder.h"

namespace longspan {

// Pooled and, unless `normalize` is false, of length 1.
absl::StatusOr<EncodeInput> DecodeEmbedRequest(tei::v1::EmbedRequest* request,
                                               const DecodingContext& context);
// Token vectors alone, as the model gives them. The sink is the caller's part.
absl::StatusOr<EncodeInput> DecodeEmbedAllRequest(tei::v1::EmbedAllRequest* request,
                                                  const DecodingContext& context);
// The lexical vector alone (server/text/lexical_vector.h), for which the model does not run.
absl::StatusOr<EncodeInput> DecodeEmbedSparseRequest(tei::v1::EmbedSparseRequest* request,
                                                     const DecodingContext& context);
// Makes the options of longspan.v1 ask for the lexical vector alone. `prompt_name`: query, document
// or empty; INVALID_ARGUMENT, which names prompt_name, for another.
absl::Status AskForWords(const std::string& prompt_name, v1::EncodeOptions* options);
// INVALID_ARGUMENT, FAILED_PRECONDITION where the model has no tokenizer.
absl::Status CheckTokenizeRequest(const tei::v1::EncodeRequest& request,
                                  const DecodingContext& context);
// Whether there are ids, and not too many. Whether the vocabulary has them takes a tokenizer.
absl::Status CheckDecodeRequest(const tei::v1::DecodeRequest& request,
                                const DecodingContext& context);

// What a text that is too long becomes. INVALID_ARGUMENT for a direction that is not known.
absl::StatusOr<v1::Truncation> TruncationOf(bool truncate, tei::v1::TruncationDirection direction);

// Why methods and routes that exist in TEI are not served.
inline constexpr char kNoClassifier[] =
    "the model is no classifier; use Embed, and classify its vectors on your side";
inline constexpr char kNoRerankStream[] =
    "texts that are ranked are compared with each other, so they come in one request; use Rerank";

}  // namespace longspan
