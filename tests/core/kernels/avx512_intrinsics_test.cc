// The AVX-512 intrinsics that the kernels use, against their rules (Intel SDM, volume 2) written
// out a lane at a time. The emulation is tested on every processor with AVX2
// (emulated_avx512_avx512_intrinsics_test), and the instructions themselves where the processor has
// them (avx512_intrinsics_test).
#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <string>

#include "core/kernels/cpu_features.h"
#include "tests/core/kernels/emulated_avx512/instructions.h"

namespace longspan::kernels {
namespace {

// Writes what the instruction gives for these operands.
using Rule = std::function<void(const Operands&, uint32_t*)>;

float F(uint32_t bits) { return std::bit_cast<float>(bits); }
uint32_t U(float value) { return std::bit_cast<uint32_t>(value); }
int32_t I(uint32_t bits) { return static_cast<int32_t>(bits); }
bool IsNaN(uint32_t bits) { return (bits & 0x7fffffff) > 0x7f800000; }

// rule(a, b, c) in each lane.
Rule Floats(float (*rule)(float, float, float)) {
  return [rule](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = U(rule(F(o.a[i]), F(o.b[i]), F(o.c[i])));
  };
}
// rule(a, b) in each lane.
Rule Ints(uint32_t (*rule)(uint32_t, uint32_t)) {
  return [rule](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = rule(o.a[i], o.b[i]);
  };
}
// rule(a, b) of each lane as a bit of a mask, which is the first number.
Rule Masks(bool (*rule)(uint32_t, uint32_t)) {
  return [rule](const Operands& o, uint32_t* out) {
    uint32_t mask = 0;
    for (int i = 0; i < 16; ++i) mask |= static_cast<uint32_t>(rule(o.a[i], o.b[i])) << i;
    *out = mask;
  };
}
// rule(a, b, whether the mask bit of the lane is set) in each lane.
Rule Masked(uint32_t (*rule)(uint32_t, uint32_t, bool)) {
  return [rule](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = rule(o.a[i], o.b[i], o.mask >> i & 1);
  };
}
// Lane i is lane from[i] of (a, b) side by side.
Rule Shuffle(const int (&from)[16]) {
  return [from](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = from[i] < 16 ? o.a[from[i]] : o.b[from[i] - 16];
  };
}
// The elements of a whose mask bit is set, of the first `count`. The others keep what was there or
// become zero.
template <class T>
Rule MaskedMemory(int count, bool keep) {
  return [=](const Operands& o, uint32_t* out) {
    if (!keep) std::memset(out, 0, count * sizeof(T));
    for (int i = 0; i < count; ++i)
      if (o.mask >> i & 1)
        std::memcpy(reinterpret_cast<T*>(out) + i, reinterpret_cast<const T*>(o.a) + i, sizeof(T));
  };
}
// Combines halves in the order of the compilers' sequences: the upper half is the first operand
// while registers get narrower. A maximum of NaN shows the order.
template <class T>
Rule Reduce(T combine) {
  return [=](const Operands& o, uint32_t* out) {
    float v[16];
    std::memcpy(v, o.a, sizeof v);
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i)
        v[i] = half >= 4 ? combine(v[i + half], v[i]) : combine(v[i], v[i + half]);
    *out = U(v[0]);
  };
}

// VSCALEFPS: a 2^floor(b). What it gives for NaN and infinities is the instruction's table of
// special cases; the processor follows it to the bit, payloads of NaN included.
uint32_t Scale(uint32_t a, uint32_t b) {
  constexpr uint32_t kQuiet = 0x00400000, kIndefinite = 0xffc00000;
  constexpr uint32_t kInfinity = 0x7f800000, kMinusInfinity = 0xff800000;
  const uint32_t sign = a & 0x80000000, magnitude = a & 0x7fffffff;
  if (IsNaN(a)) {
    const bool signals = (a & kQuiet) == 0;
    if (!signals && b == kInfinity) return kInfinity;
    if (!signals && b == kMinusInfinity) return 0;
    return a | kQuiet;
  }
  if (IsNaN(b)) return b | kQuiet;
  if (b == kInfinity) return magnitude == 0 ? kIndefinite : sign | kInfinity;
  if (b == kMinusInfinity) return magnitude == kInfinity ? kIndefinite : sign;
  const float power = std::floor(std::clamp(F(b), -1000.0f, 1000.0f));
  return U(std::scalbn(F(a), static_cast<int>(power)));
}

uint32_t ToBFloat16(uint32_t bits) {
  if ((bits & 0x7f800000) == 0) return bits >> 16 & 0x8000;  // zero or denormal
  if (IsNaN(bits)) return bits >> 16 | 0x40;
  const uint32_t rest = bits & 0xffff, high = bits >> 16;
  return rest > 0x8000 || (rest == 0x8000 && (high & 1)) ? high + 1 : high;
}

float Flush(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }
float DotPair(uint32_t a, uint32_t b, float sum) {
  sum = Flush(std::fma(Flush(F(a & 0xffff0000)), Flush(F(b & 0xffff0000)), Flush(sum)));
  return Flush(std::fma(Flush(F(a << 16)), Flush(F(b << 16)), sum));
}

std::map<std::string, Rule> Rules() {
  std::map<std::string, Rule> rules;
  rules["add_ps"] = Floats([](float a, float b, float) { return a + b; });
  rules["sub_ps"] = Floats([](float a, float b, float) { return a - b; });
  rules["mul_ps"] = Floats([](float a, float b, float) { return a * b; });
  rules["div_ps"] = Floats([](float a, float b, float) { return a / b; });
  rules["fmadd_ps"] = Floats([](float a, float b, float c) { return std::fma(a, b, c); });
  rules["fmsub_ps"] = Floats([](float a, float b, float c) { return std::fma(a, b, -c); });
  rules["fnmadd_ps"] = Floats([](float a, float b, float c) { return std::fma(-a, b, c); });
  rules["roundscale_ps"] = Floats([](float a, float, float) { return std::nearbyint(a); });
  rules["scalef_ps"] = Ints(Scale);
  // These move bits, so a NaN keeps its payload.
  rules["max_ps"] = Ints([](uint32_t a, uint32_t b) { return F(a) > F(b) ? a : b; });
  rules["min_ps"] = Ints([](uint32_t a, uint32_t b) { return F(a) < F(b) ? a : b; });
  rules["abs_ps"] = Ints([](uint32_t a, uint32_t) { return a & 0x7fffffff; });
  rules["and_ps"] = rules["and_si512"] = Ints([](uint32_t a, uint32_t b) { return a & b; });
  rules["or_ps"] = rules["or_si512"] = Ints([](uint32_t a, uint32_t b) { return a | b; });
  rules["castps_si512"] = Ints([](uint32_t a, uint32_t) { return a; });
  rules["reduce_add_ps"] = Reduce([](float a, float b) { return a + b; });
  rules["reduce_max_ps"] = Reduce([](float a, float b) { return a > b ? a : b; });
  rules["set1_ps"] = rules["set1_epi32"] = [](const Operands& o, uint32_t* out) {
    std::fill(out, out + 16, o.a[0]);
  };
  rules["setzero_ps"] =
      rules["setzero_si512"] = [](const Operands&, uint32_t* out) { std::fill(out, out + 16, 0u); };
  rules["setr_epi32"] = [](const Operands&, uint32_t* out) {
    for (uint32_t i = 0; i < 16; ++i) out[i] = i;
  };
  rules["add_epi32"] = Ints([](uint32_t a, uint32_t b) { return a + b; });
  rules["max_epi32"] = Ints([](uint32_t a, uint32_t b) { return I(a) > I(b) ? a : b; });
  rules["reduce_add_epi32"] = [](const Operands& o, uint32_t* out) {
    *out = std::accumulate(o.a, o.a + 16, 0u);
  };
  rules["reduce_max_epi32"] = [](const Operands& o, uint32_t* out) {
    *out = *std::max_element(o.a, o.a + 16, [](uint32_t a, uint32_t b) { return I(a) < I(b); });
  };
  rules["dpbusd_epi32"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) {
      int64_t sum = I(o.c[i]);
      for (int byte = 0; byte < 32; byte += 8)
        sum += int64_t{o.a[i] >> byte & 255} * static_cast<int8_t>(o.b[i] >> byte & 255);
      out[i] = static_cast<uint32_t>(sum);
    }
  };
  rules["slli_epi32"] = Ints([](uint32_t a, uint32_t) { return a << 16; });
  rules["srli_epi32"] = Ints([](uint32_t a, uint32_t) { return a >> 16; });
  rules["cmp_ps_mask_unord"] = Masks([](uint32_t a, uint32_t b) { return IsNaN(a) || IsNaN(b); });
  rules["cmpge_epi32_mask"] = Masks([](uint32_t a, uint32_t b) { return I(a) >= I(b); });
  rules["cmple_epi32_mask"] = Masks([](uint32_t a, uint32_t b) { return I(a) <= I(b); });
  rules["mask_mov_epi32"] = rules["mask_mov_ps"] =
      Masked([](uint32_t a, uint32_t b, bool set) { return set ? b : a; });
  rules["maskz_mov_ps"] = Masked([](uint32_t a, uint32_t, bool set) { return set ? a : 0u; });
  rules["maskz_sub_ps"] =
      Masked([](uint32_t a, uint32_t b, bool set) { return set ? U(F(a) - F(b)) : 0u; });
  rules["cvtps_epi32"] = Ints([](uint32_t a, uint32_t) {
    const double rounded = std::nearbyint(static_cast<double>(F(a)));
    return rounded >= -0x1p31 && rounded < 0x1p31
               ? static_cast<uint32_t>(static_cast<int32_t>(rounded))
               : 0x80000000u;
  });
  rules["cvtepi32_ps"] = Ints([](uint32_t a, uint32_t) { return U(static_cast<float>(I(a))); });
  rules["cvtepi32_epi8"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) reinterpret_cast<uint8_t*>(out)[i] = static_cast<uint8_t>(o.a[i]);
  };
  rules["cvtepu16_epi32"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = o.a[i / 2] >> (i % 2 * 16) & 0xffff;
  };
  rules["cvtepi32_epi16"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i)
      reinterpret_cast<uint16_t*>(out)[i] = static_cast<uint16_t>(o.a[i]);
  };
  rules["cvtusepi32_epi8"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i)
      reinterpret_cast<uint8_t*>(out)[i] = static_cast<uint8_t>(std::min(o.a[i], 255u));
  };
  rules["shuffle_ps_44"] = Shuffle({0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29});
  rules["shuffle_ps_ee"] = Shuffle({2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31});
  rules["shuffle_f32x4_88"] = Shuffle({0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27});
  rules["shuffle_f32x4_dd"] = Shuffle({4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31});
  rules["unpacklo_ps"] = Shuffle({0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29});
  rules["unpackhi_ps"] = Shuffle({2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31});
  rules["permutexvar_epi16"] = [](const Operands& o, uint32_t* out) {
    const uint16_t* index = reinterpret_cast<const uint16_t*>(o.a);
    const uint16_t* from = reinterpret_cast<const uint16_t*>(o.b);
    for (int i = 0; i < 32; ++i) reinterpret_cast<uint16_t*>(out)[i] = from[index[i] % 32];
  };
  rules["cvtneps_pbh"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i)
      reinterpret_cast<uint16_t*>(out)[i] = static_cast<uint16_t>(ToBFloat16(o.a[i]));
  };
  // The second operand fills the lower half.
  rules["cvtne2ps_pbh"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 32; ++i)
      reinterpret_cast<uint16_t*>(out)[i] =
          static_cast<uint16_t>(ToBFloat16(i < 16 ? o.b[i] : o.a[i - 16]));
  };
  rules["dpbf16_ps"] = [](const Operands& o, uint32_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = U(DotPair(o.a[i], o.b[i], F(o.c[i])));
  };
  rules["maskz_loadu_ps"] = MaskedMemory<uint32_t>(16, false);
  rules["maskz_loadu_epi16"] = MaskedMemory<uint16_t>(32, false);
  rules["maskz_loadu_epi16_256"] = MaskedMemory<uint16_t>(16, false);
  rules["mask_storeu_ps"] = MaskedMemory<uint32_t>(16, true);
  rules["mask_storeu_epi16_256"] = MaskedMemory<uint16_t>(16, true);
  rules["mask_storeu_epi8_128"] = MaskedMemory<uint8_t>(16, true);
  return rules;
}

