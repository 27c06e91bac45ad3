#include "core/tools/pattern_recorder.h"

#include <algorithm>
#include <utility>

namespace longspan {
namespace {

bool IsRead(std::span<const uint8_t> key_mask, int32_t row) {
  return key_mask.empty() || key_mask[row] != 0;
}

// Calls pair(query slot, key slot, same chunk) for all pairs that the tasks bring together, whether
// the query sees the key or not.
template <typename Pair>
void ForEachPair(const kernels::ChunkAttentionParams& params, const Pair& pair) {
  for (int32_t t = 0; t < params.num_tasks; ++t) {
    const kernels::ChunkTask& task = params.tasks[t];
    for (int32_t query = task.query_slot; query < task.query_slot + task.length; ++query) {
      for (int32_t c = 0; c < task.num_key_chunks; ++c) {
        const bool same_chunk = task.key_slots[c] == task.query_slot;
        for (int32_t key = task.key_slots[c]; key < task.key_slots[c] + task.length; ++key)
          pair(query, key, same_chunk);
      }
    }
  }
}

int32_t PositionOf(const kernels::ChunkAttentionParams& params, int32_t slot) {
  const int32_t row = params.slot_rows ? params.slot_rows[slot] : slot;
  return params.positions ? params.positions[row] : row;
}

// True where the kernel scores the pair by q·k and not by -1e9.
bool IsVisible(const kernels::ChunkAttentionParams& params, int32_t query_position,
               int32_t key_slot) {
  const int32_t row = params.slot_rows ? params.slot_rows[key_slot] : key_slot;
  const bool read = params.key_mask == nullptr || params.key_mask[row] != 0;
  return kernels::VisibleFrom(read, params.causal, PositionOf(params, key_slot)) <= query_position;
}

}  // namespace

PatternRecorder::PatternRecorder(int64_t tokens, std::vector<bool> wanted, int64_t head)
    : tokens_(tokens), head_(head), wanted_(std::move(wanted)) {
  for (bool is_wanted : wanted_)
    layers_.push_back({AttentionPattern(is_wanted ? tokens : 0), std::nullopt});
}

PatternRecorder::Layer PatternRecorder::TakeLayer(int64_t layer) {
  layers_[layer].pattern.SettleSelf();
  return std::move(layers_[layer]);
}

void PatternRecorder::OnRowTasks(std::span<const kernels::RowTask> tasks,
                                 std::span<const uint8_t> key_mask) {
  if (!IsWanted()) return;
  // BigBird's first and last block are columns of the other blocks' tasks. Their own tasks have no
  // columns, since their rows see everything.
  const bool has_columns = std::any_of(tasks.begin(), tasks.end(),
                                       [](const auto& task) { return task.num_columns > 0; });
  for (const kernels::RowTask& task : tasks) {
    for (int32_t row = task.row_begin; row < task.row_end; ++row) {
      if (IsToken(row) && IsRead(key_mask, row))
        AddRow(task, row, has_columns && task.num_columns == 0, key_mask);
    }
  }
}

void PatternRecorder::AddRow(const kernels::RowTask& task, int32_t row, bool sees_all,
                             std::span<const uint8_t> key_mask) {
  AttentionPattern& pattern = layers_[layer_].pattern;
  const int32_t* columns_end = task.columns + task.num_columns;
  const kernels::BandRange band = kernels::BandAround(task, row);
  for (int32_t key = band.begin; key < band.end; ++key) {
    // A column inside the band counts once, as a column.
    const bool is_column = std::binary_search(task.columns, columns_end, key);
    if (IsToken(key) && IsRead(key_mask, key) && !is_column)
      pattern.Add(row, key, sees_all ? Sight::kGlobalQuery : Sight::kNear, 1);
  }
  for (const int32_t* key = task.columns; key != columns_end; ++key) {
    const int times = *key < task.weighted_end ? static_cast<int>(task.weight) : 1;
    if (IsToken(*key) && IsRead(key_mask, *key)) pattern.Add(row, *key, Sight::kGlobalKey, times);
  }
}

void PatternRecorder::OnGlobalRows(std::span<const int64_t> rows, int64_t begin, int64_t end,
                                   std::span<const uint8_t> key_mask) {
  if (!IsWanted()) return;
  AttentionPattern& pattern = layers_[layer_].pattern;
  for (int64_t row : rows) {
    pattern.HideRow(row);
    for (int64_t key = begin; key < end; ++key) {
      if (IsToken(key) && IsRead(key_mask, static_cast<int32_t>(key)))
        pattern.Add(row, key, Sight::kGlobalQuery, 1);
    }
  }
}

void PatternRecorder::OnLocalChunks(const kernels::ChunkAttentionParams& params) {
  if (!IsWanted()) return;
  AttentionPattern& pattern = layers_[layer_].pattern;
  ForEachPair(params, [&](int32_t query_slot, int32_t key_slot, bool same_chunk) {
    const int32_t query = PositionOf(params, query_slot), key = PositionOf(params, key_slot);
    if (!IsToken(query) || !IsToken(key) || !IsVisible(params, query, key_slot)) return;
    pattern.Add(query, key, same_chunk ? Sight::kNear : Sight::kBeside, 1);
  });
}

void PatternRecorder::OnLshChunks(int64_t head, const kernels::ChunkAttentionParams& params,
                                  const LshOrder* order) {
  if (!IsWanted() || head != head_) return;
  Layer& layer = layers_[layer_];
  if (order != nullptr && !layer.sorting.has_value()) {
    const int32_t slots = order->num_hashes * order->length;
    layer.sorting = LshSorting{.head = head,
                               .num_hashes = order->num_hashes,
                               .num_buckets = order->num_buckets,
                               .length = order->length,
                               .slots = std::vector<int32_t>(order->slots, order->slots + slots),
                               .buckets = {},
                               .pattern = AttentionPattern(slots)};
    for (int32_t slot = 0; slot < slots; ++slot) {
      layer.sorting->buckets.push_back(
          order->buckets[slot / order->length * order->length + order->slots[slot]]);
    }
  }
  ForEachPair(params, [&](int32_t query_slot, int32_t key_slot, bool) {
    const int32_t query = PositionOf(params, query_slot), key = PositionOf(params, key_slot);
    if (!IsToken(query) || !IsToken(key)) return;
    Sight sight = Sight::kNear;
    if (query == key) {
      sight = Sight::kSelfOnly;  // its score is -1e5, whatever the mask says
    } else if (!IsVisible(params, query, key_slot)) {
      return;
    } else if (order != nullptr) {
      const std::vector<int32_t>& buckets = layer.sorting->buckets;
      const bool same_round = query_slot / order->length == key_slot / order->length;
      if (!same_round || buckets[query_slot] != buckets[key_slot]) sight = Sight::kBeside;
    }
    layer.pattern.Add(query, key, sight, 1);
    if (order != nullptr) layer.sorting->pattern.Add(query_slot, key_slot, sight, 1);
  });
}

}  // namespace longspan
