// LongestTextInMemory: the longest text that a server can take without running out of memory, from
// what its model takes for a pass and from what the process may have. A longer text is refused when
// it is read, with a code that nobody retries; without this bound it would fail in its pass, again
// at every try.
//
// A pure function.
#pragma once

#include <cstdint>
#include <functional>

namespace longspan {

// What there is; 0 = no bound.
struct MemoryRoom {
  int64_t tensor_bytes = 0;   // for the tensors of one pass
  int64_t process_bytes = 0;  // for the pass, and for what the text takes beside its tensors
};

// What texts take.
struct TextMemory {
  // The tensors of a pass over one text of so many tokens, at their peak; grows with its length.
  std::function<int64_t(int64_t num_tokens)> pass_bytes;
  int64_t bytes_per_token = 0;  // beside the tensors: the text, its tokens, its answer
};

// In tokens; 0 = no bound. At least 1 where there is one.
int64_t LongestTextInMemory(const TextMemory& text, const MemoryRoom& room);

}  // namespace longspan
