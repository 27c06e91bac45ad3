#include "core/kernels/lsh_hash_tile.h"

namespace longspan::kernels {

// Four rows of two vectors are eight sums, of sixteen registers.
void LshHashPortable(const LshHashParams& params) {
  thread_local Scratch scratch;
  LshHashTile<4, 4>(params, scratch).Run();
}

}  // namespace longspan::kernels
