#include "core/attention/first_rows.h"

namespace longspan {
namespace {

std::span<const int32_t> GlobalsOfText(const PackedLayout& layout, size_t text) {
  if (layout.cu_globals.empty()) return {};
  return layout.globals.subspan(layout.cu_globals[text],
                                layout.cu_globals[text + 1] - layout.cu_globals[text]);
}

// Appends the rows that the first token of a text sees. Its window has no tokens on the left.
void AddVisibleRows(const PackedLayout& layout, size_t text, std::vector<int64_t>& rows) {
  const int64_t begin = layout.cu_seqlens[text], end = layout.cu_seqlens[text + 1];
  const int64_t window_end =
      layout.windows[text] < end - begin ? begin + layout.windows[text] + 1 : end;
  for (int64_t row = begin; row < window_end; ++row) rows.push_back(row);
  for (int32_t row : GlobalsOfText(layout, text)) {
    if (row >= window_end) rows.push_back(row);
  }
}

}  // namespace

FirstRowKeys KeysOfFirstRows(const PackedLayout& layout) {
  FirstRowKeys keys;
  for (size_t text = 0; text + 1 < layout.cu_seqlens.size(); ++text) {
    const std::span<const int32_t> globals = GlobalsOfText(layout, text);
    const bool first_is_global = !globals.empty() && globals.front() == layout.cu_seqlens[text];
    if (first_is_global) keys.global_firsts.push_back(globals.front());
    if (!first_is_global) AddVisibleRows(layout, text, keys.rows);
    keys.cu_global_firsts.push_back(static_cast<int32_t>(keys.global_firsts.size()));
    keys.cu_seqlens.push_back(static_cast<int32_t>(keys.rows.size()));
  }
  if (layout.key_mask.empty()) return keys;
  for (int64_t row : keys.rows) keys.key_mask.push_back(layout.key_mask[row]);
  return keys;
}

}  // namespace longspan
