#include "core/kernels/lsh_hash_tile.h"

namespace longspan::kernels {

// Six rows of two vectors are twelve sums, which leaves four of the sixteen registers to work with.
void LshHashAvx2(const LshHashParams& params) {
  thread_local Scratch scratch;
  LshHashTile<8, 6>(params, scratch).Run();
}

}  // namespace longspan::kernels
