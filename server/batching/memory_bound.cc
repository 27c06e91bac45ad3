#include "server/batching/memory_bound.h"

#include <algorithm>

namespace longspan {

int64_t LongestTextInMemory(const TextMemory& text, const MemoryRoom& room) {
  if (room.tensor_bytes <= 0 && room.process_bytes <= 0) return 0;
  const auto fits = [&](int64_t num_tokens) {
    const int64_t pass = text.pass_bytes(num_tokens);
    if (room.tensor_bytes > 0 && pass > room.tensor_bytes) return false;
    return room.process_bytes <= 0 ||
           pass + num_tokens * text.bytes_per_token <= room.process_bytes;
  };
  // Longer than any text: a batch counts its tokens in int32.
  int64_t too_long = int64_t{1} << 31;
  int64_t longest = 1;
  while (longest + 1 < too_long) {
    const int64_t middle = longest + (too_long - longest) / 2;
    (fits(middle) ? longest : too_long) = middle;
  }
  return longest;
}

}  // namespace longspan
