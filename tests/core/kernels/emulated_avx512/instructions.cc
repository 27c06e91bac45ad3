#include "tests/core/kernels/emulated_avx512/instructions.h"

#include <immintrin.h>

namespace longspan::kernels {
namespace {

__m512i Int(const uint32_t* lanes) { return _mm512_load_si512(lanes); }
__m512 Float(const uint32_t* lanes) { return _mm512_castsi512_ps(Int(lanes)); }
float First(const uint32_t* lanes) {
  float first;
  __builtin_memcpy(&first, lanes, 4);
  return first;
}
__m256i Half(const uint32_t* lanes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));
}
__m128i Quarter(const uint32_t* lanes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes));
}
// A number of 32 bits as what Put takes.
struct Number {
  int32_t value;
};
Number Whole(int32_t value) { return {value}; }
__mmask16 Mask(const Operands& o) { return static_cast<__mmask16>(o.mask); }

void Put(uint32_t* out, __m512i v) { _mm512_storeu_si512(out, v); }
void Put(uint32_t* out, __m512 v) { _mm512_storeu_ps(out, v); }
void Put(uint32_t* out, __m256i v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), v); }
void Put(uint32_t* out, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), v); }
void Put(uint32_t* out, float v) { __builtin_memcpy(out, &v, 4); }
void Put(uint32_t* out, __mmask16 v) { *out = v; }
void Put(uint32_t* out, Number v) { *out = static_cast<uint32_t>(v.value); }

#define A Float(o.a)
#define B Float(o.b)
#define C Float(o.c)
#define INSTRUCTION(name, result)                                    \
  {                                                                  \
    name, [](const Operands& o, uint32_t* out) { Put(out, result); } \
  }
#define STORE(name, statement)                                \
  {                                                           \
    name, [](const Operands& o, uint32_t* out) { statement; } \
  }

