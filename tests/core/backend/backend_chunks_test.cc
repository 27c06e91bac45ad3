// Reformer's attention of chunks on the portable backend, and the composition that every backend
// shares (SortByBucket, AttendChunks, MergeRounds), against the slow reference and the kernels of
// the CPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/attention/local_chunk_attention.h"
#include "core/attention/lsh_attention.h"
#include "core/attention/upload_chunk_runs.h"
#include "core/backend/portable_backend.h"
#include "tests/reference/lsh_attention.h"

namespace longspan {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const PortableBackend& Portable() {
  static const PortableBackend backend{at::Device(at::kCPU)};
  return backend;
}

struct Hashing {
  int rounds = 1;
  std::vector<int32_t> factors;
};
struct Text {
  int length = 1;
  int hashing = 0;  // index in Batch::hashings, for a text longer than a chunk
};
struct Batch {
  ChunkShape shape;
  std::vector<Text> texts;
  std::vector<Hashing> hashings = {};  // empty = a local layer
  int heads = 2;
  int head_size = 8;
  bool masked = false;
  at::ScalarType type = at::kFloat;

  bool is_lsh() const { return !hashings.empty(); }
  std::string Describe() const {
    std::string all =
        absl::StrCat("chunks of ", shape.chunk_length, ", ", shape.chunks_before, " before, ",
                     shape.chunks_after, " after", shape.causal ? ", causal" : "",
                     masked ? ", masked" : "", ", ", heads, " heads of ", head_size, ", texts");
    for (const Text& text : texts) absl::StrAppend(&all, " ", text.length);
    for (const Hashing& hashing : hashings) absl::StrAppend(&all, ", ", hashing.rounds, " rounds");
    return all;
  }
};

std::vector<float> Values(const at::Tensor& x) {
  const at::Tensor dense = x.to(at::kFloat).contiguous();
  return {dense.const_data_ptr<float>(), dense.const_data_ptr<float>() + dense.numel()};
}

// Random rows of a batch, its runs, and what the reference makes of them.
class Layer {
 public:
  explicit Layer(const Batch& batch, unsigned seed = 1) : batch_(batch) {
    std::mt19937 random(seed);
    for (const Hashing& hashing : batch.hashings) {
      int64_t columns = 0;
      for (const int32_t factor : hashing.factors) columns += hashing.rounds * factor / 2;
      const LshRotations drawn =
          DrawLshRotations(random(), batch.heads, batch.head_size, hashing.rounds, hashing.factors);
      rotations_.push_back(
          {hashing.rounds, hashing.factors, drawn.values.narrow(2, 0, columns).contiguous()});
    }
    std::vector<const DeviceRotations*> of_texts;
    for (const Text& text : batch.texts) {
      rows_.push_back({num_rows_, text.length});
      num_rows_ += text.length;
      const bool hashed = batch.is_lsh() && text.length > batch.shape.chunk_length;
      of_texts.push_back(hashed ? &rotations_[text.hashing] : nullptr);
    }
    mask_.assign(num_rows_, 1);
    for (uint8_t& read : mask_) read = !batch.masked || random() % 3 != 0;
    const at::Tensor read = batch.masked ? at::tensor(mask_).ne(0) : at::Tensor();
    runs_ = UploadChunkRuns(Portable(), batch.shape, rows_, read,
                            batch.is_lsh() ? std::span<const DeviceRotations* const>(of_texts)
                                           : std::span<const DeviceRotations* const>());
    exact_ = Randn();
    q_ = exact_.to(batch.type);
    k_ = batch.is_lsh() ? q_ : Randn().to(batch.type);
    v_ = Randn().to(batch.type);
  }

  at::Tensor Run() const {
    return batch_.is_lsh() ? Portable().LshChunks(exact_, q_, v_, runs_)
                           : Portable().LocalChunks(q_, k_, v_, runs_);
  }

  // The largest difference of the rows of `got`, relative where they are large.
  double WorstError(const at::Tensor& got) const {
    double worst = 0;
    for (size_t text = 0; text < rows_.size(); ++text) {
      for (int head = 0; head < batch_.heads; ++head) {
        const std::vector<float> ours = Values(Of(got, text, head));
        const std::vector<double> want = Reference(text, head);
        for (size_t i = 0; i < want.size(); ++i) {
          const double error = std::abs(ours[i] - want[i]) / (1 + std::abs(want[i]));
          if (!(error <= worst)) worst = std::isnan(error) ? kInfinity : error;
        }
      }
    }
    return worst;
  }
  // Of an LSH layer: the positions at the slots of a text, [rounds * length].
  std::vector<int> WantedOrder(size_t text, int head) const {
    const int rounds = hashing(text).rounds, length = rows_[text].length;
    std::vector<int> order = reference::LshSortedIndices(WantedBuckets(text, head), rounds, length);
    for (int& index : order) index %= length;
    return order;
  }

