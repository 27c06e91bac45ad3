// BandAttention as its declaration describes it, in plain loops: what EmulatedCard calls in place
// of the kernel. It reads the tiles' blocks, texts and globals from where the kernel reads them.
#include <cmath>
#include <cstring>
#include <vector>

#include "core/cuda/kernels/kernels.h"

namespace longspan::cuda {
namespace {

uint32_t BitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
float FloatOf(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// bfloat16 only: it is what the tests run.
float Read(const void* values, int64_t i) {
  return FloatOf(uint32_t{static_cast<const uint16_t*>(values)[i]} << 16);
}
void Write(void* values, int64_t i, float x) {
  const uint32_t bits = BitsOf(x);
  static_cast<uint16_t*>(values)[i] =
      static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

class PlainRow {
 public:
  PlainRow(const BandAttentionParams& params, int64_t row, int head)
      : params_(params), row_(row), head_(head), sum_(params.head_size) {}

  void See(int64_t key) {
    double score = 0;
    for (int d = 0; d < params_.head_size; ++d)
      score += double{Read(params_.qkv, At(row_, 0, d))} * Read(params_.qkv, At(key, 1, d));
    const double weight = std::exp(score * params_.scale);
    total_ += weight;
    for (int d = 0; d < params_.head_size; ++d)
      sum_[d] += weight * Read(params_.qkv, At(key, 2, d));
  }
  void Store() const {
    for (int d = 0; d < params_.head_size; ++d) {
      Write(params_.out, (row_ * params_.heads + head_) * params_.head_size + d,
            static_cast<float>(sum_[d] / total_));
    }
  }

 private:
  int64_t At(int64_t row, int part, int d) const {
    return ((row * 3 + part) * params_.heads + head_) * params_.head_size + d;
  }

  const BandAttentionParams& params_;
  const int64_t row_;
  const int head_;
  double total_ = 0;
  std::vector<double> sum_;
};

}  // namespace

cudaError_t BandAttention(const BandAttentionParams& params, cudaStream_t) {
  if (params.storage != Storage::kBfloat16) return cudaErrorNotSupported;
  for (int b = 0; b < params.num_blocks; ++b) {
    const BandBlock& block = params.blocks[b];
    for (int row = block.first_row; row < Smaller(block.first_row + kBandRows, block.text_end);
         ++row) {
      for (int head = 0; head < params.heads; ++head) {
        PlainRow out(params, row, head);
        for (int key = Larger(block.text_begin, row - params.window);
             key < Smaller(block.text_end, row + params.window + 1); ++key)
          out.See(key);
        const bool has_globals = params.globals != nullptr;
        for (int g = has_globals ? params.global_begin[block.text] : 0;
             has_globals && g < params.global_begin[block.text + 1]; ++g) {
          if (IsBeyondWindow(row, params.globals[g], params.window)) out.See(params.globals[g]);
        }
        out.Store();
      }
    }
  }
  return cudaSuccess;
}

}  // namespace longspan::cuda
