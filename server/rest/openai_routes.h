// The routes of OpenAI's embeddings API, with Jina's additions: POST /v1/embeddings and
// GET /v1/models.
//
// The name in `model` is not compared where texts are sent: clients have a name of their own in
// there by default, and the answer says which model has read them. Token ids mean something in one
// vocabulary only, so they are taken under the served model's name, or under none.
//
// `late_chunking`: the inputs are consecutive parts of one document. They are read as one text in
// one pass, and each gets the mean of its own tokens.
//
// Free functions without state: thread safe.
#pragma once

#include <span>

#include "server/http/http_server.h"
#include "server/rest/json_fields.h"
#include "server/rpc/service_parts.h"

namespace longspan {

// What POST /v1/embeddings reads.
std::span<const JsonField> OpenAiFields();

// An error as OpenAI's clients expect it:
//   {"error":{"message":"...","type":"invalid_request_error","param":"input[0]","code":null}}
HttpResponse OpenAiRefusal(const absl::Status& status);

// `parts` outlives the server.
void AddOpenAiRoutes(const ServiceParts* parts, HttpServer* http);

}  // namespace longspan
