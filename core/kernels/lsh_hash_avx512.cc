#if defined(__x86_64__)
#include "core/kernels/lsh_hash_tile.h"

namespace longspan::kernels {

void LshHashAvx512(const LshHashParams& params) {
  thread_local Scratch scratch;
  LshHashTile<16, 8>(params, scratch).Run();
}

}  // namespace longspan::kernels
#endif
