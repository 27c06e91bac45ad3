// Implementation: one form of a kernel, for one instruction set. This is the one way in which
// kernels choose the code for the processor they run on:
//
//   - Each form is a function in a file of its own, which is compiled for its instruction set:
//     *_portable.cc, *_avx2.cc, *_avx512.cc.
//   - The kernel lists its forms, the preferred first, in a function named after it, such as
//     LshHashImplementations(). The list leaves out what this processor does not support.
//   - The kernel's public function runs the first of the list. Tests run all of them, by name.
//
// A new form is a new file and a new line of its kernel's list. Only files that are compiled for
// every processor call Supported. Proven by implementation_test.
#pragma once

#include <vector>

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

// `Function` is a function type, for example void(const LshHashParams&).
template <class Function>
struct Implementation {
  const char* name;          // "portable", "avx2", "avx512", "avx512_bf16", "avx512_vnni" or both
  bool CpuFeatures::*needs;  // what the processor must have; null = every processor runs it
  Function* run;
};

// Those of `all` that a processor with these features runs, in the same order.
template <class Function>
std::vector<Implementation<Function>> Supported(std::vector<Implementation<Function>> all,
                                                const CpuFeatures& features = GetCpuFeatures()) {
  std::erase_if(all, [&features](const Implementation<Function>& one) {
    return one.needs != nullptr && !(features.*one.needs);
  });
  return all;
}

}  // namespace longspan::kernels
