// TokenPlace: where a token stands in its text.
//
// A plain value.
#pragma once

#include <cstdint>

namespace longspan {

// A text of a request has less than 4 GiB.
struct TokenPlace {
  uint32_t byte_begin = 0, byte_end = 0;
  uint32_t character_begin = 0, character_end = 0;
  friend bool operator==(const TokenPlace&, const TokenPlace&) = default;
};

}  // namespace longspan
