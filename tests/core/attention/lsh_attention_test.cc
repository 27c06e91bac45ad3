#include "core/attention/lsh_attention.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tests/reference/lsh_attention.h"

namespace longspan {
namespace {

constexpr int kHeads = 2;

struct TextCase {
  int length, num_hashes;
  std::vector<int32_t> factors;
};

std::vector<float> Slice(const at::Tensor& x) {
  const at::Tensor dense = x.contiguous();
  return {dense.const_data_ptr<float>(), dense.const_data_ptr<float>() + dense.numel()};
}

// Drives all heads of a batch at once, as a layer does: [rows, H, D].
class Layer {
 public:
  Layer(const ChunkShape& shape, at::ScalarType type, int head_size,
        const std::vector<TextCase>& cases, std::span<const uint8_t> mask)
      : head_size_(head_size) {
    std::vector<LshAttention::Text> texts;
    for (const TextCase& text : cases) {
      if (text.length > shape.chunk_length)
        rotations_.push_back(
            DrawLshRotations(text.length, kHeads, head_size, text.num_hashes, text.factors));
    }
    size_t next = 0;
    for (const TextCase& text : cases) {
      texts.push_back(
          {{rows_, text.length}, text.length > shape.chunk_length ? &rotations_[next++] : nullptr});
      rows_ += text.length;
    }
    texts_ = texts;
    attention_.emplace(shape, type, head_size, kHeads, texts, mask, rows_);
  }

  std::vector<float> Run(const std::vector<std::vector<float>>& qk,
                         const std::vector<std::vector<float>>& v) {
    for (int h = 0; h < kHeads; ++h) {
      for (int64_t row = 0; row < rows_; row += 5)
        Take(h, row, std::min<int64_t>(5, rows_ - row), qk[h], v[h]);
    }
    attention_->Sort(kHeads);
    std::vector<float> out(rows_ * kHeads * head_size_);
    for (int h = 0; h < kHeads; ++h) Merge(h, out);
    return out;
  }

  const LshRotations* rotations(int text) const { return texts_[text].rotations; }

 private:
  void Take(int h, int64_t row, int64_t count, const std::vector<float>& qk,
            const std::vector<float>& v) {
    const auto rows = [&](const std::vector<float>& from) {
      at::Tensor part = at::empty({count, head_size_}, at::kFloat);
      std::copy_n(&from[row * head_size_], count * head_size_, part.mutable_data_ptr<float>());
      return part;
    };
    attention_->Take(h, h, row, rows(qk), rows(v));
  }

  void Merge(int h, std::vector<float>& out) {
    std::vector<float> sum(rows_ * head_size_, NAN), maximum(rows_), weight(rows_);
    const kernels::LshMergeState state{sum.data(), maximum.data(), weight.data(), head_size_};
    for (int32_t r = 0; r < attention_->num_rounds(); ++r) {
      for (const LshAttention::Block& block : attention_->blocks(r)) {
        at::Tensor part = at::empty({block.num_slots, head_size_}, at::kFloat);
        std::vector<float> lse(block.num_slots);
        attention_->Attend(h, block, part, lse.data());
        kernels::LshMergeRound(state, part.const_data_ptr<float>(), lse.data(),
                               attention_->row_begin(block), attention_->slots(h, block),
                               block.num_slots, r == 0);
      }
    }
    kernels::LshMergeFinish(state, 0, rows_);
    for (int64_t row = 0; row < rows_; ++row)
      std::copy_n(&sum[row * head_size_], head_size_, &out[(row * kHeads + h) * head_size_]);
  }

  int head_size_;
  int64_t rows_ = 0;
  std::vector<LshRotations> rotations_;
  std::vector<LshAttention::Text> texts_;
  std::optional<LshAttention> attention_;
};

// Compares a batch of texts with the reference, text by text and head by head, with the buckets of
// the reference. For bfloat16 the reference gets qk and v as bfloat16 holds them; the buckets still
// come from the float32 qk.
void ExpectEqualsReference(const ChunkShape& shape, at::ScalarType type, int D,
                           const std::vector<TextCase>& cases, int mask_kind,
                           std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, 1.2f);
  int64_t rows = 0;
  for (const TextCase& text : cases) rows += text.length;
  std::vector<uint8_t> mask(rows, 1);
  if (mask_kind == 1) {
    for (uint8_t& read : mask) read = random() % 3 != 0;
  }
  std::vector<std::vector<float>> qk(kHeads), v(kHeads);
  for (int h = 0; h < kHeads; ++h) {
    for (int64_t i = 0; i < rows * D; ++i)
      qk[h].push_back(normal(random)), v[h].push_back(normal(random));
  }
  Layer layer(shape, type, D, cases, mask_kind == 0 ? std::span<const uint8_t>() : mask);
  const std::vector<float> got = layer.Run(qk, v);

