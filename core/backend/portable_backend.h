// PortableBackend: every operation of a backend out of LibTorch's own, on any device.
//
// On the CPU it lets tests run the composition that a card runs. On a card it is what the plugin's
// kernels fall back to: masks with holes, float32, sizes of heads that they do not take. Attention
// goes text by text and in blocks of rows, so that no more than some 2^25 scores exist at once; it
// is right everywhere and fast nowhere. Proven by backend_rows_test, backend_attention_test,
// backend_chunks_test.
#pragma once

#include <string>

#include "core/backend/backend.h"

namespace longspan {

class PortableBackend : public Backend {
 public:
  explicit PortableBackend(at::Device device) : device_(device) {}

  at::Device device() const override { return device_; }
  std::string name() const override { return device_.str(); }
  at::Tensor CopyToDevice(const at::Tensor& host) const override;
  HostCopy ReadBack(const at::Tensor& values) const override;

  at::Tensor Product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     kernels::Activation activation) const override;
  at::Tensor GatedUnit(const at::Tensor& both, kernels::Activation activation) const override;
  at::Tensor Norm(const at::Tensor& x, const NormWeights& norm) const override;
  at::Tensor AddBiasResidualNorm(const at::Tensor& values, const at::Tensor& bias,
                                 const at::Tensor& residual,
                                 const NormWeights& norm) const override;
  at::Tensor Embed(const EmbeddingTables& tables, const EmbeddingRows& rows,
                   const NormWeights& norm) const override;
  void Rotate(at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin,
              const at::Tensor& positions) const override;
  at::Tensor Gather(const at::Tensor& x, const at::Tensor& rows) const override;
  void Scatter(const at::Tensor& values, const at::Tensor& rows, at::Tensor& out) const override;

  AttentionPart Band(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const WindowRun& run, double scale) const override;
  AttentionPart Columns(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const WindowRun& run, double scale) const override;
  AttentionPart Merge(const AttentionPart& a, const AttentionPart& b) const override;
  at::Tensor FirstRows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       std::span<const int32_t> cu_seqlens, std::span<const uint8_t> key_mask,
                       double scale) const override;
  at::Tensor BlockSparse(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const WindowRun& run, const BlockSparsePattern& pattern,
                         double scale) const override;
  void GlobalRows(const at::Tensor& hidden, const GlobalProjections& projections, int64_t num_heads,
                  const DeviceLayout& layout, at::Tensor& out) const override;

  at::Tensor SortByBucket(const at::Tensor& exact, const ChunkRun& run) const override;
  void AttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& order, const ChunkRun& run, at::Tensor& out,
                    at::Tensor& lse) const override;
  void MergeRounds(const at::Tensor& parts, const at::Tensor& lse, at::Tensor& out) const override;

  SegmentValues ReduceSegments(const at::Tensor& rows, const Segments& segments) const override;

 protected:
  // A step of GlobalRows: the averages of the rows of each text, weighted by the softmax of each of
  // its queries' products with them. u [H, G, E] float32 are the queries of all globals of `texts`,
  // which are neighbours in the layout; hidden [T, E] -> [H, G, E] float32.
  virtual at::Tensor AverageRows(const at::Tensor& u, const at::Tensor& hidden,
                                 std::span<const GlobalsOfText> texts,
                                 const DeviceLayout& layout) const;

 private:
  const at::Device device_;
};

}  // namespace longspan
