// The HTTP routes of text-embeddings-inference: /embed (also POST /), /embed_all, /embed_sparse,
// /tokenize, /decode, /info, /health and /ping. /predict is refused with a reason; /rerank is in
// rerank_routes.h.
//
// Answers carry TEI's headers: x-compute-tokens, x-total-time and their like, in milliseconds.
// Errors have TEI's form and codes: 413 too large, 422 not as it must be, 400 empty.
//
// Free functions without state: thread safe.
#pragma once

#include <functional>
#include <span>

#include "server/http/http_server.h"
#include "server/rest/json_fields.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// What POST /embed, /embed_all, /embed_sparse, /tokenize and /decode read.
std::span<const JsonField> TeiEmbedFields();
std::span<const JsonField> TeiEmbedAllFields();
std::span<const JsonField> TeiEmbedSparseFields();
std::span<const JsonField> TeiTokenizeFields();
std::span<const JsonField> TeiDecodeFields();

// {"error":"inputs is empty; ...","error_type":"Validation"}
HttpResponse TeiRefusal(const absl::Status& status);

// `parts` outlives the server. `ready`: whether the server serves, for /health.
void AddTeiRoutes(const ServiceParts* parts, const std::function<bool()>& ready, HttpServer* http);

}  // namespace longspan
