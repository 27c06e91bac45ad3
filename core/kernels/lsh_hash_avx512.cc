#include "core/kernels/lsh_hash_tile.h"

namespace longspan::kernels {

// Eight rows of two vectors are sixteen sums, of 32 registers.
void LshHashAvx512(const LshHashParams& params) {
  thread_local Scratch scratch;
  LshHashTile<16, 8>(params, scratch).Run();
}

}  // namespace longspan::kernels
