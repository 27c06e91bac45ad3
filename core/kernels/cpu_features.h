// Which kernel implementation this processor runs, found once by cpuid.
#pragma once

namespace longspan::kernels {

struct CpuFeatures {
  bool avx2 = false;         // AVX2 and FMA
  bool avx512 = false;       // F, BW, DQ, VL with OS support
  bool avx512_bf16 = false;  // VDPBF16PS
  bool avx512_vnni = false;  // VPDPBUSD
};

const CpuFeatures& GetCpuFeatures();

}  // namespace longspan::kernels
