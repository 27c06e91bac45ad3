// The requests of longspan.v1: what holds for a message as a whole, and each of its inputs
// (input_decoder.h).
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/text/encode_input.h"
#include "server/wire/input_decoder.h"
#include "server/wire/vector_format.h"

namespace longspan {

// A decoded request: one entry per input, and the form of the answer.
struct DecodedRequest {
  std::vector<EncodeInput> inputs;
  VectorFormat format = VectorFormat::kFloat32;
};

absl::StatusOr<DecodedRequest> DecodeEncodeRequest(v1::EncodeRequest* request,
                                                   const CodecContext& context);
// As DecodeInput, refusing what does not apply to token vectors; normalise is off unless asked for.
absl::StatusOr<EncodeInput> DecodeTokensInput(v1::EncodeTokensRequest* request,
                                              const CodecContext& context);
absl::Status CheckTokenizeRequest(const v1::TokenizeRequest& request, const CodecContext& context);

}  // namespace longspan
