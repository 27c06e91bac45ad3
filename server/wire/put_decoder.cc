#include "server/wire/put_decoder.h"

#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/collections/collection_name.h"
#include "server/wire/document_decoder.h"
#include "server/wire/enums.h"

namespace longspan {
namespace {

// Every document has an id, and no two the same.
absl::Status CheckIds(const WireDocuments& documents) {
  absl::flat_hash_map<absl::string_view, int> seen;
  for (int i = 0; i < documents.size(); ++i) {
    const std::string field = absl::StrCat("documents[", i, "].id");
    const std::string& id = documents.Get(i).id();
    if (id.empty()) return InvalidField(field, "is empty; allowed: an id of its own");
    const auto [first, is_new] = seen.emplace(id, i);
    if (!is_new) {
      return InvalidField(field, absl::StrCat("is ", Quoted(id), ", and so is documents[",
                                              first->second, "].id; allowed: an id of its own"));
    }
  }
  return absl::OkStatus();
}

absl::Status DecodeTimeToLive(const v1::PutOptions& options, absl::Duration* time_to_live) {
  if (!options.has_ttl_seconds()) return absl::OkStatus();
  const double seconds = options.ttl_seconds();
  // Refuses NaN too; ten thousand years are as good as never.
  if (!(seconds > 0 && seconds <= 3.2e11)) {
    return InvalidField("options.ttl_seconds",
                        absl::StrCat("is ", seconds, "; allowed: above 0, to 3.2e11"));
  }
  *time_to_live = absl::Seconds(seconds);
  return absl::OkStatus();
}

absl::Status DecodeSettings(const v1::PutOptions& options, PutRequest* request) {
  if (absl::Status status = CheckLanguage(options.language()); !status.ok()) return status;
  if (!options.language().empty()) request->language = options.language();
  auto format = DecodeKeptFormat(options.format());
  if (!format.ok()) return format.status();
  request->format = *format;
  auto cell_tokens = DecodeCellTokens(options.span_tokens());
  if (!cell_tokens.ok()) return cell_tokens.status();
  request->cell_tokens = *cell_tokens;
  return DecodeTimeToLive(options, &request->time_to_live);
}

}  // namespace

absl::StatusOr<PutRequest> DecodePutRequest(v1::PutDocumentsRequest* wire,
                                            const DecodingContext& context) {
  PutRequest request;
  absl::Status status = CheckCollectionName(wire->collection());
  if (status.ok()) status = CheckDocumentCount(wire->documents_size(), context);
  if (status.ok()) status = CheckIds(wire->documents());
  if (status.ok()) status = DecodeSettings(wire->options(), &request);
  if (!status.ok()) return status;
  if (!context.has_tokenizer) {
    return AtField(absl::FailedPreconditionError(
                       "cannot be kept: this model has no tokenizer, so it searches no texts"),
                   "documents");
  }
  request.collection.name = wire->collection();
  v1::EncodeOptions options;
  options.set_truncation(wire->options().truncation());
  options.set_window_overlap_tokens(wire->options().window_overlap_tokens());
  options.set_max_tokens(wire->options().max_tokens());
  auto documents = DecodeDocuments(wire->mutable_documents(), options,
                                   wire->options().document_prompt_name(), context);
  if (!documents.ok()) return documents.status();
  request.documents = *std::move(documents);
  for (v1::SearchDocument& document : *wire->mutable_documents())
    request.ids.push_back(std::move(*document.mutable_id()));
  return request;
}

absl::StatusOr<DeleteRequest> DecodeDeleteRequest(v1::DeleteDocumentsRequest* wire) {
  if (absl::Status status = CheckCollectionName(wire->collection()); !status.ok()) return status;
  const int ids = wire->ids_size();
  if (wire->all() && ids > 0)
    return InvalidField("all", "is true, and there are ids; allowed: one of them");
  if (!wire->all() && ids == 0)
    return InvalidField("ids", "is empty, and all is false; allowed: one of them");
  if (ids > kMaxDeletedIds)
    return InvalidField("ids", absl::StrCat("are ", ids, "; allowed: 1 to ", kMaxDeletedIds));
  DeleteRequest request{.collection = {.name = wire->collection()}, .all = wire->all()};
  for (int i = 0; i < ids; ++i) {
    absl::Status status = CheckIdBytes(wire->ids(i), absl::StrCat("ids[", i, "]"));
    if (!status.ok()) return status;
    request.ids.push_back(std::move(*wire->mutable_ids(i)));
  }
  return request;
}

}  // namespace longspan
