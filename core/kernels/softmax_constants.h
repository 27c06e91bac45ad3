// Numbers that every softmax of the kernels is made with. The attention kernels compute e^x as
// 2^(x log2(e)), and 2^x as 2^n 2^r with n the integer nearest to x and |r| <= 1/2.
#pragma once

namespace longspan::kernels {

constexpr float kLog2OfE = 1.44269504f;

// Added to a float between -2^22 and 2^22 and taken away again, 1.5 * 2^23 rounds it to an integer:
// at that size a step of float32 is 1.
constexpr float kRoundToInteger = 12582912.0f;

// 2^r for |r| <= 1/2 as a polynomial: the coefficients of 1, r, r^2, ... r^5. They make the largest
// relative error as small as it can be, 7.5e-8. At r = 0 the polynomial is 1.00000012.
constexpr float kExp2Terms[6] = {1.00000012f,   0.693146944f,   0.240221202f,
                                 0.0555071309f, 0.00967554096f, 0.00132764725f};

// The same with a relative error of 1e-7, as 1 plus a polynomial: the coefficients of r, r^2, ...
// r^6. It is exactly 1 at r = 0: Reformer's rule needs e^0 = 1. Source: Cephes, exp2f.
constexpr float kExp2TermsAboveOne[6] = {6.931472028550421e-1f, 2.402264791363012e-1f,
                                         5.550332471162809e-2f, 9.618437357674640e-3f,
                                         1.339887440266574e-3f, 1.535336188319500e-4f};

// The score of a key that is hidden. It is finite, so that no infinity meets another one, and so
// low that its weight 2^(kHiddenScore * scale) is 0 for any scale in use.
constexpr float kHiddenScore = -1e30f;

}  // namespace longspan::kernels
