// DecodeSearchRequest: a longspan.v1.SearchRequest, checked and turned into the engine's
// SearchRequest. The first fault ends it, with the field's path, what was got and what is allowed.
// Errors of documents name them with their ids, "documents[3] (id \"a\")".
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
// An error of a document with its path and its id.
absl::Status AtDocument(const absl::Status& status, size_t index, const std::string& id);

}  // namespace longspan