// Zeros, denormals, ties of rounding, values that saturate, infinities, and NaN, quiet and
// signalling.
constexpr uint32_t kEdges[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x00008000,
    0x3f800000, 0xbf800000, 0x3f000000, 0x3fc00000, 0x40200000, 0xc0200000, 0x3f808000, 0x3f818000,
    0x3f808001, 0x3f807fff, 0x7f7fffff, 0xff7fffff, 0x7f7f8000, 0x7f800000, 0xff800000, 0x7fc00000,
    0xffc01234, 0x7f800001, 0x7f808000, 0x000000fe, 0x000000ff, 0x00000100, 0xffffffff, 0x4f000000,
    0xcf000000, 0x4effffff, 0xcf000001, 0x43160000, 0xc3160000, 0x42fe0000, 0xc2fd0000, 0xc3150000};

uint32_t Draw(std::mt19937& random) {
  switch (random() % 4) {
    case 0:
      return kEdges[random() % std::size(kEdges)];
    case 1:
      return static_cast<uint32_t>(random());
    default:
      return U(std::normal_distribution<float>(0.0f, random() % 2 ? 2.0f : 60.0f)(random));
  }
}

// Instructions that compute may answer with any NaN. Those that move or convert bits may not, nor
// may VSCALEFPS, whose NaN the emulation gives as the processor does.
bool AnyNaNWillDo(const std::string& name) {
  for (const char* one :
       {"add_ps", "sub_ps", "mul_ps", "div_ps", "roundscale_ps", "reduce_add_ps", "dpbf16_ps"})
    if (name.ends_with(one)) return true;
  return false;
}

