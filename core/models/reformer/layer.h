// One layer of the reversible stack. Two streams x1, x2 [rows, E], both starting as the embedding:
//
//   x1 += Attention(LN(x2))        x2 += FeedForward(LN(x1))        (the second with the updated x1)
//
// Each half reads one stream and adds to the other, so it can be computed for a few hundred rows at
// a time and in place: besides the streams only the keys and values of the heads at hand exist for
// the whole text (LSH looks anywhere), and not even those in a local layer. Half a million tokens
// of the published geometry: 2 x 512 MiB streams + 256 MiB. Every pass is one loop over blocks of
// rows, each block whole on one thread, so that rows stay in that core's cache from the LayerNorm
// to the addition. Source: Reformer, arXiv 2001.04451, sec. 3. Proven by reformer_golden_test,
// reformer_fixture_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/lsh_attention.h"
#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/model_info.h"
#include "core/models/reformer/config.h"
#include "core/weights/weight_map.h"

namespace longspan {

class AttentionObserver;

// What the layers of one pass share: which rows are computed and how they are cut.
struct ReformerPass {
  std::span<const uint8_t> key_mask;  // by row; empty = all are read
  std::vector<std::pair<int64_t, int64_t>>
      row_blocks;                     // rows [begin, end) of the texts still wanted
  std::vector<ChunkWindow> windows;   // the same rows, cut for the local layers
  std::unique_ptr<LshAttention> lsh;  // buffers of the LSH layers
  AttentionObserver* observer = nullptr;
};

class ReformerAttention {
 public:
  virtual ~ReformerAttention() = default;
  // x1 += Attention(LN(x2)) for the rows of the pass.
  virtual void AddTo(at::Tensor& x1, const at::Tensor& x2, ReformerPass& pass) const = 0;
};

class ReformerLayer {
 public:
  // Errors are recorded in `weights`. `name`: "encoder.layers.0".
  ReformerLayer(WeightMap& weights, const std::string& name, const ReformerConfig& config,
                ReformerConfig::LayerKind kind, DataType dtype);

  void Run(at::Tensor& x1, at::Tensor& x2, ReformerPass& pass) const;

 private:
  DataType dtype_;
  std::unique_ptr<ReformerAttention> attention_;
  LayerNorm norm_;
  FeedForward feed_forward_;
};

// The two kinds. Projections have no bias.
std::unique_ptr<ReformerAttention> MakeLocalAttention(WeightMap& weights, const std::string& name,
                                                      const ReformerConfig& config, DataType dtype);
std::unique_ptr<ReformerAttention> MakeLshAttention(WeightMap& weights, const std::string& name,
                                                    const ReformerConfig& config, DataType dtype);

// Heads whose queries, keys and values an LSH pass over so many rows holds at once: all of them for
// short batches, one for a book.
int64_t LshHeadsAtOnce(const ReformerConfig& config, DataType dtype, int64_t num_rows);

// What goes into and comes out of the linear layers of a model of `dtype`: bfloat16 in a bfloat16
// model.
at::ScalarType LinearType(DataType dtype);
// What queries, keys and values of the attention are: bfloat16 too in an int8 model where the
// processor multiplies it.
at::ScalarType AttentionType(DataType dtype);
// LN(x) of that type, without a second pass.
at::Tensor NormTo(const LayerNorm& norm, const at::Tensor& x, at::ScalarType type);
// Rows of a stream += from [n, E]. rows[i] = where row i goes, counted from `begin`; null = 0, 1,
// 2, ...
void AddToStream(const at::Tensor& from, int64_t begin, const int32_t* rows, at::Tensor& stream);

}  // namespace longspan
