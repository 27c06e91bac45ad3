#include <gmock/gmock.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randn.h>

#include <random>

#include "core/attention/local_chunk_attention.h"

namespace longspan {
namespace {

// The attention of all rows, computed window by window. Checks that each row is computed once.
at::Tensor AllWindows(const at::Tensor& qkv, std::span<const ChunkedText> texts,
                      const ChunkShape& shape, int64_t max_queries, std::span<const uint8_t> mask) {
  at::Tensor out = at::empty_like(qkv.select(1, 0));
  std::vector<int> written(qkv.size(0), 0);
  for (const ChunkWindow& window : PlanChunkWindows(texts, shape, max_queries)) {
    std::vector<at::Tensor> parts;
    for (const auto& [begin, end] : window.row_ranges)
      parts.push_back(qkv.narrow(0, begin, end - begin));
    out.narrow(0, window.query_begin, window.num_queries)
        .copy_(LocalChunkAttention(at::cat(parts), window, mask, shape.causal));
    for (int64_t i = 0; i < window.num_queries; ++i) ++written[window.query_begin + i];
  }
  EXPECT_THAT(written, testing::Each(1));
  return out;
}

// Any cut into windows gives what one window over everything gives. That one is compared with the
// reference by local_chunk_attention_test.
TEST(ChunkWindows, AnyCut_GivesTheSame) {
  std::mt19937 random(7);
  for (int before : {0, 1, 2}) {
    for (int after : {0, 1, 2}) {
      for (bool causal : {false, true}) {
        const ChunkShape shape{4, before, after, causal};
        std::vector<ChunkedText> texts;
        int64_t rows = 0;
        for (int32_t length : {4, 40, 3, 8, 12, 100, 1})
          texts.push_back({rows, length}), rows += length;
        const at::Tensor qkv = at::randn({rows, 3, 2, 8});
        std::vector<uint8_t> mask(rows);
        for (uint8_t& read : mask) read = random() % 4 != 0;
        const at::Tensor want = AllWindows(qkv, texts, shape, 1 << 20, mask);
        for (int64_t max_queries : {1, 4, 8, 20, 41, 64}) {
          const at::Tensor got = AllWindows(qkv, texts, shape, max_queries, mask);
          EXPECT_TRUE(at::allclose(got, want, 1e-5, 1e-6))
              << "windows of " << max_queries << " before " << before << " after " << after;
        }
      }
    }
  }
}

TEST(ChunkWindows, RowsOfADroppedTextAreLeftOut) {
  // Rows 4 ... 11 belong to a text that nobody waits for.
  const std::vector<ChunkedText> texts = {{0, 4}, {12, 4}};
  const std::vector<ChunkWindow> windows = PlanChunkWindows(texts, {4, 1, 0, false}, 64);
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[1].query_begin, 12);
}

}  // namespace
}  // namespace longspan
