// Cohere's embed API: POST /v2/embed and POST /v1/embed.
//
// `input_type` names a prompt of the model where it has one that fits: search_query is its prompt
// "query", search_document its "document" or "passage". A model without prompts reads all input
// types alike. Unlike Cohere, a text that is too long is refused unless `truncate` says END or
// START; what was cut is told in meta.warnings.
//
// Free functions without state: thread safe.
#pragma once

#include <span>

#include "server/http/http_server.h"
#include "server/rest/json_fields.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// What POST /v2/embed and /v1/embed read.
std::span<const JsonField> CohereFields();

// {"id":"...","message":"texts[1] is empty; ..."}
HttpResponse CohereRefusal(const absl::Status& status);

// `parts` outlives the server.
void AddCohereRoutes(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
