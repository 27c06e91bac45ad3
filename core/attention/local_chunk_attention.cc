#include "core/attention/local_chunk_attention.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/attention/attention_observer.h"
#include "core/layers/element_type_of.h"

namespace longspan {
namespace {

// Appends the tasks of one text to a window. In a window that holds the whole text, the chunks wrap
// around. In a window that holds a part of the text, its neighbours lie beside it, and nothing
// wraps.
struct TaskWriter {
  ChunkWindow& window;
  const ChunkShape& shape;

  // The text's first row is row `row` of the window.
  void WholeText(const ChunkedText& text, int32_t row) {
    const bool is_one_chunk = text.length <= shape.chunk_length;
    const int32_t C = is_one_chunk ? text.length : shape.chunk_length;
    const int32_t num_chunks = text.length / C;
    const int32_t before = is_one_chunk ? 0 : shape.chunks_before;
    const int32_t after = is_one_chunk ? 0 : shape.chunks_after;
    std::vector<int32_t> chunks(before + 1 + after);
    for (int32_t c = 0; c < num_chunks; ++c) {
      kernels::CircularChunks(c, num_chunks, before, after, chunks.data());
      for (int32_t& chunk : chunks) chunk = row + chunk * C;
      Add(row + c * C, C, chunks);
    }
  }

  // The queries are num_chunks chunks from row `row` of the window on. Their neighbours lie on both
  // sides of them.
  void Part(int32_t row, int32_t num_chunks) {
    const int32_t C = shape.chunk_length;
    std::vector<int32_t> chunks;
    for (int32_t c = 0; c < num_chunks; ++c) {
      chunks.clear();
      for (int32_t offset = -shape.chunks_before; offset <= shape.chunks_after; ++offset)
        chunks.push_back(row + (c + offset) * C);
      Add(row + c * C, C, chunks);
    }
  }

