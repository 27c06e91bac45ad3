// Backend: the operations that a model asks of a device. Layers and attention call it where the
// model was placed on one (core/layers/placement.h); without a backend they run the kernels of the
// CPU, which are not behind this interface.
//
//   PortableBackend   each operation out of LibTorch's own, on any device: on the CPU in tests,
//                     and on a card for what its kernels do not take
//   the CUDA plugin   overrides what it has kernels for; opened at run time (open_backend.h)
//
// Tensors are on device(). Rows ([T, E]) and queries, keys and values ([T, H, D]) are float32,
// bfloat16 or float16, the storage type; sums, softmax and merges are float32. Operations put their
// work on the device's queue and return: none copies anything to the host. Shapes follow from what
// the host knows. A broken promise throws c10::Error.
//
// Thread safe. All threads share one queue of the device; passes that are put on it one behind the
// other give the best times (Encoder::Encode). Proven by backend_rows_test,
// backend_attention_test, backend_chunks_test and, for whole models, by fixtures_test,
// reformer_fixture_test and batch_mixes_test.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/backend/chunk_run.h"
#include "core/backend/device_layout.h"
#include "core/device_memory.h"
#include "core/kernels/activation.h"

namespace longspan {

class UploadLog;

struct NormWeights {
  at::Tensor weight;  // [E] float32
  at::Tensor bias;    // [E] float32, or undefined
  double eps = 1e-5;
};

struct EmbeddingTables {
  at::Tensor words;       // [V, E]
  at::Tensor positions;   // [P, E], or undefined = the model has none
  at::Tensor types;       // [Y, E], or undefined = the model has none
  double word_scale = 1;  // multiplies the word vectors
};
// The rows of the tables that each token takes, [T] int32.
struct EmbeddingRows {
  at::Tensor words;
  at::Tensor positions;  // undefined where the table is
  at::Tensor types;      // undefined = row 0 for every token
};

// Attention to some of the keys that a row sees. Parts over disjoint keys are merged exactly.
struct AttentionPart {
  at::Tensor out;  // [T, H, D]; zeros in rows that see no key
  // [H, T] float32, the natural log of the sum of exponentials. A row that sees no key has an
  // infinity of either sign: FlashAttention gives +inf.
  at::Tensor lse;
};

// The projections of global tokens. Weights are [E, E], biases [E]; float32 on the CPU, of the
// storage type on a backend.
struct GlobalProjections {
  at::Tensor query_weight, query_bias;
  at::Tensor key_weight, key_bias;
  at::Tensor value_weight, value_bias;
};

// Whether the rows of so many global tokens of a text cost less by reassociated products than by
// projecting keys and values of every token (core/attention/global_row_attention.cc). Multiply-adds
// for each key, of H heads and width E: 2 H G E the one way, 2 E^2 + 2 G E the other.
inline bool IsReassociationCheaper(int64_t num_globals, int64_t num_heads, int64_t width) {
  return num_globals * num_heads < width + num_globals;
}

struct BlockSparsePattern {
  int64_t block_size = 64;
  // r of the published config: the keys of block 0 count 1 + r times for all blocks but the first
  // and the last.
  int64_t random_blocks = 0;
};

// Consecutive segments of some rows, one behind the other without gaps.
struct Segments {
  at::Tensor lengths;  // [S] int64, each at least 1
  at::Tensor weights;  // [n] float32, of each row, for weighted sums; undefined = not wanted
  at::Tensor read;     // [n] bool; rows that are not read count as if they were not there.
                       // Undefined = all are read.
  bool sum = false;    // what is wanted
  bool max = false;
};
// What is not wanted is undefined. Nothing of a row reaches another segment, also not NaN.
struct SegmentValues {
  at::Tensor sum;           // [S, E] float64
  at::Tensor weighted_sum;  // [S, E] float64
  at::Tensor max;           // [S, E] float32, -inf where no row is read; NaN wins
};

// Waits for values that are on their way to the host. Called once.
using HostCopy = std::function<at::Tensor()>;

// Some operations of a backend that make rows out of rows.
using RowRun = std::function<at::Tensor(at::Tensor x)>;

// A run that the device repeats by itself (a CUDA graph), so that the host hands over one thing
// and not each operation. It reads where the recorded run read: weights, and what an UploadLog
// holds.
class Recording {
 public:
  virtual ~Recording() = default;
  // What the run gives for x, which is of the shape and type of the recorded one.
  virtual at::Tensor Repeat(const at::Tensor& x) const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual at::Device device() const = 0;
  // As --device and ModelInfo::device say it: "cuda:0".
  virtual std::string name() const = 0;
  // A copy on the device. The host's tensor may be changed as soon as this returns.
  virtual at::Tensor Upload(const at::Tensor& host) const;
  // Asks a log (upload_log.h) on this thread from now on, and gives the one before; null = none.
  // Virtual like Upload, because a plugin has a variable of its own for it.
  virtual UploadLog* UseLog(UploadLog* log) const;
  // Puts a copy of `values` to the host on the device's queue. The function that comes back waits
  // for it and gives it: for what stands before it on the queue, not for what comes behind it.
  virtual HostCopy ReadBack(const at::Tensor& values) const = 0;
  // Whether it records runs; and a recording of a run over rows like x. The run uploads nothing and
  // copies nothing to the host. Its result is not computed. c10::Error where it cannot be recorded.
  virtual bool records() const { return false; }
  virtual std::unique_ptr<Recording> Record(const at::Tensor& x, const RowRun& run) const;
  // Asked after an operation has thrown: not OK where the device is gone for good, so that every
  // later operation would throw as well.
  virtual absl::Status CheckDevice() const { return absl::OkStatus(); }
  // Gives memory that is kept for later tensors back to the device.
  virtual void FreeUnused() const {}
  // The device's memory now; zeros where it is not known. It never throws, and any thread may ask
  // at any time, also of a device that is lost.
  virtual DeviceMemory Memory() const { return {}; }
  // Adds to a run what this backend's kernels read. Called once for each run of a batch.
  virtual void Prepare(WindowRun& /*run*/) const {}
  virtual void PrepareChunks(ChunkRun& /*run*/) const {}

