// Length classes: the one scale by which texts are told short from long. The lanes of the
// scheduler, the label `bucket` of longspan_request_seconds_by_length and the percentiles of
// `longspan bench` use it. It stands beside the contract because dashboards read it too.
#pragma once

#include <array>
#include <cstdint>

namespace longspan {

// Longest text of each class, in tokens, ascending; one more class holds what is longer.
inline constexpr std::array<int64_t, 7> kLengthClassBounds = {128,   512,    2048,  8192,
                                                              32768, 131072, 524288};

// Index of the class of a text: 0 to kLengthClassBounds.size().
constexpr size_t LengthClassOf(int64_t num_tokens) {
  size_t index = 0;
  while (index < kLengthClassBounds.size() && num_tokens > kLengthClassBounds[index]) ++index;
  return index;
}

}  // namespace longspan
