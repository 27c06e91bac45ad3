// TeiService: the handlers of tei.v1, the gRPC contract of text-embeddings-inference, on the port
// and the engine of longspan.v1: with the same keys, limits, admission, deadlines, drain, metrics
// and log. docs/clients.md says what differs from text-embeddings-inference on purpose.
//
// Each message becomes an ItemWork (server/rpc/item_work.h), in a call of its own (unary_call.h) or
// as an item of a stream that answers in order (server/rpc/item_stream_call.h). Methods that this
// server has no model for are UNIMPLEMENTED, with what to use in their place.
//
// Thread safety: gRPC calls the handlers from many threads.
#pragma once

#include <array>

#include "server/rpc/raw_service.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// For reflection and health: those that are served, then those that are UNIMPLEMENTED.
inline constexpr std::array kServedTeiServices = {"tei.v1.Info", "tei.v1.Embed", "tei.v1.Tokenize",
                                                  "tei.v1.Rerank"};
inline constexpr std::array kUnservedTeiServices = {"tei.v1.Predict"};

class TeiService final : public RawService {
 public:
  // `parts` outlives the service.
  explicit TeiService(const ServiceParts* parts);
};

}  // namespace longspan
