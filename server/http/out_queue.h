// OutQueue: bytes that wait for the kernel, in order, each block with a callback that tells when
// the kernel has it.
//
// Thread safety: none; the thread of the event loop uses it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "server/http/transport.h"

namespace longspan {

class OutQueue {
 public:
  using Clock = std::chrono::steady_clock;
  using Sent = std::function<void(bool ok)>;

  void Add(std::string bytes, Sent sent = {});
  // Writes what the kernel takes, and half a megabyte at most. kDone: some was written. kFailed:
  // the connection is no more. Else what must happen before more can be written; kEnd where the
  // queue is empty.
  Io Flush(Transport* transport);
  // Nothing of this will be written.
  void Drop();

  bool empty() const { return blocks_.empty(); }
  size_t unsent() const { return unsent_; }
  // Since when it has not been empty, and the bytes written since then.
  Clock::time_point since() const { return since_; }
  int64_t written() const { return written_; }

 private:
  struct Block {
    std::string bytes;
    Sent sent;
  };

  std::deque<Block> blocks_;
  size_t offset_ = 0;  // of the first block: what is written of it
  size_t unsent_ = 0;
  Clock::time_point since_;
  int64_t written_ = 0;
};

}  // namespace longspan
