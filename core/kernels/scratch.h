// Scratch: memory of one thread that a kernel works in. It only grows, so that a warm server
// allocates nothing. A kernel keeps one as a thread_local of its function.
//
// Has internal linkage on purpose: files that include this are compiled for different instruction
// sets and must not share one copy.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace longspan::kernels {
namespace {

class Scratch {
 public:
  // At least `count` floats, aligned to 64 bytes: a cache line, and the widest vector. What was
  // written before is lost where the memory has to grow.
  float* Floats(size_t count) {
    if (count > size_) {
      buffer_.reset();  // first, so that the old and the new memory never exist together
      buffer_.reset(
          static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64)));
      size_ = count;
    }
    return buffer_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> buffer_;
  size_t size_ = 0;
};

}  // namespace
}  // namespace longspan::kernels