  // --- Row by row.

  // activation(x W^T + b): x [T, in], weight [out, in], bias [out] or undefined -> [T, out].
  virtual at::Tensor Product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             kernels::Activation activation) const = 0;
  // both [T, 2I] -> activation(both[:, :I]) * both[:, I:].
  virtual at::Tensor GatedUnit(const at::Tensor& both, kernels::Activation activation) const = 0;
  // LayerNorm of x [T, E].
  virtual at::Tensor Norm(const at::Tensor& x, const NormWeights& norm) const = 0;
  // LayerNorm(values + bias + residual): values and residual [T, E], bias [E] or undefined. It may
  // write to `values`.
  virtual at::Tensor AddBiasResidualNorm(const at::Tensor& values, const at::Tensor& bias,
                                         const at::Tensor& residual,
                                         const NormWeights& norm) const = 0;
  // LayerNorm(word + position + type), [T, E] of the tables' type.
  virtual at::Tensor Embed(const EmbeddingTables& tables, const EmbeddingRows& rows,
                           const NormWeights& norm) const = 0;
  // Rotary positions on q and k of qkv [T, 3, H, D], in place, in the rotate-half form
  // (core/kernels/rope.h). cos, sin [positions, D/2] float32; positions [T] int64.
  virtual void Rotate(at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin,
                      const at::Tensor& positions) const = 0;
  // Rows of x [T, ...] by their numbers, [n] int64, and back: out[rows[i]] = values[i].
  virtual at::Tensor Gather(const at::Tensor& x, const at::Tensor& rows) const = 0;
  virtual void Scatter(const at::Tensor& values, const at::Tensor& rows, at::Tensor& out) const = 0;

  // --- Attention. q, k, v: [T, H, D], views of a packed [T, 3, H, D] or of some of its heads. Rows
  // that are not read come out as zeros.

