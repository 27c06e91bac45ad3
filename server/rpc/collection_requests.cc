#include "server/rpc/collection_requests.h"

#include <string>

#include "server/collections/collections.h"
#include "server/wire/collection_encoder.h"
#include "server/wire/put_decoder.h"

namespace longspan {

absl::StatusOr<v1::DeleteDocumentsResponse> DeleteKept(const CallRecord& call,
                                                       v1::DeleteDocumentsRequest* request) {
  const auto decoded = DecodeDeleteRequest(request);
  if (!decoded.ok()) return decoded.status();
  const auto collections = CollectionsOf(call.parts().search_engine());
  if (!collections.ok()) return collections.status();
  const auto owner = call.CollectionOwner();
  if (!owner.ok()) return owner.status();
  const std::string& name = decoded->collection.name;
  v1::DeleteDocumentsResponse response;
  if (decoded->all) {
    const auto collection = (*collections)->Find(*owner, name);
    const int64_t documents = collection.ok() ? (*collection)->Info().documents : 0;
    const auto dropped = (*collections)->Drop(*owner, name);
    if (!dropped.ok()) return dropped.status();
    response.set_deleted(*dropped ? documents : 0);
    return response;
  }
  const auto deleted = (*collections)->Delete(*owner, name, decoded->ids);
  if (!deleted.ok()) return deleted.status();
  response.set_deleted(*deleted);
  return response;
}

absl::StatusOr<v1::ListCollectionsResponse> ListKept(const CallRecord& call) {
  const auto collections = CollectionsOf(call.parts().search_engine());
  if (!collections.ok()) return collections.status();
  const auto owner = call.CollectionOwner();
  if (!owner.ok()) return owner.status();
  v1::ListCollectionsResponse response;
  for (const CollectionInfo& one : (*collections)->List(*owner))
    FillCollection(one, response.add_collections());
  return response;
}

}  // namespace longspan
