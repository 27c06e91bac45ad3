// What the attention mask says of one token.
#pragma once

#include <cstdint>

namespace longspan::kernels {

inline constexpr uint8_t kNotRead = 0;  // no token sees it, and its own row of attention is zeros
// No token sees it, itself included, but it sees the others: a token of a query's expansion. Every
// other value is a token like any.
inline constexpr uint8_t kUnseen = 2;

inline bool IsSeen(uint8_t mask) { return mask != kNotRead && mask != kUnseen; }

}  // namespace longspan::kernels
