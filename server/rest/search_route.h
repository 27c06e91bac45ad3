// POST /search: Search of longspan.v1 by HTTP. The body is a SearchRequest by protobuf's JSON
// mapping, in which a document may be a plain string too, and "limit" stands for
// options.max_documents:
//
//   {"query": "When does the lease end?", "limit": 3, "documents": [{"id": "a", "text": "..."}]}
//   {"results": [{"index": 0, "id": "a", "score": 1.5, "similarity": 0.61, "bm25": 7.2,
//                 "spans": [{"begin": 120, "end": 410, "score": 2.3, "similarity": 0.61}],
//                 "tokensTotal": 900, "tokensUsed": 900, "truncated": false}], ...}
//
// POST /collections/NAME/search: the same in a collection (collection_routes.h), without documents.
//
// Spans are in characters of the document. With "options": {"bestTokens": true} each span has its
// best tokens too, in characters of the document and of the question:
//
//   "bestTokens": [{"begin": 124, "end": 129, "bytes": {"begin": 124, "end": 129},
//                   "query": {"begin": 14, "end": 19, "bytes": {"begin": 14, "end": 19}},
//                   "similarity": 0.83, "weight": 0.41}]
//
// options.max_answer_bytes is about gRPC's messages and is not read.
//
// Free functions without state: thread safe.
#pragma once

#include "server/http/http_server.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// `parts` outlives the server.
void AddSearchRoute(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
