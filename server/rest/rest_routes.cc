#include "server/rest/rest_routes.h"

#include "server/rest/cohere_routes.h"
#include "server/rest/collection_routes.h"
#include "server/rest/encode_lines.h"
#include "server/rest/longspan_routes.h"
#include "server/rest/openai_routes.h"
#include "server/rest/openapi.h"
#include "server/rest/rerank_routes.h"
#include "server/rest/search_route.h"
#include "server/rest/tei_routes.h"

namespace longspan {

void AddRestRoutes(const ServiceParts* parts, const std::function<bool()>& ready,
                   HttpServer* http) {
  AddOpenAiRoutes(parts, http);
  AddCohereRoutes(parts, http);
  AddTeiRoutes(parts, ready, http);
  AddLongspanRoutes(parts, http);
  AddEncodeLinesRoute(parts, http);
  AddSearchRoute(parts, http);
  AddCollectionRoutes(parts, http);
  AddRerankRoutes(parts, http);
  AddOpenApiRoutes(parts, http);
}

}  // namespace longspan
