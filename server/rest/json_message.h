// JSON as messages of longspan.v1, and back, by protobuf's JSON mapping: names in lowerCamelCase or
// as in the contract, 64-bit numbers as strings or numbers, enums by name or number, null = unset.
// The messages are those of requests: no maps, no bytes, no well-known types.
//
// Free functions without state: thread safe.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "server/rest/ignored_fields.h"
#include "server/rest/json_value.h"

namespace longspan {

// Fills `message`. INVALID_ARGUMENT, with the field's path as errors of longspan.v1 name it
// ("inputs[3].token_ids.ids[7]"), what was got and what is allowed, where a value has another type
// or range, a field comes by both its names, or two fields of one choice are given. A field that
// the message does not have is added to `ignored`.
absl::Status ReadMessage(JsonValue json, google::protobuf::Message* message,
                         IgnoredFields* ignored);

// The message as JSON. `all_fields`: also those that have their default values.
std::string WriteMessage(const google::protobuf::Message& message, bool all_fields);

}  // namespace longspan