  int64_t begin = 0;
  for (size_t t = 0; t < cases.size(); ++t) {
    const TextCase& text = cases[t];
    reference::ChunkedText chunked{
        text.length,
        D,
        shape.chunk_length,
        shape.chunks_before,
        shape.chunks_after,
        shape.causal,
        std::vector<uint8_t>(mask.begin() + begin, mask.begin() + begin + text.length)};
    for (int h = 0; h < kHeads; ++h) {
      std::vector<float> text_qk(&qk[h][begin * D], &qk[h][begin * D] + text.length * D);
      std::vector<float> text_v(&v[h][begin * D], &v[h][begin * D] + text.length * D);
      std::vector<int> buckets;
      if (layer.rotations(t)) {
        int64_t columns = 0;
        for (int factor : text.factors) columns += text.num_hashes * factor / 2;
        buckets = reference::LshBuckets(
            chunked, text_qk, Slice(layer.rotations(t)->values.select(0, h).narrow(1, 0, columns)),
            text.num_hashes, text.factors);
      }
      if (type == at::kBFloat16) {
        for (std::vector<float>* values : {&text_qk, &text_v})
          for (float& value : *values) value = static_cast<float>(at::BFloat16(value));
      }
      const std::vector<double> want =
          reference::LshAttention(chunked, text_qk, text_v, buckets, text.num_hashes);
      double worst = 0;
      for (int i = 0; i < text.length * D; ++i) {
        const float value = got[((begin + i / D) * kHeads + h) * D + i % D];
        worst = std::max(
            worst, std::isnan(value) ? 1e9 : std::abs(want[i] - value) / (1 + std::abs(want[i])));
      }
      EXPECT_LT(worst, type == at::kFloat ? 2e-5 : 1e-2)
          << "text " << t << " of " << text.length << " C " << shape.chunk_length << " before "
          << shape.chunks_before << " after " << shape.chunks_after << " causal " << shape.causal
          << " D " << D << " rounds " << text.num_hashes << " mask " << mask_kind;
    }
    begin += text.length;
  }
}

class LshAttentionTest : public testing::TestWithParam<at::ScalarType> {};

TEST_P(LshAttentionTest, EqualsReference_OverRoundsChunksMasksAndBuckets) {
  std::mt19937 random(5);
  for (int rounds = 1; rounds <= 8; ++rounds) {
    for (int before : {0, 1, 2}) {
      for (int after : {0, 1, 2}) {
        for (bool causal : {false, true}) {
          for (int mask : {0, 1}) {
            ExpectEqualsReference({4, before, after, causal}, GetParam(), 8,
                                  {{8, rounds, {4}}, {20, rounds, {4, 6}}}, mask, random);
          }
        }
      }
    }
  }
}

TEST_P(LshAttentionTest, EqualsReference_WhenTextsOfABatchDiffer) {
  std::mt19937 random(6);
  for (bool causal : {false, true}) {
    for (int mask : {0, 1}) {
      // Full attention, one round, several rounds and other buckets in one batch. Text 2 is longer
      // than a block of 512 slots.
      ExpectEqualsReference(
          {64, 1, 0, causal}, GetParam(), 64,
          {{1, 1, {}}, {64, 3, {}}, {640, 1, {8, 16}}, {128, 4, {4}}, {192, 2, {30}}}, mask,
          random);
      ExpectEqualsReference({6, 1, 1, causal}, GetParam(), 12,
                            {{5, 1, {}}, {12, 2, {2}}, {6, 1, {}}, {600, 1, {2, 4, 6}}}, mask,
                            random);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LshAttentionTest, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) {
                           return info.param == at::kFloat ? "Float32" : "BFloat16";
                         });

// The first numbers that the published code draws with seed 0 for the shape [2, 8, 2, 2].
TEST(DrawLshRotations, GivesTheStreamOfThePublishedModels) {
  const LshRotations rotations = DrawLshRotations(0, 2, 8, 2, {4});
  const float want[] = {-1.125840f, -1.152360f, -0.250579f, -0.433879f,
                        0.848710f,  0.692009f,  -0.316013f, -2.115219f};
  for (int i = 0; i < 8; ++i)
    EXPECT_NEAR(rotations.values[0][i / 4][i % 4].item<float>(), want[i], 1e-6);
  EXPECT_NEAR(rotations.values[1][7][3].item<float>(), -0.551529f, 1e-6);
  EXPECT_EQ(rotations.num_buckets, 4);
}

TEST(AutomaticLshBuckets, FollowsThePaddedLength) {
  using testing::ElementsAre;
  EXPECT_THAT(AutomaticLshBuckets(128, 64, 524288), ElementsAre(4));
  EXPECT_THAT(AutomaticLshBuckets(1024, 64, 524288), ElementsAre(32));
  EXPECT_THAT(AutomaticLshBuckets(4096, 64, 524288), ElementsAre(128));
  EXPECT_THAT(AutomaticLshBuckets(16384, 64, 524288), ElementsAre(16, 32));
  EXPECT_THAT(AutomaticLshBuckets(65536, 64, 524288), ElementsAre(32, 64));
  EXPECT_THAT(AutomaticLshBuckets(524288, 64, 524288), ElementsAre(128, 128));
}

}  // namespace
}  // namespace longspan
