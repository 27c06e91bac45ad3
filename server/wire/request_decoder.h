// The requests of longspan.v1, checked and decoded: what holds for a message as a whole is checked
// here, each of its inputs by input_decoder.h. Errors are the same as there.
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/text/encode_input.h"
#include "server/wire/answer_size.h"
#include "server/wire/input_decoder.h"
#include "server/wire/vector_format.h"

namespace longspan {

// A decoded EncodeRequest: one entry per input, in order, and what the answer is to be. A door
// whose callers take answers of any size leaves max_answer_bytes as it is.
struct DecodedRequest {
  std::vector<EncodeInput> inputs;
  VectorFormat format = VectorFormat::kFloat32;
  int64_t max_answer_bytes = AnswerSize::kAnySize;  // the largest message that the caller takes
};

absl::StatusOr<DecodedRequest> DecodeEncodeRequest(v1::EncodeRequest* request,
                                                   const DecodingContext& context);
// Like DecodeInput, but refuses what does not apply to token vectors. Token vectors are normalised
// only where the caller asks for it.
absl::StatusOr<EncodeInput> DecodeTokensInput(v1::EncodeTokensRequest* request,
                                              const DecodingContext& context);
// FAILED_PRECONDITION, without a field, where the model has no tokenizer.
absl::Status CheckTokenizeRequest(const v1::TokenizeRequest& request,
                                  const DecodingContext& context);

}  // namespace longspan
