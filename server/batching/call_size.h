// CallSize: what a call asks for altogether, as admission priced it. Of the calls of one client,
// small ones go first (fair_queue.h), so an input waits by the size of its call, not by its own:
// the 128 inputs of a large call are together what a caller with one input would wait for.
#pragma once

#include <cstdint>

namespace longspan {

struct CallSize {
  int64_t bytes = 0;   // of texts and spans, which the tokenizer reads
  double seconds = 0;  // predicted, of all passes

  CallSize& operator+=(const CallSize& other) {
    bytes += other.bytes;
    seconds += other.seconds;
    return *this;
  }
  CallSize& operator-=(const CallSize& other) {
    bytes -= other.bytes;
    seconds -= other.seconds;
    return *this;
  }
};

}  // namespace longspan
