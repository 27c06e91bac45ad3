#include "core/cuda/reformer_operations.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <vector>

#include "core/cuda/kernels/lsh_kernels.h"

namespace longspan::cuda {
namespace {

// What stands where in ChunkRun::prepared.
enum Prepared : size_t {
  kChunks,       // [chunks of a round, 2] int32: ChunkOfText
  kRowText,      // [rows] int32
  kRotations,    // packed, bytes; undefined = the kernels do not hash this run
  kRowsOfSlots,  // [H, R, rows] int32; undefined likewise
  kNumPrepared
};

void Check(cudaError_t error, const char* what) {
  TORCH_CHECK(error == cudaSuccess, what, ": CUDA error ", static_cast<int>(error));
}

int32_t Int(int64_t value) { return static_cast<int32_t>(value); }

at::Tensor Empty(at::IntArrayRef sizes, at::ScalarType type, const at::Tensor& like) {
  return at::empty(sizes, like.options().dtype(type).memory_format(at::MemoryFormat::Contiguous));
}

bool IsHeadSize(int64_t size) { return size == 32 || size == 64 || size == 128; }
bool IsAligned(const at::Tensor& x) {
  return reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0;
}
// [rows, H, D], the heads of a row side by side, rows at multiples of 16 bytes.
bool HasRowsOfHeads(const at::Tensor& x) {
  return x.dim() == 3 && IsHeadSize(x.size(2)) && x.stride(2) == 1 &&
         (x.size(1) == 1 || x.stride(1) == x.size(2)) && x.stride(0) * x.element_size() % 16 == 0 &&
         IsAligned(x);
}
bool IsBfloat16(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16; }

BucketFactors FactorsOf(const ChunkRun& run) {
  BucketFactors factors;
  if (run.factors.size() > kMaxFactors) return factors;  // which are not valid
  factors.num_factors = Int(static_cast<int64_t>(run.factors.size()));
  std::copy(run.factors.begin(), run.factors.end(), factors.factors);
  return factors;
}

const int32_t* Ints(const at::Tensor& x) { return x.const_data_ptr<int32_t>(); }
const uint8_t* MaskOf(const ChunkRun& run) {
  return run.read.defined() ? static_cast<const uint8_t*>(run.read.const_data_ptr()) : nullptr;
}
const ChunkOfText* ChunksOf(const ChunkRun& run) {
  return static_cast<const ChunkOfText*>(run.prepared[kChunks].const_data_ptr());
}

// Which text a row belongs to, and which chunk a block of attention takes.
void PlanRun(const Backend& backend, ChunkRun& run, cudaStream_t stream) {
  std::vector<int32_t> chunk_begin = {0};
  for (int64_t text = 0; text < run.num_texts(); ++text) {
    const int32_t length = run.text_begin[text + 1] - run.text_begin[text];
    chunk_begin.push_back(chunk_begin.back() + NumChunks(length, run.shape.chunk_length));
  }
  const at::Tensor chunk_begin_on_device = backend.Upload(at::tensor(chunk_begin));
  const at::Tensor& like = run.text_begin_on_device;
  run.prepared[kChunks] = Empty({chunk_begin.back(), 2}, at::kInt, like);
  run.prepared[kRowText] = Empty({run.num_rows()}, at::kInt, like);
  ChunkPlanParams plan;
  plan.text_begin = Ints(run.text_begin_on_device);
  plan.chunk_begin = Ints(chunk_begin_on_device);
  plan.num_texts = Int(run.num_texts());
  plan.num_rows = Int(run.num_rows());
  plan.row_text = run.prepared[kRowText].mutable_data_ptr<int32_t>();
  plan.chunks = static_cast<ChunkOfText*>(run.prepared[kChunks].mutable_data_ptr());
  Check(PlanChunks(plan, stream), "PlanChunks");
}

// What hashing and sorting take.
void PrepareHashing(ChunkRun& run, cudaStream_t stream) {
  if (!run.rotations.defined()) return;
  PackRotationsParams pack;
  pack.num_heads = Int(run.rotations.size(0));
  pack.head_size = Int(run.rotations.size(1));
  pack.num_rounds = run.num_rounds;
  pack.factors = FactorsOf(run);
  const int64_t bytes = PackedRotationBytes(pack);
  if (bytes == 0) return;
  run.prepared[kRotations] = Empty({bytes}, at::kByte, run.rotations);
  const at::Tensor rotations = run.rotations.contiguous();
  pack.rotations = rotations.const_data_ptr<float>();
  pack.packed = run.prepared[kRotations].mutable_data_ptr();
  Check(PackRotations(pack, stream), "PackRotations");
  run.prepared[kRowsOfSlots] =
      Empty({pack.num_heads, run.num_rounds, run.num_rows()}, at::kInt, run.rotations);
  Check(RowsOfSlots(run.prepared[kRowsOfSlots].mutable_data_ptr<int32_t>(),
                    run.prepared[kRowsOfSlots].numel(), Int(run.num_rows()), stream),
        "RowsOfSlots");
}

// The order of (keys, rows of slots) by the keys' lowest `bits` bits.
at::Tensor Sort(const at::Tensor& keys, const at::Tensor& rows, int bits, cudaStream_t stream) {
  at::Tensor sorted_keys = at::empty_like(keys), order = at::empty_like(rows);
  LshSortParams sort;
  sort.keys = static_cast<const uint32_t*>(keys.const_data_ptr());
  sort.rows = Ints(rows);
  sort.sorted_keys = static_cast<uint32_t*>(sorted_keys.mutable_data_ptr());
  sort.order = order.mutable_data_ptr<int32_t>();
  sort.count = keys.numel();
  sort.bits = bits;
  Check(LshSortScratch(sort.count, sort.bits, &sort.scratch_bytes), "LshSortScratch");
  // A sort refuses to have no scratch, also where it needs none.
  at::Tensor scratch =
      Empty({static_cast<int64_t>(std::max<size_t>(sort.scratch_bytes, 1))}, at::kByte, keys);
  sort.scratch = scratch.mutable_data_ptr();
  Check(LshSort(sort, stream), "LshSort");
  return order;
}

}  // namespace

void PrepareChunkRun(const Backend& backend, ChunkRun& run, cudaStream_t stream) {
  run.prepared.assign(kNumPrepared, at::Tensor());
  PlanRun(backend, run, stream);
  PrepareHashing(run, stream);
}

bool TrySortByBucket(const at::Tensor& exact, const ChunkRun& run, cudaStream_t stream,
                     at::Tensor& order) {
  if (run.prepared.size() != kNumPrepared || !run.prepared[kRotations].defined()) return false;
  if (exact.scalar_type() != at::kFloat || !HasRowsOfHeads(exact)) return false;
  LshHashParams hash;
  hash.factors = FactorsOf(run);
  const uint64_t num_keys =
      NumSortKeys(Int(exact.size(1)), run.num_rounds, Int(run.num_texts()),
                  BucketsARound(NumBuckets(hash.factors), run.read.defined()));
  if (num_keys > uint64_t{1} << 32) return false;
  at::Tensor keys = at::empty_like(run.prepared[kRowsOfSlots]);
  hash.x = exact.const_data_ptr();
  hash.x_stride = exact.stride(0);
  hash.rotations = run.prepared[kRotations].const_data_ptr();
  hash.key_mask = MaskOf(run);
  hash.text_begin = Ints(run.text_begin_on_device);
  hash.row_text = Ints(run.prepared[kRowText]);
  hash.keys = static_cast<uint32_t*>(keys.mutable_data_ptr());
  hash.num_rows = Int(exact.size(0));
  hash.num_heads = Int(exact.size(1));
  hash.head_size = Int(exact.size(2));
  hash.num_rounds = run.num_rounds;
  hash.num_texts = Int(run.num_texts());
  hash.chunk_length = run.shape.chunk_length;
  Check(LshHash(hash, stream), "LshHash");
  order = Sort(keys, run.prepared[kRowsOfSlots], SortKeyBits(num_keys), stream);
  return true;
}

bool TryAttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& order, const ChunkRun& run, cudaStream_t stream,
                     at::Tensor& out, at::Tensor& lse) {
  if (run.prepared.size() != kNumPrepared || !IsAligned(out)) return false;
  for (const at::Tensor* x : {&q, &k, &v}) {
    if (!IsBfloat16(*x) || !HasRowsOfHeads(*x)) return false;
  }
  ChunkAttentionParams attention;
  attention.q = q.const_data_ptr();
  attention.k = k.const_data_ptr();
  attention.v = v.const_data_ptr();
  attention.q_stride = q.stride(0);
  attention.k_stride = k.stride(0);
  attention.v_stride = v.stride(0);
  attention.order = order.defined() ? Ints(order) : nullptr;
  attention.key_mask = MaskOf(run);
  attention.text_begin = Ints(run.text_begin_on_device);
  attention.chunks = ChunksOf(run);
  attention.num_chunks = Int(run.prepared[kChunks].size(0));
  attention.num_rows = Int(q.size(0));
  attention.num_heads = Int(q.size(1));
  attention.head_size = Int(q.size(2));
  attention.num_rounds = order.defined() ? run.num_rounds : 1;
  attention.chunk_length = run.shape.chunk_length;
  attention.chunks_before = run.shape.chunks_before;
  attention.chunks_after = run.shape.chunks_after;
  attention.causal = run.shape.causal;
  attention.out = out.mutable_data_ptr();
  attention.out_row_stride = out.stride(0);
  attention.out_head_stride = out.stride(1);
  attention.lse = lse.defined() ? lse.mutable_data_ptr<float>() : nullptr;
  Check(ChunkAttention(attention, stream), "ChunkAttention");
  return true;
}

bool TryMergeRounds(const at::Tensor& parts, const at::Tensor& lse, cudaStream_t stream,
                    at::Tensor& out) {
  if (!IsBfloat16(parts) || !IsHeadSize(parts.size(3)) || !IsAligned(parts) ||
      !HasRowsOfHeads(out)) {
    return false;
  }
  LshMergeParams merge;
  merge.parts = parts.const_data_ptr();
  merge.lse = lse.const_data_ptr<float>();
  merge.out = out.mutable_data_ptr();
  merge.out_stride = out.stride(0);
  merge.num_rows = Int(parts.size(0));
  merge.num_heads = Int(parts.size(1));
  merge.num_rounds = Int(parts.size(2));
  merge.head_size = Int(parts.size(3));
  Check(LshMerge(merge, stream), "LshMerge");
  return true;
}

}  // namespace longspan::cuda
