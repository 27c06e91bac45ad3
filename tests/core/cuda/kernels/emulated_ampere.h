// The functions of core/cuda/kernels/ampere.cuh on the emulated device.
#pragma once

#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_storage.h"

namespace longspan::cuda {

template <typename T>
float LowNumber(uint32_t pair) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return LowBfloat16(pair);
  } else {
    return FromFloat16(static_cast<uint16_t>(pair));
  }
}
template <typename T>
float HighNumber(uint32_t pair) {
  return LowNumber<T>(pair >> 16);
}

inline float Exp2(float x) { return std::exp2(x); }

inline uint8_t* LaunchedShared() { return emulation::Machine().shared; }

namespace emulation {

inline void DoCopy(const Copy& copy) {
  if (copy.read) {
    std::memcpy(copy.to, copy.from, 16);
  } else {
    std::memset(copy.to, 0, 16);
  }
}

inline void LoadMatrices(uint32_t (&m)[4], const void* row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) Fail("a row of a matrix is not aligned");
  WarpSlots& warp = Warp();
  const int lane = Lane();
  warp.address[lane] = row;
  Together(warp.group, transposed ? 5 : 4, [&] {
    for (int i = 0; i < 4 * kWarp; ++i) {
      const int matrix = i / kWarp, l = i % kWarp;
      uint32_t pair = 0;
      for (int e = 0; e < 2; ++e) {
        const int along = l % 4 * 2 + e, across = l / 4;
        const void* address = warp.address[matrix * 8 + (transposed ? along : across)];
        uint16_t element;
        std::memcpy(&element, static_cast<const char*>(address) + 2 * (transposed ? across : along),
                    2);
        pair |= static_cast<uint32_t>(element) << (16 * e);
      }
      warp.out[l][matrix] = pair;
    }
  });
  std::copy_n(warp.out[lane], 4, m);
}

// c += a b of a whole warp, as the lanes hold them (PTX ISA 9.0, sec. 9.7.14.5.8, m16n8k16).
template <typename T>
void MultiplyWarp(WarpSlots& warp) {
  float a[16][16], b[16][8];
  for (int l = 0; l < kWarp; ++l) {
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + i % 2 * 8, k = l % 4 * 2 + i / 2 * 8;
      a[row][k] = LowNumber<T>(warp.in[l][i]);
      a[row][k + 1] = HighNumber<T>(warp.in[l][i]);
    }
    for (int i = 0; i < 2; ++i) {
      const int k = l % 4 * 2 + i * 8;
      b[k][l / 4] = LowNumber<T>(warp.in[l][4 + i]);
      b[k + 1][l / 4] = HighNumber<T>(warp.in[l][4 + i]);
    }
  }
  for (int l = 0; l < kWarp; ++l) {
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + i / 2 * 8, column = l % 4 * 2 + i % 2;
      float sum;
      std::memcpy(&sum, &warp.in[l][6 + i], 4);
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      std::memcpy(&warp.out[l][i], &sum, 4);
    }
  }
}

}  // namespace emulation

inline void CopyAsync16(void* to, const void* from, bool read) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    emulation::Fail("a copy is not aligned");
  }
  // An address that may not be read ends the test here, also where nothing is read.
  [[maybe_unused]] const volatile uint8_t touched = *static_cast<const volatile uint8_t*>(from);
  emulation::Fiber& self = emulation::Self();
  const emulation::Copy copy{to, from, read, self.copy_group};
  if (emulation::Machine().early_copies) emulation::DoCopy(copy);
  self.copies.push_back(copy);
}
inline void CopyCommit() { ++emulation::Self().copy_group; }
template <int kLeft>
void CopyWait() {
  emulation::Fiber& self = emulation::Self();
  const auto is_due = [&](const emulation::Copy& copy) {
    return copy.group < self.copy_group - kLeft;
  };
  if (!emulation::Machine().early_copies) {
    for (const emulation::Copy& copy : self.copies) {
      if (is_due(copy)) emulation::DoCopy(copy);
    }
  }
  self.copies.erase(std::remove_if(self.copies.begin(), self.copies.end(), is_due),
                    self.copies.end());
}

inline void LoadMatrices(uint32_t (&m)[4], const void* row) {
  emulation::LoadMatrices(m, row, false);
}
inline void LoadMatricesTransposed(uint32_t (&m)[4], const void* row) {
  emulation::LoadMatrices(m, row, true);
}

template <typename T = __nv_bfloat16>
void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulation::WarpSlots& warp = emulation::Warp();
  const int lane = emulation::Lane();
  uint32_t* in = warp.in[lane];
  std::copy_n(a, 4, in);
  in[4] = b0;
  in[5] = b1;
  std::memcpy(in + 6, c, 16);
  emulation::Together(warp.group, 6, [&] { emulation::MultiplyWarp<T>(warp); });
  std::memcpy(c, warp.out[lane], 16);
}

}  // namespace longspan::cuda
