#if defined(__x86_64__)
#include "core/kernels/lsh_hash_tile.h"

namespace longspan::kernels {

void LshHashAvx2(const LshHashParams& params) {
  thread_local Scratch scratch;
  LshHashTile<8, 6>(params, scratch).Run();
}

}  // namespace longspan::kernels
#endif
