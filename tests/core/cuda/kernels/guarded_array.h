// An array that ends at a page that must not be touched, filled with 0xff (NaNs, as floats): what a
// kernel reads or writes behind it ends the test, and what it reads before it is written shows.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace longspan::cuda {

template <typename T>
class GuardedArray {
 public:
  explicit GuardedArray(size_t count) : count_(count) {
    constexpr size_t kPage = 4096;
    const size_t bytes = (count * sizeof(T) + 15) / 16 * 16;
    mapped_ = (bytes + kPage - 1) / kPage * kPage + kPage;
    void* const base =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<char*>(base);
    char* const guard = base_ + mapped_ - kPage;
    if (mprotect(guard, kPage, PROT_NONE) != 0) std::abort();
    std::memset(guard - bytes, 0xff, bytes);
    data_ = reinterpret_cast<T*>(guard - bytes);
  }
  explicit GuardedArray(const std::vector<T>& values) : GuardedArray(values.size()) {
    std::copy(values.begin(), values.end(), data_);
  }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;
  ~GuardedArray() { munmap(base_, mapped_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  size_t count_;
  size_t mapped_ = 0;
  char* base_ = nullptr;
  T* data_ = nullptr;
};

}  // namespace longspan::cuda
