// Elements: numbers as a kernel reads and writes them, float32 or bfloat16, for tests that run a
// kernel with both types. Behind the last one lie kGuard elements that no kernel may change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/kernels/bfloat16.h"
#include "core/kernels/element_type.h"

namespace longspan::kernels {

class Elements {
 public:
  static constexpr size_t kGuard = 40;  // more than a vector of the widest instruction set

  // Holds `values`, rounded to the type.
  Elements(const std::vector<float>& values, ElementType type) : Elements(values.size(), type) {
    for (size_t i = 0; i < values.size(); ++i) Set(i, values[i]);
  }
  // Holds `size` elements that count as untouched until they are written.
  Elements(size_t size, ElementType type) : size_(size), type_(type) {
    FromFloat(kUntouched, &half_untouched_);
    if (type == ElementType::kFloat32)
      floats_.assign(size + kGuard, kUntouched);
    else
      halves_.assign(size + kGuard, half_untouched_);
  }

  ElementType type() const { return type_; }
  size_t size() const { return size_; }
  void* at(size_t i) {
    return type_ == ElementType::kFloat32 ? static_cast<void*>(&floats_[i])
                                          : static_cast<void*>(&halves_[i]);
  }
  void Set(size_t i, float value) {
    if (type_ == ElementType::kFloat32)
      FromFloat(value, &floats_[i]);
    else
      FromFloat(value, &halves_[i]);
  }
  float operator[](size_t i) const {
    return type_ == ElementType::kFloat32 ? floats_[i] : ToFloat(halves_[i]);
  }
  uint32_t bits(size_t i) const {
    uint32_t bits = 0;
    type_ == ElementType::kFloat32 ? std::memcpy(&bits, &floats_[i], 4)
                                   : std::memcpy(&bits, &halves_[i], 2);
    return bits;
  }

  bool IsUntouched(size_t i) const {
    return type_ == ElementType::kFloat32 ? floats_[i] == kUntouched
                                          : halves_[i].bits == half_untouched_.bits;
  }
  bool GuardIsUntouched() const {
    for (size_t i = size_; i < size_ + kGuard; ++i)
      if (!IsUntouched(i)) return false;
    return true;
  }

 private:
  static constexpr float kUntouched = -12345.5f;
  size_t size_;
  ElementType type_;
  BFloat16 half_untouched_ = {};
  std::vector<float> floats_;
  std::vector<BFloat16> halves_;
};

}  // namespace longspan::kernels