  // Attention of all rows of the batch to their windows and to the global tokens of their texts,
  // run after run: [T, H, D] of q's type. The rows of global tokens come out like any other.
  at::Tensor WindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const DeviceLayout& layout, double scale) const;
  // The same of the rows of one run, written to out [rows of the run, H, D], contiguous. It is made
  // of Band, Columns and Merge where a backend has no kernel for both at once.
  virtual void WindowAndGlobals(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const WindowRun& run, double scale, at::Tensor& out) const;
  // Attention of the rows of a run, [rows of the run, H, D], to the keys of their windows.
  virtual AttentionPart Band(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const WindowRun& run, double scale) const = 0;
  // Attention of the same rows to those global tokens of their text that lie beyond their windows:
  // |row - global| > window.
  virtual AttentionPart Columns(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const WindowRun& run, double scale) const = 0;
  // The attention to the keys of both parts, none of which may be in the other. With m = max(lA,
  // lB):  out = (e^(lA-m) oA + e^(lB-m) oB) / (e^(lA-m) + e^(lB-m)),  of a.out's type.
  virtual AttentionPart Merge(const AttentionPart& a, const AttentionPart& b) const = 0;

  // Attention of the first row of each text to all keys that are packed for it: q, k, v [keys, H,
  // D] -> [B, H, D]. cu_seqlens [B+1] are the borders of texts in the keys; a text may have none.
  // key_mask [keys], 0 = not read; empty = all are. The row is zeros where there are no keys, or
  // where the first is not read.
  virtual at::Tensor FirstRows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               std::span<const int32_t> cu_seqlens,
                               std::span<const uint8_t> key_mask, double scale) const = 0;
  // BigBird's attention (core/kernels/block_sparse_attention.h) of texts of whole blocks, at least
  // two: the rows of one run, whose window and globals are not read.
  virtual at::Tensor BlockSparse(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const WindowRun& run, const BlockSparsePattern& pattern,
                                 double scale) const = 0;
  // The rows of global tokens, which see their whole text through projections of their own
  // (core/attention/global_row_attention.h). hidden [T, E]; out [T, H, D], of which the rows
  // layout.globals are written.
  virtual void GlobalRows(const at::Tensor& hidden, const GlobalProjections& projections,
                          int64_t num_heads, const DeviceLayout& layout, at::Tensor& out) const = 0;

  // --- Reformer's attention of chunks, by the rules of core/kernels/local_chunk_attention.h: which
  // keys are masked by which score, and that the weights need not sum to 1. q, k, v: [T, H, D].

  // A local layer of all rows of the batch, run after run: [T, H, D] of q's type.
  at::Tensor LocalChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         std::span<const ChunkRun> runs) const;
  // An LSH layer of all rows. `exact` [T, H, D] float32 is what is hashed: the shared projection
  // before it was rounded to qk, which are the queries and, scaled, the keys. It is made of
  // SortByBucket, AttendChunks and MergeRounds.
  at::Tensor LshChunks(const at::Tensor& exact, const at::Tensor& qk, const at::Tensor& v,
                       std::span<const ChunkRun> runs) const;
  // The row at each slot of a run of which some text is hashed, [H, R, rows] int32 (chunk_run.h).
  // Hashes are float32 throughout. Texts of one chunk stay as they lie.
  virtual at::Tensor SortByBucket(const at::Tensor& exact, const ChunkRun& run) const = 0;
  // Attention of all chunks of a run. With an order, [H, R, rows] of SortByBucket, it is that of an
  // LSH layer, else (undefined) that of a local one. Writes
  //   out [rows, H, R, D] of q's type, contiguous
  //   lse [rows, H, R] float32, contiguous; undefined = not wanted, where R is 1
  // A text of one chunk has one round: its other rounds of `out` are left as they are, and their
  // lse is -inf.
  virtual void AttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& order, const ChunkRun& run, at::Tensor& out,
                            at::Tensor& lse) const = 0;
  // The hash rounds of each row together, by weights exp(lse_r - Z) with Z = logsumexp_r(lse_r)
  // rounded to float32: parts [rows, H, R, D] and lse [rows, H, R], of AttendChunks, give out
  // [rows, H, D], contiguous.
  virtual void MergeRounds(const at::Tensor& parts, const at::Tensor& lse,
                           at::Tensor& out) const = 0;

  // --- Pooling.

  // rows [n, E]; see Segments.
  virtual SegmentValues ReduceSegments(const at::Tensor& rows, const Segments& segments) const = 0;

 protected:
  virtual at::Tensor CopyToDevice(const at::Tensor& host) const = 0;  // what Upload does
};

}  // namespace longspan
