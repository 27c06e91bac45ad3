// What the calls about kept documents do at either door, in messages of longspan.v1:
// DeleteDocuments, which may wait for the disk and is called on a thread of the tokenizer pool, and
// ListCollections.
//
// Free functions without state: thread safe.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include "absl/status/statusor.h"
#include "server/rpc/call_record.h"

namespace longspan {

absl::StatusOr<v1::DeleteDocumentsResponse> DeleteKept(const CallRecord& call,
                                                       v1::DeleteDocumentsRequest* request);
absl::StatusOr<v1::ListCollectionsResponse> ListKept(const CallRecord& call);

}  // namespace longspan
