// EncodeService: the handlers of longspan.v1.EncoderService. Each call gets a reactor of its own
// (encode_call.h, encode_stream_call.h, encode_tokens_call.h, tokenize_call.h), which checks who
// asks, reads and decodes the request, asks for admission, hands the work over and returns.
// GetModelInfo answers at once. No handler blocks or computes.
//
// Thread safety: gRPC calls the handlers from many threads.
#pragma once

#include "server/rpc/raw_service.h"
#include "server/rpc/service_parts.h"

namespace longspan {

class EncodeService final : public RawService {
 public:
  // `parts` outlives the service. The limits that hold for its calls become metrics.
  explicit EncodeService(const ServiceParts* parts);
};

}  // namespace longspan
