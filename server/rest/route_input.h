// MoveInto: an input of a JSON API as one of longspan.v1. Thread safe.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <utility>

#include "server/rest/json_fields.h"

namespace longspan {

inline void MoveInto(JsonInput input, v1::Input* out) {
  if (input.is_text) {
    out->set_text(std::move(input.text));
  } else {
    out->mutable_token_ids()->mutable_ids()->Add(input.ids.begin(), input.ids.end());
  }
}

}  // namespace longspan
