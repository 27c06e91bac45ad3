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
#include <string_view>

namespace longspan {

class OutQueue {
 public:
  using Clock = std::chrono::steady_clock;
  using Sent = std::function<void(bool ok)>;

  void Add(std::string bytes, Sent sent = {});
  // The bytes to write now, half a megabyte at most. They stay where they are until Wrote or
  // Release. Empty where there are none.
  std::string_view Next();
  // So many of them were written.
  void Wrote(size_t bytes);
  // Nothing more of this will be written.
  void Drop();
  // The bytes of Next are needed no more.
  void Release() { writing_ = false; }

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

  // Calls back for blocks in front that are written.
  void TellSent();

  std::deque<Block> blocks_;
  size_t offset_ = 0;  // of the first block: what is written of it
  bool writing_ = false;
  size_t unsent_ = 0;
  Clock::time_point since_;
  int64_t written_ = 0;
};

}  // namespace longspan
