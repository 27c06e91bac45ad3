// ReformerLayer: one layer of the reversible stack. There are two streams x1, x2 [rows, E], and
// both start as the embedding:
//
//   x1 += Attention(LN(x2))
//   x2 += FeedForward(LN(x1))       with the new x1
//
// In training a layer can be undone, so that no activations are kept. Here another property counts:
// each half reads one stream and adds to the other, so it is computed in place, a few hundred rows
// at a time. Besides the streams, only queries, keys and values of the heads at hand exist for the
// whole text in an LSH layer, which looks anywhere. In a local layer not even those do. Example:
// half a million tokens of the published geometry (E = 256) take 2 x 512 MiB for the streams and
// 256 MiB for queries, keys and values.
//
// Each half is one loop over blocks of rows. A block runs whole on one thread, so its rows stay in
// that core's cache from the LayerNorm to the addition. Cost O(T·E·I) for the feed-forward half of
// width I; the attention's is in core/attention/lsh_attention.h and local_chunk_attention.h.
// On a backend (placement.h) there are no blocks: each half takes all rows at once.
// Source: Reformer, arXiv 2001.04451, sec. 3. Deviations: README.md of this folder. Proven by
// reformer_golden_test and reformer_fixture_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/lsh_attention.h"
#include "core/backend/chunk_run.h"
#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/placement.h"
#include "core/model_info.h"
#include "core/models/reformer/config.h"
#include "core/weights/weight_map.h"

namespace longspan {

class AttentionObserver;

// What the layers of one pass share: which rows are computed and how they are cut. On a backend the
// two runs alone.
struct ReformerPass {
  std::span<const uint8_t> key_mask;  // [rows], 0 = not read; empty = all are read
  // The rows of the texts that are still wanted, in blocks [begin, end).
  std::vector<std::pair<int64_t, int64_t>> row_blocks;
  std::vector<ChunkWindow> windows;       // the same rows, cut for the local layers
  std::unique_ptr<LshAttention> lsh;      // buffers of the LSH layers; null where there are none
  AttentionObserver* observer = nullptr;  // null = nobody watches
  std::vector<ChunkRun> local_runs;       // of the local layers
  std::vector<ChunkRun> lsh_runs;         // of the LSH layers
};

// The attention half of a layer. Thread safe after construction.
class ReformerAttention {
 public:
  virtual ~ReformerAttention() = default;
  // x1 += Attention(LN(x2)) for the rows of the pass.
  virtual void AddTo(at::Tensor& x1, const at::Tensor& x2, ReformerPass& pass) const = 0;
};

class ReformerLayer {
 public:
  // Missing weights are recorded in the map. `name` is the prefix of the weights, such as
  // "encoder.layers.0".
  ReformerLayer(WeightMap& weights, const std::string& name, const ReformerConfig& config,
                ReformerConfig::LayerKind kind, const Placement& placement);

  void Run(at::Tensor& x1, at::Tensor& x2, ReformerPass& pass) const;

 private:
  Placement placement_;
  std::unique_ptr<ReformerAttention> attention_;
  LayerNorm norm_;
  FeedForward feed_forward_;
};

// The two kinds of attention. `name` is the prefix of the weights, such as
// "encoder.layers.0.attention". The projections have no bias.
std::unique_ptr<ReformerAttention> MakeLocalAttention(WeightMap& weights, const std::string& name,
                                                      const ReformerConfig& config,
                                                      const Placement& placement);
std::unique_ptr<ReformerAttention> MakeLshAttention(WeightMap& weights, const std::string& name,
                                                    const ReformerConfig& config,
                                                    const Placement& placement);

// The number of heads whose queries, keys and values an LSH pass over so many rows holds at once:
// as many as fit 256 MiB, at least one. That is all of them for short batches and one for a book.
int64_t LshHeadsAtOnce(const ReformerConfig& config, DataType dtype, int64_t num_rows);

// On the CPU: LN(x) in `type`, made in one pass over the rows.
at::Tensor NormTo(const LayerNorm& norm, const at::Tensor& x, at::ScalarType type);
// On the CPU: adds from [n, E] to rows of stream [rows, E]. Row i goes to row begin + rows[i]; null
// stands for the rows 0, 1, 2, ...
void AddToStream(const at::Tensor& from, int64_t begin, const int32_t* rows, at::Tensor& stream);

}  // namespace longspan