  // One chunk of queries and the first rows of the chunks of keys that it sees.
  void Add(int32_t query_slot, int32_t length, const std::vector<int32_t>& key_slots) {
    window.tasks.push_back({.query_slot = query_slot,
                            .length = length,
                            .out_row = query_slot - static_cast<int32_t>(window.first_query),
                            .num_key_chunks = static_cast<int32_t>(key_slots.size())});
    window.key_slots.insert(window.key_slots.end(), key_slots.begin(), key_slots.end());
  }
};

// Appends the positions [begin, end) of a text to the rows of a window. They are joined to the last
// range where they follow it.
void AddRows(ChunkWindow& window, const ChunkedText& text, int32_t begin, int32_t end) {
  if (begin == end) return;
  if (!window.row_ranges.empty() && window.row_ranges.back().second == text.row_begin + begin) {
    window.row_ranges.back().second = text.row_begin + end;
  } else {
    window.row_ranges.emplace_back(text.row_begin + begin, text.row_begin + end);
  }
  for (int32_t position = begin; position < end; ++position) window.positions.push_back(position);
  window.num_rows += end - begin;
}

// Sets the pointers of the tasks and appends the window.
void Finish(ChunkWindow window, std::vector<ChunkWindow>& windows) {
  if (window.tasks.empty()) return;
  const int32_t* key_slots = window.key_slots.data();  // moving the vector keeps its buffer
  for (kernels::ChunkTask& task : window.tasks) {
    task.key_slots = key_slots;
    key_slots += task.num_key_chunks;
  }
  windows.push_back(std::move(window));
}

// The window of the chunks [first, last) of a long text. Their neighbours are taken from the other
// end of the text where they lie beyond its ends.
ChunkWindow PartOfText(const ChunkedText& text, const ChunkShape& shape, int32_t first,
                       int32_t last) {
  const int32_t C = shape.chunk_length, num_chunks = text.length / C;
  ChunkWindow window{.query_begin = text.row_begin + int64_t{first} * C,
                     .num_queries = int64_t{last - first} * C};
  for (int32_t c = first - shape.chunks_before; c < last + shape.chunks_after; ++c) {
    if (c == first) window.first_query = window.num_rows;
    const int32_t chunk = (c + num_chunks) % num_chunks;
    AddRows(window, text, chunk * C, (chunk + 1) * C);
  }
  TaskWriter{window, shape}.Part(static_cast<int32_t>(window.first_query), last - first);
  return window;
}

}  // namespace

std::vector<ChunkWindow> PlanChunkWindows(std::span<const ChunkedText> texts,
                                          const ChunkShape& shape, int64_t max_queries) {
  std::vector<ChunkWindow> windows;
  ChunkWindow group;  // whole texts, one behind the other
  const auto finish_group = [&] { Finish(std::exchange(group, ChunkWindow{}), windows); };
  const int32_t chunks_a_window =
      static_cast<int32_t>(std::max<int64_t>(1, max_queries / shape.chunk_length));
  for (const ChunkedText& text : texts) {
    const int32_t num_chunks = text.length / shape.chunk_length;
    // A window must not meet itself around the circle. Where it would, the text is taken whole.
    if (text.length > max_queries &&
        num_chunks >= chunks_a_window + shape.chunks_before + shape.chunks_after) {
      finish_group();
      for (int32_t c = 0; c < num_chunks; c += chunks_a_window) {
        Finish(PartOfText(text, shape, c, std::min(num_chunks, c + chunks_a_window)), windows);
      }
      continue;
    }
    const bool follows = group.query_begin + group.num_queries == text.row_begin;
    if (!group.tasks.empty() && (!follows || group.num_queries + text.length > max_queries))
      finish_group();
    if (group.tasks.empty()) group.query_begin = text.row_begin;
    TaskWriter{group, shape}.WholeText(text, static_cast<int32_t>(group.num_rows));
    AddRows(group, text, 0, text.length);
    group.num_queries += text.length;
  }
  finish_group();
  return windows;
}

namespace {

// The mask of the window's rows, [num_rows]; empty = all are read.
std::vector<uint8_t> WindowMask(const ChunkWindow& window, std::span<const uint8_t> key_mask) {
  std::vector<uint8_t> mask;
  if (key_mask.empty()) return mask;
  for (const auto& [begin, end] : window.row_ranges)
    mask.insert(mask.end(), key_mask.begin() + begin, key_mask.begin() + end);
  return mask;
}

// Who sees whom in a window: everything of the kernel's parameters but the tensors.
kernels::ChunkAttentionParams WindowParams(const ChunkWindow& window,
                                           const std::vector<uint8_t>& mask, bool causal) {
  return {.causal = causal,
          .positions = window.positions.data(),
          .key_mask = mask.empty() ? nullptr : mask.data(),
          .tasks = window.tasks.data(),
          .num_tasks = static_cast<int32_t>(window.tasks.size())};
}

}  // namespace

void ObserveChunkWindow(const ChunkWindow& window, std::span<const uint8_t> key_mask, bool causal,
                        AttentionObserver& observer) {
  const std::vector<uint8_t> mask = WindowMask(window, key_mask);
  observer.OnLocalChunks(WindowParams(window, mask, causal));
}

at::Tensor LocalChunkAttention(const at::Tensor& qkv, const ChunkWindow& window,
                               std::span<const uint8_t> key_mask, bool causal) {
  TORCH_CHECK(
      qkv.dim() == 4 && qkv.size(0) == window.num_rows && qkv.size(1) == 3 && qkv.is_contiguous(),
      "qkv must be contiguous [", window.num_rows, ", 3, H, D], got ", qkv.sizes());
  const int64_t H = qkv.size(2), D = qkv.size(3);
  const std::vector<uint8_t> mask = WindowMask(window, key_mask);
  at::Tensor out = at::empty({window.num_queries, H, D}, qkv.options());
  const int64_t part = H * D * qkv.element_size();
  kernels::ChunkAttentionParams params = WindowParams(window, mask, causal);
  params.type = ElementTypeOf(qkv);
  params.q = qkv.const_data_ptr();
  params.k = static_cast<const char*>(params.q) + part;
  params.v = static_cast<const char*>(params.q) + 2 * part;
  params.q_stride = params.k_stride = params.v_stride = 3 * H * D;
  params.num_heads = static_cast<int32_t>(H);
  params.head_size = static_cast<int32_t>(D);
  params.out_type = ElementTypeOf(out);
  params.out = out.data_ptr();
  params.out_stride = H * D;
  kernels::ChunkAttention(params);
  return out;
}

}  // namespace longspan