  const Hashing& hashing(size_t text) const { return batch_.hashings[batch_.texts[text].hashing]; }
  const std::vector<ChunkedText>& rows() const { return rows_; }
  const std::vector<ChunkRun>& runs() const { return runs_; }
  const at::Tensor& exact() const { return exact_; }
  at::Tensor& q() { return q_; }
  at::Tensor& v() { return v_; }

 private:
  at::Tensor Randn() const {
    return at::randn({num_rows_, batch_.heads, batch_.head_size}).mul_(1.2);
  }
  at::Tensor Of(const at::Tensor& x, size_t text, int head) const {
    return x.narrow(0, rows_[text].row_begin, rows_[text].length).select(1, head);
  }
  reference::ChunkedText ReferenceText(size_t text) const {
    const auto begin = mask_.begin() + rows_[text].row_begin;
    return {rows_[text].length,
            batch_.head_size,
            batch_.shape.chunk_length,
            batch_.shape.chunks_before,
            batch_.shape.chunks_after,
            batch_.shape.causal,
            std::vector<uint8_t>(begin, begin + rows_[text].length)};
  }
  std::vector<int> WantedBuckets(size_t text, int head) const {
    if (rows_[text].length <= batch_.shape.chunk_length) return {};
    const DeviceRotations& rotations = rotations_[batch_.texts[text].hashing];
    return reference::LshBuckets(ReferenceText(text), Values(Of(exact_, text, head)),
                                 Values(rotations.values.select(0, head)), rotations.num_rounds,
                                 rotations.factors);
  }
  std::vector<double> Reference(size_t text, int head) const {
    const auto of = [&](const at::Tensor& x) { return Values(Of(x, text, head)); };
    if (!batch_.is_lsh())
      return reference::LocalChunkAttention(ReferenceText(text), of(q_), of(k_), of(v_));
    return reference::LshAttention(ReferenceText(text), of(q_), of(v_), WantedBuckets(text, head),
                                   hashing(text).rounds);
  }

  const Batch batch_;
  std::vector<DeviceRotations> rotations_;
  std::vector<ChunkedText> rows_;
  int64_t num_rows_ = 0;
  std::vector<uint8_t> mask_;
  std::vector<ChunkRun> runs_;
  at::Tensor exact_, q_, k_, v_;
};

void ExpectEqualsReference(const Batch& batch, unsigned seed = 1) {
  SCOPED_TRACE(batch.Describe());
  const Layer layer(batch, seed);
  const at::Tensor got = layer.Run();
  EXPECT_EQ(got.scalar_type(), batch.type);
  EXPECT_LE(layer.WorstError(got), batch.type == at::kFloat ? 2e-5 : 1e-2);
}

// Shapes that bend the circle: chunks that see more chunks than there are, and chunks of one token.
const std::vector<ChunkShape>& Shapes() {
  static const std::vector<ChunkShape> shapes = [] {
    std::vector<ChunkShape> all;
    for (const int length : {1, 4, 6}) {
      for (const int before : {0, 1, 3}) {
        for (const int after : {0, 1, 2}) {
          for (const bool causal : {false, true}) all.push_back({length, before, after, causal});
        }
      }
    }
    return all;
  }();
  return shapes;
}

TEST(LocalChunks, EqualTheReference) {
  for (const ChunkShape& shape : Shapes()) {
    const int C = shape.chunk_length;
    for (const bool masked : {false, true}) {
      ExpectEqualsReference(
          {shape, {{C}, {2 * C}, {1}, {5 * C}, {3 * C}, {std::max(1, C - 1)}}, {}, 2, 8, masked});
    }
  }
}

TEST(LshChunks, EqualTheReference_OverRoundsChunksAndMasks) {
  unsigned seed = 1;
  for (const ChunkShape& shape : Shapes()) {
    const int C = shape.chunk_length;
    for (int rounds = 1; rounds <= 8; rounds += seed % 3 + 1) {
      for (const bool masked : {false, true}) {
        ExpectEqualsReference({shape, {{2 * C}, {5 * C}}, {{rounds, {4, 6}}}, 2, 8, masked},
                              ++seed);
      }
    }
  }
}

// Texts of one chunk between texts that are hashed in other rounds and to other buckets.
TEST(LshChunks, EqualTheReference_WhereTextsOfABatchDiffer) {
  unsigned seed = 100;
  for (const bool causal : {false, true}) {
    for (const bool masked : {false, true}) {
      ExpectEqualsReference({{8, 1, 0, causal},
                             {{1}, {16, 0}, {3}, {24, 0}, {80, 1}, {8}, {80, 2}, {16, 0}, {7}, {5}},
                             {{3, {4}}, {1, {2, 4, 6}}, {8, {30}}},
                             3,
                             12,
                             masked},
                            ++seed);
      ExpectEqualsReference({{8, 1, 1, causal}, {{3}, {8}, {1}}, {{3, {4}}}, 2, 32, masked},
                            ++seed);
    }
  }
}

TEST(Chunks, StorageTypes_KeepTheirType_AndHashTheExactRows) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    for (const int rounds : {1, 4}) {
      ExpectEqualsReference(
          {{16, 1, 0, true}, {{160, 0}, {9}, {64, 0}}, {{rounds, {16, 8}}}, 2, 32, true, type});
    }
    ExpectEqualsReference({{16, 1, 1, false}, {{160}, {9}, {64}}, {}, 2, 32, true, type});
  }
}

