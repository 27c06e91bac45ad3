// The documents of a JSON request: an array of texts, or of objects with id and text (a
// SearchDocument by protobuf's JSON mapping).
//
// Free functions without state: thread safe.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "server/rest/ignored_fields.h"
#include "server/rest/json_value.h"
#include "server/wire/document_decoder.h"

namespace longspan {

// Takes the member out of the object; null where it has none.
JsonValue TakeMember(JsonValue* object, std::string_view name);

// `documents` is null where there are none, which whoever decodes the message tells.
absl::Status ReadDocuments(JsonValue documents, int64_t most, WireDocuments* out,
                           IgnoredFields* ignored);

}  // namespace longspan