// The instruction and its rule on one set of operands.
void ExpectFollowsItsRule(const Instruction& instruction, const Rule& rule, const Operands& o) {
  alignas(64) uint32_t got[16], want[16];
  std::memcpy(got, o.c, sizeof got);
  std::memcpy(want, o.c, sizeof want);
  instruction.run(o, got);
  rule(o, want);
  for (int i = 0; i < 16; ++i) {
    if (AnyNaNWillDo(instruction.name) && IsNaN(got[i]) && IsNaN(want[i])) continue;
    ASSERT_EQ(got[i], want[i]) << instruction.name << " lane " << i << " of " << std::hex << o.a[i]
                               << " " << o.b[i] << " " << o.c[i];
  }
}

TEST(Avx512Intrinsics, FollowTheirRules_OnRandomAndEdgeOperands) {
  if (!GetCpuFeatures().avx512_bf16 || !GetCpuFeatures().avx512_vnni)
    GTEST_SKIP() << "this processor has no AVX-512 with bfloat16 and VNNI";
  std::map<std::string, Rule> rules = Rules();
  std::mt19937 random(1);
  for (const Instruction& instruction : Instructions()) {
    ASSERT_TRUE(rules.contains(instruction.name)) << instruction.name;
    for (int round = 0; round < 2000; ++round) {
      Operands o;
      for (uint32_t* operand : {o.a, o.b, o.c})
        for (int i = 0; i < 16; ++i) operand[i] = Draw(random);
      o.mask = static_cast<uint32_t>(random());
      ASSERT_NO_FATAL_FAILURE(ExpectFollowsItsRule(instruction, rules[instruction.name], o));
    }
    rules.erase(instruction.name);
  }
  EXPECT_TRUE(rules.empty()) << rules.begin()->first << " has a rule but was not run";
}

// VSCALEFPS has a case of its own for every kind of a and b, of which random operands might miss
// one.
TEST(Avx512Intrinsics, Scalef_FollowsItsRule_OnEveryPairOfEdges) {
  if (!GetCpuFeatures().avx512_bf16 || !GetCpuFeatures().avx512_vnni)
    GTEST_SKIP() << "this processor has no AVX-512 with bfloat16 and VNNI";
  const Rule rule = Ints(Scale);
  for (const Instruction& instruction : Instructions()) {
    if (std::string(instruction.name) != "scalef_ps") continue;
    for (uint32_t a : kEdges) {
      for (uint32_t b : kEdges) {
        Operands o = {};
        std::fill(std::begin(o.a), std::end(o.a), a);
        std::fill(std::begin(o.b), std::end(o.b), b);
        ASSERT_NO_FATAL_FAILURE(ExpectFollowsItsRule(instruction, rule, o));
      }
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