// q, k and v as a projection leaves them: views of one tensor.
TEST(Chunks, TakeViews) {
  Layer layer({{4, 1, 0, false}, {{12}, {3}, {8}}, {{2, {4}}}});
  const at::Tensor want = layer.Run();
  const at::Tensor together = at::stack({layer.q(), layer.q(), layer.v()}, 1);
  const at::Tensor got = Portable().LshChunks(together.select(1, 0), together.select(1, 1),
                                              together.select(1, 2), layer.runs());
  EXPECT_TRUE(at::equal(got, want));
}

TEST(SortByBucket, IsTheStableSortOfTheReference) {
  const Layer layer({{4, 1, 0, false},
                     {{20, 0}, {4}, {3}, {32, 0}},
                     {{3, {4, 6}}},
                     2,
                     8,
                     /*masked=*/true});
  ASSERT_EQ(layer.runs().size(), 1u);
  const at::Tensor order = Portable().SortByBucket(layer.exact(), layer.runs()[0]);
  ASSERT_EQ(order.sizes(), (std::vector<int64_t>{2, 3, 59}));
  EXPECT_EQ(order.scalar_type(), at::kInt);
  for (size_t text = 0; text < layer.rows().size(); ++text) {
    const int64_t begin = layer.rows()[text].row_begin, length = layer.rows()[text].length;
    for (int head = 0; head < 2; ++head) {
      const at::Tensor got =
          order.select(0, head).narrow(1, begin, length).sub(begin).contiguous();  // [R, length]
      const std::vector<int> slots(got.const_data_ptr<int32_t>(),
                                   got.const_data_ptr<int32_t>() + got.numel());
      if (length > 4) {
        EXPECT_EQ(slots, layer.WantedOrder(text, head)) << "text " << text;
      } else {
        for (int64_t slot = 0; slot < 3 * length; ++slot)
          EXPECT_EQ(slots[slot], slot % length) << "a text of one chunk stays as it lies";
      }
    }
  }
}

// So many columns of rotations that the rows are hashed in several blocks.
TEST(SortByBucket, HashesLongTextsInBlocks) {
  const Layer layer({{300, 1, 0, false}, {{600, 0}}, {{16, {4096}}}});
  const at::Tensor order = Portable().SortByBucket(layer.exact(), layer.runs()[0]);
  for (int head = 0; head < 2; ++head) {
    const at::Tensor got = order.select(0, head).contiguous();
    EXPECT_EQ(std::vector<int>(got.const_data_ptr<int32_t>(),
                               got.const_data_ptr<int32_t>() + got.numel()),
              layer.WantedOrder(0, head));
  }
}

// A text of one chunk has one round: the others are not touched and weigh nothing, also where NaN
// stands there.
TEST(AttendChunks, RoundsThatATextDoesNotHave) {
  Layer layer({{4, 1, 0, false}, {{3}, {8, 0}}, {{3, {4}}}});
  const ChunkRun& run = layer.runs()[0];
  at::Tensor parts = at::full({11, 2, 3, 8}, NAN), lse = at::full({11, 2, 3}, NAN);
  Portable().AttendChunks(layer.q(), layer.q(), layer.v(),
                          Portable().SortByBucket(layer.exact(), run), run, parts, lse);
  EXPECT_TRUE(at::equal(lse.slice(0, 0, 3).slice(2, 1), at::full({3, 2, 2}, -kInfinity)));
  EXPECT_TRUE(parts.slice(0, 0, 3).slice(2, 1).isnan().all().item<bool>());
  EXPECT_TRUE(parts.slice(0, 3).isfinite().all().item<bool>());
  EXPECT_TRUE(lse.slice(0, 3).isfinite().all().item<bool>());
  at::Tensor merged = at::full({11, 2, 8}, NAN);
  Portable().MergeRounds(parts, lse, merged);
  EXPECT_TRUE(at::equal(merged.slice(0, 0, 3), parts.slice(0, 0, 3).select(2, 0)));
  EXPECT_TRUE(at::equal(merged, layer.Run()));
}

