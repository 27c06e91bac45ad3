// Rerank by HTTP, as clients of text-embeddings-inference, Cohere and Jina ask for it. Each text is
// a document of a search (Search of longspan.v1) without spans.
//
//   POST /rerank              {"query", "texts": [...]}       TEI:    [{"index", "score"}, ...]
//   POST /rerank, /v1/rerank,
//        /v2/rerank           {"query", "documents": [...]}   Cohere, Jina:
//                                {"results": [{"index", "relevance_score"}, ...], ...}
//
// A score is the logistic function of the document's score among those of the request, from 0 to
// 1; with raw_scores it is that score as it is. It compares texts of one request, never of two.
// A text that is too long is refused unless the request says truncate or max_tokens_per_doc.
//
// Free functions without state: thread safe.
#pragma once

#include <span>

#include "server/http/http_server.h"
#include "server/rest/json_fields.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// What POST /rerank reads, and what POST /v1/rerank and /v2/rerank read.
std::span<const JsonField> TeiRerankFields();
std::span<const JsonField> CohereRerankFields();

// `parts` outlives the server.
void AddRerankRoutes(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
