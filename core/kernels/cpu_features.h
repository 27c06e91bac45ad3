// The instruction sets of this processor that kernels are written for, found once by cpuid. The
// operating system must support them as well. implementation.h chooses a kernel's code by them.
#pragma once

namespace longspan::kernels {

struct CpuFeatures {
  bool avx2 = false;         // AVX2 and FMA
  bool avx512 = false;       // AVX-512 F, BW, DQ and VL, and FMA
  bool avx512_bf16 = false;  // avx512, and VDPBF16PS: products of bfloat16
  bool avx512_vnni = false;  // avx512, and VPDPBUSD: products of int8

  // An int8 model keeps its rows (hidden states, queries, keys, values) in bfloat16. That halves
  // the memory to move where rounding to bfloat16 is one instruction.
  bool bfloat16_rows = false;

  // Intel's cores: VDPBF16PS has less than the rate of a float32 multiply-add there. Measured on
  // Emerald Rapids: row attention of bfloat16 ran at 128 GFLOP/s with it, of float32 at 205.
  bool slow_vdpbf16ps = false;
};

const CpuFeatures& GetCpuFeatures();

}  // namespace longspan::kernels