// At -1e5 a step of float32 is 0.0078, so the weights of rounds in which a token sees nothing but
// itself do not sum to 1, and must not.
TEST(MergeRounds, RoundsZToFloat32) {
  const at::Tensor lse = at::full({1, 1, 3}, -1e5F), parts = at::full({1, 1, 3, 2}, 1.0F);
  at::Tensor out = at::full({1, 1, 2}, NAN);
  Portable().MergeRounds(parts, lse, out);
  const auto z = static_cast<float>(-1e5 + std::log(3.0));
  EXPECT_NEAR(out[0][0][0].item<float>(), 3 * std::exp(-1e5 - z), 1e-6);
  EXPECT_GT(std::abs(out[0][0][0].item<float>() - 1), 1e-3) << "the rounding must show";
}

TEST(MergeRounds, LogsumexpsFarApart_StayFinite) {
  const at::Tensor lse = at::tensor({400.0F, -400.0F, 400.0F}).view({1, 1, 3});
  const at::Tensor parts = at::tensor({3.0F, 9.0F, 5.0F}).view({1, 1, 3, 1});
  at::Tensor out = at::full({1, 1, 1}, NAN);
  Portable().MergeRounds(parts, lse, out);
  EXPECT_NEAR(out.item<float>(), 4, 1e-4);
}

// So long that the chunks are attended in several blocks, and one chunk so long that its queries
// are.
TEST(Chunks, LongTexts_EqualTheKernels) {
  for (const auto& [shape, length] : {std::pair{ChunkShape{2, 30, 30, false}, 40000},
                                      std::pair{ChunkShape{4100, 0, 0, true}, 4100}}) {
    const std::vector<ChunkedText> texts = {{0, length}};
    const at::Tensor qkv = at::randn({length, 3, 2, 8});
    const std::vector<ChunkRun> runs = UploadChunkRuns(Portable(), shape, texts, {});
    const at::Tensor got =
        Portable().LocalChunks(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), runs);
    const std::vector<ChunkWindow> windows = PlanChunkWindows(texts, shape, length);
    ASSERT_EQ(windows.size(), 1u);
    EXPECT_TRUE(
        at::allclose(got, LocalChunkAttention(qkv, windows[0], {}, shape.causal), 2e-5, 2e-5));
  }
}

// A text of NaN or of infinities changes nothing of its neighbours.
TEST(Chunks, ABadText_SpoilsOnlyItself) {
  Layer layer({{4, 1, 1, false}, {{12, 0}, {8, 0}, {3}, {12, 0}}, {{2, {4}}}});
  at::Tensor exact = layer.exact().clone();
  const std::vector<ChunkRun> of_text_order =
      UploadChunkRuns(Portable(), {4, 1, 1, false}, layer.rows(), {});
  const auto run = [&] {
    return std::pair{Portable().LshChunks(exact, layer.q(), layer.v(), layer.runs()),
                     Portable().LocalChunks(layer.q(), layer.q(), layer.v(), of_text_order)};
  };
  const auto good = run();
  for (const float bad : {kInfinity, -kInfinity, NAN}) {
    for (at::Tensor x : {layer.q(), layer.v(), exact}) x.slice(0, 12, 23).fill_(bad);
    const auto spoilt = run();
    for (const auto& [got, want] :
         {std::pair{spoilt.first, good.first}, {spoilt.second, good.second}}) {
      EXPECT_TRUE(at::equal(got.slice(0, 0, 12), want.slice(0, 0, 12)));
      EXPECT_TRUE(at::equal(got.slice(0, 23), want.slice(0, 23)));
      EXPECT_FALSE(got.slice(0, 12, 23).isfinite().any().item<bool>()) << "it must show";
    }
  }
}

TEST(Chunks, TheirInputStays) {
  Layer layer({{4, 1, 0, true}, {{12, 0}, {3}}, {{2, {4}}}, 2, 8, /*masked=*/true});
  const at::Tensor exact = layer.exact().clone(), q = layer.q().clone(), v = layer.v().clone();
  layer.Run();
  EXPECT_TRUE(at::equal(layer.exact(), exact));
  EXPECT_TRUE(at::equal(layer.q(), q));
  EXPECT_TRUE(at::equal(layer.v(), v));
}

}  // namespace
}  // namespace longspan
