#include "core/tools/pattern_panel.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace longspan {
namespace {

std::string Plural(int64_t count, const std::string& noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string LayersText(const std::vector<int>& layers) {
  std::vector<std::string> ranges;
  for (size_t i = 0; i < layers.size();) {
    size_t end = i;
    while (end + 1 < layers.size() && layers[end + 1] == layers[end] + 1) ++end;
    ranges.push_back(end == i ? absl::StrCat(layers[i])
                              : absl::StrCat(layers[i], "-", layers[end]));
    i = end + 1;
  }
  if (ranges.size() > 5) {
    ranges.resize(4);
    ranges.push_back("...");
  }
  return absl::StrCat(layers.size() == 1 ? "layer " : "layers ", absl::StrJoin(ranges, ", "));
}

std::string ChunkNeighbours(const LayerAttention& layer) {
  return absl::StrCat("chunks of ", layer.chunk_length, ", ", layer.chunks_before, " before and ",
                      layer.chunks_after, " after in reach");
}

std::string GlobalsText(const RecordedPatterns& recorded) {
  if (recorded.globals.empty())
    return recorded.info.supports_global_attention ? "no global tokens" : "";
  std::vector<std::string> shown;
  for (int32_t position : recorded.globals) {
    if (shown.size() == 6) {
      shown.push_back("...");
      break;
    }
    shown.push_back(absl::StrCat(position));
  }
  return absl::StrCat(recorded.globals.size() == 1 ? "global token " : "global tokens ",
                      absl::StrJoin(shown, ", "));
}

int MostTimes(const AttentionPattern& pattern) {
  int most = 1;
  for (int64_t query = 0; query < pattern.rows(); ++query) {
    for (int64_t key = 0; key < pattern.rows(); ++key)
      most = std::max(most, pattern.times(query, key));
  }
  return most;
}

bool IsCausal(const RecordedPatterns& recorded) { return recorded.info.is_causal; }

// The panel in text order. What its colours and its lines say depends on the kind of attention and
// on the length of this text.
PatternPanel TextPanel(const RecordedPatterns& recorded, const LayerPattern& layer) {
  const LayerAttention& attention = layer.attention;
  PatternPanel panel;
  panel.pattern = &layer.pattern;
  panel.row_axis = "query";
  panel.column_axis = "key";
  panel.most_times = MostTimes(layer.pattern);
  panel.meaning[Sight::kGlobalKey] = "global token as a key";
  panel.meaning[Sight::kGlobalQuery] = "global token as a query: sees all";
  const bool is_short = recorded.tokens <= recorded.info.dense_up_to;
  std::string name;
  switch (attention.kind) {
    case AttentionKind::kDense:
      name = "dense";
      panel.words.push_back("every token sees every token");
      panel.meaning[Sight::kNear] = "seen";
      break;
    case AttentionKind::kSlidingWindow:
      name = is_short ? "dense, short text" : "sliding window";
      panel.words.push_back(is_short
                                ? absl::StrCat("texts up to ", recorded.info.dense_up_to,
                                               " tokens see all of themselves")
                                : absl::StrCat(Plural(attention.window, "token"), " on each side"));
      panel.words.push_back(GlobalsText(recorded));
      panel.meaning[Sight::kNear] = is_short ? "seen" : "in the window";
      break;
    case AttentionKind::kBlockSparse:
      name = is_short ? "dense, short text" : "block sparse";
      if (is_short) {
        panel.words.push_back(absl::StrCat("texts up to ", recorded.info.dense_up_to,
                                           " tokens see all of themselves"));
      } else {
        panel.chunk = attention.chunk_length;
        panel.words.push_back(absl::StrCat("blocks of ", attention.chunk_length,
                                           ": neighbours, the first and the last"));
        panel.words.push_back(
            absl::StrCat("keys of block 0 count ", 1 + attention.random_blocks, " times"));
      }
      panel.meaning[Sight::kNear] = is_short ? "seen" : "own block and its neighbours";
      panel.meaning[Sight::kGlobalKey] = "key of the first or last block";
      panel.meaning[Sight::kGlobalQuery] = "query of the first or last block: sees all";
      break;
    case AttentionKind::kLocalChunk:
      name = "local chunks";
      panel.chunk = attention.chunk_length;
      panel.words.push_back(ChunkNeighbours(attention));
      panel.words.push_back(IsCausal(recorded) ? "causal: no key after the query"
                                               : "the chunks form a circle");
      panel.meaning[Sight::kNear] = "own chunk";
      panel.meaning[Sight::kBeside] = "neighbouring chunk";
      break;
    case AttentionKind::kLsh:
      name = layer.sorting.has_value() ? "LSH, text order" : "LSH, short text";
      panel.sorting = layer.sorting.has_value() ? &*layer.sorting : nullptr;
      if (panel.sorting) {
        panel.words.push_back(absl::StrCat("head ", panel.sorting->head, ", ",
                                           Plural(panel.sorting->num_hashes, "hash round"), ", ",
                                           panel.sorting->num_buckets, " buckets"));
        panel.words.push_back(panel.sorting->num_hashes > 1
                                  ? "strips: bucket of each token in the first two rounds"
                                  : "strip: bucket of each token");
      } else {
        panel.words.push_back("no longer than a chunk: nothing is hashed");
      }
      panel.meaning[Sight::kNear] = panel.sorting ? "same bucket" : "seen";
      panel.meaning[Sight::kBeside] = "other bucket, in reach by the sorted order";
      panel.meaning[Sight::kSelfOnly] = "itself: only where nothing else is in reach";
      break;
  }
  panel.title = absl::StrCat(name, ", ", LayersText(layer.layers));
  for (const std::string& text : recorded.token_texts)
    panel.labels.push_back(text == " " ? "␣" : text);
  return panel;
}

// The panel of an LSH layer in sorted order.
PatternPanel SortedPanel(const RecordedPatterns& recorded, const LayerPattern& layer) {
  PatternPanel panel = TextPanel(recorded, layer);
  panel.pattern = &layer.sorting->pattern;
  panel.most_times = MostTimes(*panel.pattern);
  panel.sorted = true;
  panel.chunk = layer.attention.chunk_length;
  panel.title = absl::StrCat("LSH, sorted by bucket, ", LayersText(layer.layers));
  panel.words = {ChunkNeighbours(layer.attention), layer.sorting->num_hashes > 1
                                                       ? "bold lines: rounds, one behind the other"
                                                       : "strip: bucket of each slot"};
  panel.row_axis = "query slot";
  panel.column_axis = "key slot";
  const std::vector<std::string> labels = std::exchange(panel.labels, {});
  for (int32_t slot : layer.sorting->slots) {
    if (!labels.empty()) panel.labels.push_back(slot < recorded.tokens ? labels[slot] : "");
  }
  return panel;
}

// The colour of a cell; null where it is hidden.
const char* CellColor(const PatternPanel& panel, int64_t query, int64_t key) {
  const Sight sight = panel.pattern->sight(query, key);
  if (sight == Sight::kHidden) return nullptr;
  const SightStyle& style = StyleOf(sight);
  const bool often = !panel.sorting && panel.pattern->times(query, key) > 1;
  return often ? style.often : style.color;
}

}  // namespace

const SightStyle& StyleOf(Sight sight) {
  static constexpr std::array<SightStyle, 6> kStyles = {
      SightStyle{"#eceff3", "#eceff3"}, SightStyle{"#b4bcc6", "#b4bcc6"},
      SightStyle{"#8cc7ea", "#5ea9d6"}, SightStyle{"#0072b2", "#004b78"},
      SightStyle{"#e69f00", "#a86f00"}, SightStyle{"#d55e00", "#9a4300"}};
  return kStyles[static_cast<size_t>(sight)];
}

std::vector<PatternPanel> MakePanels(const RecordedPatterns& recorded) {
  std::vector<PatternPanel> panels;
  for (const LayerPattern& layer : recorded.layers) {
    panels.push_back(TextPanel(recorded, layer));
    if (layer.sorting.has_value()) panels.push_back(SortedPanel(recorded, layer));
  }
  return panels;
}

// Equal cells side by side in a row form a run. A run grows into a rectangle while the next row has
// the same run.
std::map<std::string, std::vector<Drawing::Cells::Run>> CellRuns(const PatternPanel& panel) {
  std::map<std::string, std::vector<Drawing::Cells::Run>> done;
  std::map<std::pair<int64_t, std::string>, Drawing::Cells::Run> open, next;
  const int64_t n = panel.pattern->rows();
  for (int64_t row = 0; row < n; ++row) {
    next.clear();
    for (int64_t column = 0; column < n;) {
      const char* color = CellColor(panel, row, column);
      int64_t end = column + 1;
      while (end < n && CellColor(panel, row, end) == color) ++end;
      if (color != nullptr) {
        Drawing::Cells::Run run = {column, row, end - column, 1};
        const auto above = open.find({column, color});
        if (above != open.end() && above->second.columns == run.columns) {
          run = above->second;
          ++run.rows;
          open.erase(above);
        }
        next.emplace(std::pair(column, std::string(color)), run);
      }
      column = end;
    }
    for (const auto& [place, run] : open) done[place.second].push_back(run);
    open.swap(next);
  }
  for (const auto& [place, run] : open) done[place.second].push_back(run);
  return done;
}

}  // namespace longspan
