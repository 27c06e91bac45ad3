#include "core/kernels/lsh_hash_tile.h"

namespace longspan::kernels {

void LshHashPortable(const LshHashParams& params) {
  thread_local Scratch scratch;
  LshHashTile<4, 4>(params, scratch).Run();
}

}  // namespace longspan::kernels
