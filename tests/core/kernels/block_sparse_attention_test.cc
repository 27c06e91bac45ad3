#include "core/kernels/block_sparse_attention.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/kernels/bfloat16.h"
#include "core/kernels/row_attention.h"
#include "tests/reference/attention.h"

namespace longspan::kernels {
namespace {

struct Text {
  int blocks = 2;
  int padding = 0;                 // tokens at the end that are not read
  std::vector<float> q, k, v;      // [length, H, D]
  std::vector<uint8_t> read = {};  // [length]
};

// Packed texts of normal numbers.
struct Batch {
  int block_size, random_blocks, num_heads, head_size;
  ElementType type;
  std::vector<Text> texts;

  int row() const { return num_heads * head_size; }

  void Fill(std::mt19937& random) {
    std::normal_distribution<float> normal(0.0f, 1.3f);
    for (Text& text : texts) {
      const int length = text.blocks * block_size;
      for (std::vector<float>* x : {&text.q, &text.k, &text.v}) {
        x->resize(static_cast<size_t>(length) * row());
        for (float& value : *x) {
          BFloat16 half;
          FromFloat(value = normal(random), &half);
          if (type == ElementType::kBFloat16) value = ToFloat(half);
        }
      }
      text.read.assign(length, 1);
      std::fill(text.read.end() - text.padding, text.read.end(), 0);
    }
  }

  std::vector<float> Run(const RowAttentionImplementation& implementation) const {
    std::vector<float> packed[3];
    std::vector<int32_t> cu_seqlens = {0};
    std::vector<uint8_t> mask;
    for (const Text& text : texts) {
      packed[0].insert(packed[0].end(), text.q.begin(), text.q.end());
      packed[1].insert(packed[1].end(), text.k.begin(), text.k.end());
      packed[2].insert(packed[2].end(), text.v.begin(), text.v.end());
      mask.insert(mask.end(), text.read.begin(), text.read.end());
      cu_seqlens.push_back(static_cast<int32_t>(mask.size()));
    }
    const size_t size = packed[0].size();
    std::vector<BFloat16> halves[3], half_out(size);
    for (int i = 0; i < 3; ++i) {
      halves[i].resize(size);
      for (size_t j = 0; j < size; ++j) FromFloat(packed[i][j], &halves[i][j]);
    }
    std::vector<float> out(size, NAN);
    const bool full = type == ElementType::kFloat32;
    BlockSparseAttentionParams params;
    params.tensors.type = type;
    params.tensors.q = full ? static_cast<const void*>(packed[0].data()) : halves[0].data();
    params.tensors.k = full ? static_cast<const void*>(packed[1].data()) : halves[1].data();
    params.tensors.v = full ? static_cast<const void*>(packed[2].data()) : halves[2].data();
    params.tensors.out = full ? static_cast<void*>(out.data()) : half_out.data();
    params.tensors.q_stride = params.tensors.k_stride = params.tensors.v_stride =
        params.tensors.out_stride = row();
    params.tensors.num_heads = num_heads;
    params.tensors.head_size = head_size;
    params.tensors.scale = 1.0f / std::sqrt(static_cast<float>(head_size));
    params.tensors.num_texts = static_cast<int32_t>(texts.size());
    params.tensors.cu_seqlens = cu_seqlens.data();
    params.tensors.key_mask = mask.data();
    params.block_size = block_size;
    params.random_blocks = random_blocks;
    const BlockSparseTasks made = MakeBlockSparseTasks(params);
    implementation.run(params.tensors, made.tasks.data(), static_cast<int64_t>(made.tasks.size()));
    if (!full)
      std::transform(half_out.begin(), half_out.end(), out.begin(),
                     [](BFloat16 x) { return ToFloat(x); });
    return out;
  }
};

// The rows of one head of x [T, H, D].
std::vector<float> HeadOf(const Batch& batch, const std::vector<float>& x, int head) {
  std::vector<float> rows;
  for (size_t t = 0; t < x.size() / batch.row(); ++t) {
    const float* begin = &x[t * batch.row() + static_cast<size_t>(head) * batch.head_size];
    rows.insert(rows.end(), begin, begin + batch.head_size);
  }
  return rows;
}

void ExpectEqualsReference(const Batch& batch, double error) {
  for (const auto& implementation : RowAttentionImplementations(batch.type)) {
    const std::vector<float> got = batch.Run(implementation);
    size_t first = 0;
    double worst = 0;
    for (const Text& text : batch.texts) {
      const int length = text.blocks * batch.block_size;
      for (int h = 0; h < batch.num_heads; ++h) {
        const reference::AttentionResult want = reference::Attention(
            length, batch.head_size, 1.0 / std::sqrt(batch.head_size), HeadOf(batch, text.q, h),
            HeadOf(batch, text.k, h), HeadOf(batch, text.v, h),
            reference::BlockSparsePattern(length, batch.block_size, batch.random_blocks,
                                          text.read));
        for (int t = 0; t < length; ++t) {
          for (int d = 0; d < batch.head_size; ++d) {
            const double expected = want.out[static_cast<size_t>(t) * batch.head_size + d];
            const double value = got[((first + t) * batch.num_heads + h) * batch.head_size + d];
            ASSERT_FALSE(std::isnan(value));
            if (text.read[t] == 0) {
              ASSERT_EQ(value, 0.0);
            }
            worst = std::max(worst, std::abs(expected - value) / (1 + std::abs(expected)));
          }
        }
      }
      first += length;
    }
    EXPECT_LT(worst, error) << implementation.name << " block " << batch.block_size << " r "
                            << batch.random_blocks << " D " << batch.head_size;
  }
}

TEST(BlockSparseAttention, EqualsReference_OverBlocksRandomCountsAndPadding) {
  std::mt19937 random(1);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    const double error = type == ElementType::kFloat32 ? 1e-5 : 0.012;
    for (int block_size : {1, 4, 5, 16, 64}) {
      for (int blocks : {2, 3, 4, 6, 13}) {
        for (int random_blocks : {0, 1, 3}) {
          for (int padding :
               {0, block_size - 1, std::min(2 * block_size + 1, blocks * block_size - 1)}) {
            Batch batch = {block_size, random_blocks, 2,
                           16,         type,          {{.blocks = blocks, .padding = padding}}};
            batch.Fill(random);
            ExpectEqualsReference(batch, error);
          }
        }
      }
    }
  }
}

TEST(BlockSparseAttention, EqualsReference_InABatchAndOverHeadSizes) {
  std::mt19937 random(2);
  for (int head_size : {8, 20, 64, 128}) {
    Batch batch = {16,
                   2,
                   3,
                   head_size,
                   ElementType::kFloat32,
                   {{.blocks = 9, .padding = 3}, {.blocks = 2}, {.blocks = 41, .padding = 17}}};
    batch.Fill(random);
    ExpectEqualsReference(batch, 1e-5);
  }
}

TEST(BlockSparseAttention, TextInABatch_IsBitIdenticalToTheTextAlone) {
  std::mt19937 random(3);
  Batch batch = {8,
                 3,
                 2,
                 24,
                 ElementType::kFloat32,
                 {{.blocks = 80, .padding = 5}, {.blocks = 7}, {.blocks = 12, .padding = 1}}};
  batch.Fill(random);
  for (const auto& implementation : RowAttentionImplementations(batch.type)) {
    const std::vector<float> all = batch.Run(implementation);
    size_t first = 0;
    for (const Text& text : batch.texts) {
      Batch single = batch;
      single.texts = {text};
      const std::vector<float> alone = single.Run(implementation);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin() + first))
          << implementation.name;
      first += alone.size();
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
