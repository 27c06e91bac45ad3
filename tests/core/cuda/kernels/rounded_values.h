// Whether a kernel's result is the exact one, rounded to the type it is stored in.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/cuda/kernels/kernels.h"
#include "tests/cuda/host_values.h"

namespace longspan::cuda {

// Half a unit in the last place: 8 bits of bfloat16, 11 bits of float16, which has a least step.
inline double RoundingOf(double x, Storage storage) {
  return storage == Storage::kBfloat16 ? std::ldexp(std::fabs(x), -8)
                                       : std::ldexp(std::fabs(x), -11) + std::ldexp(1.0, -25);
}

// `slack` is what the arithmetic in float32 may add, relative to 1 + |want|.
inline testing::AssertionResult IsRounded(uint16_t got, double want, Storage storage,
                                          double slack) {
  const double value = FromStorage(got, storage);
  const double most = RoundingOf(want, storage) + slack * (1 + std::fabs(want));
  if (std::fabs(value - want) <= most) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "got " << value << ", exact is " << want << ", which may be " << most << " away";
}

// The first of `got` that is not `want`, rounded. All of `want` is looked at.
template <typename Got>
testing::AssertionResult AreRounded(const Got& got, const std::vector<double>& want,
                                    Storage storage, double slack) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (testing::AssertionResult is = IsRounded(got[i], want[i], storage, slack); !is) {
      return is << ", value " << i;
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace longspan::cuda
