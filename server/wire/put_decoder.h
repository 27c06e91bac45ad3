// Requests about kept documents, checked and turned into the engine's own. The first fault ends it,
// with the field's path, what was got and what is allowed. A collection has no owner yet: whoever
// knows the caller sets it.
//
// Free functions without state: thread safe. Texts are moved out of the message, never copied.
// Proven by put_decoder_test.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/search/put_request.h"
#include "server/wire/input_decoder.h"

namespace longspan {

// Ids of one DeleteDocumentsRequest.
inline constexpr int64_t kMaxDeletedIds = 10000;

absl::StatusOr<PutRequest> DecodePutRequest(v1::PutDocumentsRequest* request,
                                            const DecodingContext& context);

struct DeleteRequest {
  CollectionRef collection;
  std::vector<std::string> ids;
  bool all = false;  // the collection itself
};
absl::StatusOr<DeleteRequest> DecodeDeleteRequest(v1::DeleteDocumentsRequest* request);

}  // namespace longspan
