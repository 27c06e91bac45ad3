// DecodeSearchRequest: a longspan.v1.SearchRequest, checked and turned into the engine's
// SearchRequest. The first fault ends it, with the field's path, what was got and what is allowed.
// A collection has no owner yet: whoever knows the caller sets it.
//
// Free functions without state: thread safe. Texts are moved out of the message, never copied.
// Proven by search_decoder_test.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/search/search_request.h"
#include "server/wire/input_decoder.h"

namespace longspan {

absl::StatusOr<SearchRequest> DecodeSearchRequest(v1::SearchRequest* request,
                                                  const DecodingContext& context);

// An error of the question with its path.
absl::Status AtQuery(const absl::Status& status);

}  // namespace longspan