constexpr Instruction kInstructions[] = {
    INSTRUCTION("add_ps", _mm512_add_ps(A, B)),
    INSTRUCTION("sub_ps", _mm512_sub_ps(A, B)),
    INSTRUCTION("mul_ps", _mm512_mul_ps(A, B)),
    INSTRUCTION("div_ps", _mm512_div_ps(A, B)),
    INSTRUCTION("fmadd_ps", _mm512_fmadd_ps(A, B, C)),
    INSTRUCTION("fmsub_ps", _mm512_fmsub_ps(A, B, C)),
    INSTRUCTION("fnmadd_ps", _mm512_fnmadd_ps(A, B, C)),
    INSTRUCTION("max_ps", _mm512_max_ps(A, B)),
    INSTRUCTION("min_ps", _mm512_min_ps(A, B)),
    INSTRUCTION("abs_ps", _mm512_abs_ps(A)),
    INSTRUCTION("and_ps", _mm512_and_ps(A, B)),
    INSTRUCTION("or_ps", _mm512_or_ps(A, B)),
    INSTRUCTION("roundscale_ps",
                _mm512_roundscale_ps(A, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)),
    INSTRUCTION("scalef_ps", _mm512_scalef_ps(A, B)),
    INSTRUCTION("reduce_add_ps", _mm512_reduce_add_ps(A)),
    INSTRUCTION("reduce_max_ps", _mm512_reduce_max_ps(A)),
    INSTRUCTION("set1_ps", _mm512_set1_ps(First(o.a))),
    INSTRUCTION("set1_epi32", _mm512_set1_epi32(static_cast<int>(o.a[0]))),
    INSTRUCTION("setr_epi32",
                _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
    INSTRUCTION("setzero_ps", _mm512_setzero_ps()),
    INSTRUCTION("setzero_si512", _mm512_setzero_si512()),
    INSTRUCTION("add_epi32", _mm512_add_epi32(Int(o.a), Int(o.b))),
    INSTRUCTION("max_epi32", _mm512_max_epi32(Int(o.a), Int(o.b))),
    INSTRUCTION("reduce_add_epi32", Whole(_mm512_reduce_add_epi32(Int(o.a)))),
    INSTRUCTION("reduce_max_epi32", Whole(_mm512_reduce_max_epi32(Int(o.a)))),
    INSTRUCTION("dpbusd_epi32", _mm512_dpbusd_epi32(Int(o.c), Int(o.a), Int(o.b))),
    INSTRUCTION("and_si512", _mm512_and_si512(Int(o.a), Int(o.b))),
    INSTRUCTION("or_si512", _mm512_or_si512(Int(o.a), Int(o.b))),
    INSTRUCTION("slli_epi32", _mm512_slli_epi32(Int(o.a), 16)),
    INSTRUCTION("srli_epi32", _mm512_srli_epi32(Int(o.a), 16)),
    INSTRUCTION("castps_si512", _mm512_castps_si512(A)),
    INSTRUCTION("cmp_ps_mask_unord", _mm512_cmp_ps_mask(A, B, _CMP_UNORD_Q)),
    INSTRUCTION("cmpge_epi32_mask", _mm512_cmpge_epi32_mask(Int(o.a), Int(o.b))),
    INSTRUCTION("cmple_epi32_mask", _mm512_cmple_epi32_mask(Int(o.a), Int(o.b))),
    INSTRUCTION("mask_mov_epi32", _mm512_mask_mov_epi32(Int(o.a), Mask(o), Int(o.b))),
    INSTRUCTION("mask_mov_ps", _mm512_mask_mov_ps(A, Mask(o), B)),
    INSTRUCTION("maskz_mov_ps", _mm512_maskz_mov_ps(Mask(o), A)),
    INSTRUCTION("maskz_sub_ps", _mm512_maskz_sub_ps(Mask(o), A, B)),
    INSTRUCTION("cvtps_epi32", _mm512_cvtps_epi32(A)),
    INSTRUCTION("cvtepi32_ps", _mm512_cvtepi32_ps(Int(o.a))),
    INSTRUCTION("cvtepi32_epi8", _mm512_cvtepi32_epi8(Int(o.a))),
    INSTRUCTION("cvtepu16_epi32", _mm512_cvtepu16_epi32(Half(o.a))),
    INSTRUCTION("cvtepi32_epi16", _mm512_cvtepi32_epi16(Int(o.a))),
    INSTRUCTION("cvtusepi32_epi8", _mm512_cvtusepi32_epi8(Int(o.a))),
    INSTRUCTION("shuffle_ps_44", _mm512_shuffle_ps(A, B, 0x44)),
    INSTRUCTION("shuffle_ps_ee", _mm512_shuffle_ps(A, B, 0xee)),
    INSTRUCTION("shuffle_f32x4_88", _mm512_shuffle_f32x4(A, B, 0x88)),
    INSTRUCTION("shuffle_f32x4_dd", _mm512_shuffle_f32x4(A, B, 0xdd)),
    INSTRUCTION("unpacklo_ps", _mm512_unpacklo_ps(A, B)),
    INSTRUCTION("unpackhi_ps", _mm512_unpackhi_ps(A, B)),
    INSTRUCTION("permutexvar_epi16", _mm512_permutexvar_epi16(Int(o.a), Int(o.b))),
    INSTRUCTION("cvtneps_pbh", (__m256i)_mm512_cvtneps_pbh(A)),
    INSTRUCTION("cvtne2ps_pbh", (__m512i)_mm512_cvtne2ps_pbh(A, B)),
    INSTRUCTION("dpbf16_ps", _mm512_dpbf16_ps(C, (__m512bh)A, (__m512bh)B)),
    INSTRUCTION("maskz_loadu_ps", _mm512_maskz_loadu_ps(Mask(o), o.a)),
    INSTRUCTION("maskz_loadu_epi16", _mm512_maskz_loadu_epi16(o.mask, o.a)),
    INSTRUCTION("maskz_loadu_epi16_256", _mm256_maskz_loadu_epi16(Mask(o), o.a)),
    STORE("mask_storeu_ps", _mm512_mask_storeu_ps(out, Mask(o), A)),
    STORE("mask_storeu_epi16_256", _mm256_mask_storeu_epi16(out, Mask(o), Half(o.a))),
    STORE("mask_storeu_epi8_128", _mm_mask_storeu_epi8(out, Mask(o), Quarter(o.a))),
};

}  // namespace

InstructionList Instructions() {
  return {kInstructions, kInstructions + sizeof kInstructions / sizeof *kInstructions};
}

}  // namespace longspan::kernels
