// The AVX-512 instructions that the kernels use, each as a function over plain memory:
// instructions.cc is compiled once against the emulation and once for the processor's own, and
// avx512_intrinsics_test holds both against the rules.
#pragma once

#include <cstdint>

namespace longspan::kernels {

struct Operands {
  alignas(64) uint32_t a[16], b[16], c[16];
  uint32_t mask;  // bit i belongs to element i
};

struct Instruction {
  const char* name;
  // Writes the result to `out`, which holds operands.c before: [16], aligned to 64 bytes.
  void (*run)(const Operands& operands, uint32_t* out);
};

struct InstructionList {
  const Instruction* begin_;
  const Instruction* end_;
  const Instruction* begin() const { return begin_; }
  const Instruction* end() const { return end_; }
};
InstructionList Instructions();

}  // namespace longspan::kernels
