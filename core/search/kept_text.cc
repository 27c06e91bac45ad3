#include "core/search/kept_text.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "absl/status/status.h"
#include "core/search/cells.h"
#include "core/search/kept_places.h"
#include "core/search/token_weights.h"

namespace longspan {
namespace {

constexpr uint32_t kMagic = 0x544b534c;  // "LSKT"
constexpr uint32_t kVersion = 1;

struct Header {
  uint32_t magic = kMagic, version = kVersion;
  uint32_t format = 0, width = 0, cell_tokens = 0;
  uint32_t num_rows = 0, num_runs = 0, num_used = 0, num_words = 0, num_hits = 0, num_ids = 0;
  uint32_t place_bytes = 0;
  int64_t tokens_total = 0, tokens_used = 0;
};

// Where each section lies, one behind the other. What a section holds decides how many bytes each
// of its elements takes; every section begins at a multiple of the text's alignment.
struct Layout {
  Layout(const Header& header, int64_t num_cells) {
    const auto rows = static_cast<size_t>(header.num_rows);
    const auto cells = static_cast<size_t>(num_cells);
    const auto format = static_cast<TokenFormat>(header.format);
    Place(&runs, header.num_runs * sizeof(KeptRun));
    Place(&used_text, header.num_used * sizeof(KeptRange));
    Place(&mean_rows, cells * RowStride(header.width));
    Place(&mean_scales, cells * sizeof(float));
    Place(&rows_, rows * CodeBytes(format, header.width));
    Place(&scales, rows * sizeof(float));
    Place(&blends, format == TokenFormat::kTwoBit ? rows : 0);
    Place(&cell_lengths, cells * sizeof(uint32_t));
    Place(&words, header.num_words * sizeof(KeptText::Word));
    Place(&hits, header.num_hits * sizeof(uint32_t));
    Place(&ids, header.num_ids * sizeof(KeptText::Id));
    Place(&place_offsets, (cells + 1) * sizeof(uint32_t));
    Place(&places, header.place_bytes);
  }

  size_t size = sizeof(Header);
  size_t runs = 0, used_text = 0, mean_rows = 0, mean_scales = 0, rows_ = 0, scales = 0;
  size_t blends = 0, cell_lengths = 0, words = 0, hits = 0, ids = 0, place_offsets = 0, places = 0;

 private:
  void Place(size_t* section, size_t bytes) {
    *section = size;
    size += (bytes + kKeptTextAlignment - 1) / kKeptTextAlignment * kKeptTextAlignment;
  }
};
static_assert(sizeof(Header) % kKeptTextAlignment == 0);

// The words of a text by their stems.
struct Words {
  std::vector<uint32_t> cell_lengths, hits;
  std::vector<KeptText::Word> words;
};

// Counts the blocks that hold one of the cells, which ascend and may be there several times.
uint32_t BlocksOf(std::span<const uint32_t> cells, std::span<const CellRun> runs) {
  int64_t blocks = 0;
  auto run = runs.begin();
  int64_t counted = -1;  // the last block of the run that was counted
  for (const uint32_t cell : cells) {
    while (cell >= run->first_cell + run->cells) {
      ++run;
      counted = -1;
    }
    const int64_t in_run = cell - run->first_cell, last = LastBlockOf(in_run);
    blocks += std::max<int64_t>(0, last - std::max(counted, FirstBlockOf(in_run) - 1));
    counted = std::max(counted, last);
  }
  return static_cast<uint32_t>(blocks);
}

Words WordsOf(std::span<const KeptWord> words, std::span<const CellRun> runs, int64_t num_cells) {
  Words out;
  out.cell_lengths.resize(num_cells);
  std::vector<uint32_t> order(words.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return words[a].stem < words[b].stem; });
  out.hits.reserve(words.size());
  for (const uint32_t i : order) {
    if (out.words.empty() || out.words.back().stem != words[i].stem)
      out.words.push_back(
          {.stem = words[i].stem, .first_hit = static_cast<uint32_t>(out.hits.size())});
    out.hits.push_back(words[i].cell);
    ++out.cell_lengths[words[i].cell];
  }
  for (size_t i = 0; i < out.words.size(); ++i) {
    const size_t begin = out.words[i].first_hit;
    const size_t end = i + 1 < out.words.size() ? out.words[i + 1].first_hit : out.hits.size();
    out.words[i].blocks = BlocksOf({out.hits.data() + begin, end - begin}, runs);
  }
  return out;
}

std::vector<KeptText::Id> IdsOf(const KeptParts& parts) {
  std::vector<int32_t> distinct(parts.ids.begin(), parts.ids.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  TokenRarity rarity(distinct);
  for (const KeptRun& run : parts.runs)
    rarity.Count(parts.ids.subspan(run.first_row, run.end_row - run.first_row), parts.cell_tokens);
  std::vector<KeptText::Id> ids;
  ids.reserve(distinct.size());
  for (size_t i = 0; i < distinct.size(); ++i)
    ids.push_back({.id = distinct[i], .blocks = static_cast<uint32_t>(rarity.holding(i))});
  return ids;
}

class Writer {
 public:
  explicit Writer(size_t size) : bytes_(size) {}
  template <typename Range>
  void Put(size_t at, const Range& range) {
    if (!std::empty(range))
      std::memcpy(bytes_.data() + at, std::data(range),
                  std::size(range) * sizeof(*std::data(range)));
  }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

absl::Status Wrong(const char* what) {
  return absl::DataLossError(std::string("a kept text is damaged: ") + what);
}

// Ascending, without gaps, and all rows; each with a row.
bool HoldsAllRows(std::span<const KeptRun> runs, int64_t num_rows) {
  int64_t row = 0;
  for (const KeptRun& run : runs) {
    if (run.first_row != row || run.end_row <= row || run.end_row > num_rows) return false;
    row = run.end_row;
  }
  return row == num_rows;
}

bool HitsAreInside(std::span<const KeptText::Word> words, std::span<const uint32_t> hits,
                   int64_t num_cells) {
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t begin = words[i].first_hit;
    const size_t end = i + 1 < words.size() ? words[i + 1].first_hit : hits.size();
    if (begin >= end || end > hits.size()) return false;
    if (i > 0 && words[i].stem <= words[i - 1].stem) return false;
    if (!std::is_sorted(hits.begin() + begin, hits.begin() + end)) return false;
  }
  return (words.empty() ? hits.empty() : words[0].first_hit == 0) &&
         std::all_of(hits.begin(), hits.end(), [&](uint32_t cell) { return cell < num_cells; });
}

}  // namespace

std::vector<CellRun> CellRunsOf(std::span<const KeptRun> runs, int64_t cell_tokens) {
  std::vector<CellRun> out;
  out.reserve(runs.size());
  CellRun next;
  for (const KeptRun& run : runs) {
    next.first_row = run.first_row;
    next.end_row = run.end_row;
    next.cells = NumCells(run.end_row - run.first_row, cell_tokens);
    next.blocks = NumBlocks(next.cells);
    next.passages = NumPassages(next.cells);
    out.push_back(next);
    next.first_cell += next.cells;
    next.first_block += next.blocks;
    next.first_passage += next.passages;
  }
  return out;
}

std::vector<std::byte> PackText(const KeptParts& parts) {
  const std::vector<CellRun> runs = CellRunsOf(parts.runs, parts.cell_tokens);
  const int64_t num_cells = runs.empty() ? 0 : runs.back().first_cell + runs.back().cells;
  PackedCodes codes;
  for (const CellRun& run : runs)
    AppendCodes(*parts.rows, run.first_row, run.end_row, parts.cell_tokens, parts.format, &codes);
  const Words words = WordsOf(parts.words, runs, num_cells);
  const std::vector<KeptText::Id> ids = IdsOf(parts);
  const PackedPlaces places = PackPlaces(parts.places, runs, parts.cell_tokens);
  const Header header{.format = static_cast<uint32_t>(parts.format),
                      .width = static_cast<uint32_t>(parts.rows->width()),
                      .cell_tokens = static_cast<uint32_t>(parts.cell_tokens),
                      .num_rows = static_cast<uint32_t>(parts.ids.size()),
                      .num_runs = static_cast<uint32_t>(parts.runs.size()),
                      .num_used = static_cast<uint32_t>(parts.used_text.size()),
                      .num_words = static_cast<uint32_t>(words.words.size()),
                      .num_hits = static_cast<uint32_t>(words.hits.size()),
                      .num_ids = static_cast<uint32_t>(ids.size()),
                      .place_bytes = static_cast<uint32_t>(places.bytes.size()),
                      .tokens_total = parts.tokens_total,
                      .tokens_used = parts.tokens_used};
  const Layout layout(header, num_cells);
  Writer writer(layout.size);
  writer.Put(0, std::span<const Header>(&header, 1));
  writer.Put(layout.runs, parts.runs);
  writer.Put(layout.used_text, parts.used_text);
  writer.Put(layout.mean_rows, codes.mean_rows);
  writer.Put(layout.mean_scales, codes.mean_scales);
  writer.Put(layout.rows_, codes.rows);
  writer.Put(layout.scales, codes.scales);
  writer.Put(layout.blends, codes.blends);
  writer.Put(layout.cell_lengths, words.cell_lengths);
  writer.Put(layout.words, words.words);
  writer.Put(layout.hits, words.hits);
  writer.Put(layout.ids, ids);
  writer.Put(layout.place_offsets, places.offsets);
  writer.Put(layout.places, places.bytes);
  return writer.Take();
}

int64_t MostKeptBytes(const KeptSize& size) {
  constexpr int64_t kOther = 4096;  // header, ranges, and what fills sections up
  // Each run may end with a shorter cell.
  const int64_t cells = size.rows / size.cell_tokens + size.runs;
  const int64_t a_cell = RowStride(size.width) + 3 * static_cast<int64_t>(sizeof(float));
  const int64_t a_row = CodeBytes(size.format, size.width) + static_cast<int64_t>(sizeof(float)) +
                        1 + static_cast<int64_t>(sizeof(KeptText::Id)) + kMostPlaceBytes;
  const auto a_word = static_cast<int64_t>(sizeof(KeptText::Word) + sizeof(uint32_t));
  return kOther + size.runs * static_cast<int64_t>(sizeof(KeptRun) + sizeof(KeptRange)) +
         cells * a_cell + size.rows * a_row + size.words * a_word;
}

int64_t LeastKeptBytes(const KeptSize& size) {
  return size.rows * CodeBytes(size.format, size.width);
}

absl::StatusOr<KeptText> KeptText::Parse(std::span<const std::byte> bytes, int64_t width) {
  Header header;
  if (bytes.size() < sizeof(header)) return Wrong("it is shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto format = static_cast<TokenFormat>(header.format);
  if (header.magic != kMagic || header.version != kVersion) return Wrong("its first bytes");
  if (format != TokenFormat::kInt8 && format != TokenFormat::kTwoBit) return Wrong("its format");
  if (header.width != width || header.cell_tokens == 0) return Wrong("its width or its cells");
  const auto section = [&bytes]<typename T>(size_t at, size_t count, T*) {
    return std::span<const T>(reinterpret_cast<const T*>(bytes.data() + at), count);
  };
  KeptText text;
  if (header.num_runs > (bytes.size() - sizeof(header)) / sizeof(KeptRun)) return Wrong("its runs");
  text.runs_ = section(sizeof(header), header.num_runs, static_cast<KeptRun*>(nullptr));
  if (!HoldsAllRows(text.runs_, header.num_rows)) return Wrong("its runs");
  text.cell_runs_ = CellRunsOf(text.runs_, header.cell_tokens);
  int64_t num_cells = 0;
  if (!text.cell_runs_.empty()) {
    const CellRun& last = text.cell_runs_.back();
    num_cells = last.first_cell + last.cells;
    text.num_blocks_ = last.first_block + last.blocks;
    text.num_passages_ = last.first_passage + last.passages;
  }
  const Layout layout(header, num_cells);
  if (layout.size != bytes.size()) return Wrong("its size");
  text.format_ = format;
  text.width_ = width;
  text.cell_tokens_ = header.cell_tokens;
  text.num_rows_ = header.num_rows;
  text.tokens_total_ = header.tokens_total;
  text.tokens_used_ = header.tokens_used;
  text.num_bytes_ = bytes.size();
  const auto at = [&bytes](size_t offset) {
    return reinterpret_cast<const uint8_t*>(bytes.data() + offset);
  };
  const auto floats = [&bytes](size_t offset) {
    return reinterpret_cast<const float*>(bytes.data() + offset);
  };
  text.used_text_ = section(layout.used_text, header.num_used, static_cast<KeptRange*>(nullptr));
  text.means_ = {at(layout.mean_rows), floats(layout.mean_scales), RowStride(width)};
  text.codes_ = {.format = format,
                 .width = width,
                 .rows = at(layout.rows_),
                 .scales = floats(layout.scales),
                 .blends = at(layout.blends)};
  text.cell_lengths_ = section(layout.cell_lengths, num_cells, static_cast<uint32_t*>(nullptr));
  text.words_ = section(layout.words, header.num_words, static_cast<Word*>(nullptr));
  text.hits_ = section(layout.hits, header.num_hits, static_cast<uint32_t*>(nullptr));
  text.ids_ = section(layout.ids, header.num_ids, static_cast<Id*>(nullptr));
  text.place_offsets_ =
      section(layout.place_offsets, num_cells + 1, static_cast<uint32_t*>(nullptr));
  text.places_ = section(layout.places, header.place_bytes, static_cast<std::byte*>(nullptr));
  if (!HitsAreInside(text.words_, text.hits_, num_cells)) return Wrong("its words");
  if (!PlacesAreWhole(text.place_offsets_, text.places_, text.cell_runs_, text.cell_tokens_))
    return Wrong("its places");
  return text;
}

TokenMatrixView KeptText::Rows(int64_t begin, int64_t end, std::vector<uint8_t>* scratch) const {
  const int64_t stride = RowStride(width_);
  if (format_ == TokenFormat::kInt8)
    return {codes_.rows + begin * stride, codes_.scales + begin, stride};
  scratch->resize((end - begin) * stride);
  const CellRun& run = RunOf(begin);
  for (int64_t row = begin; row < end;) {
    const int64_t cell = run.first_cell + (row - run.first_row) / cell_tokens_;
    const int64_t count = std::min(cell_tokens_, end - row);
    DecodeTwoBit(codes_, means_.rows + cell * stride, row, count,
                 scratch->data() + (row - begin) * stride);
    row += count;
  }
  return {scratch->data(), codes_.scales + begin, stride};
}

std::vector<TokenPlace> KeptText::Places(int64_t begin, int64_t end) const {
  const CellRun& run = RunOf(begin);
  const int64_t first_cell = (begin - run.first_row) / cell_tokens_;
  int64_t row = run.first_row + first_cell * cell_tokens_;
  std::vector<TokenPlace> places;
  for (int64_t cell = run.first_cell + first_cell; row < end; ++cell) {
    const int64_t rows = std::min(cell_tokens_, run.end_row - row);
    AppendPlaces(places_.subspan(place_offsets_[cell]), rows, &places);
    row += rows;
  }
  const auto first = static_cast<ptrdiff_t>(begin - run.first_row - first_cell * cell_tokens_);
  places.erase(places.begin(), places.begin() + first);
  places.resize(end - begin);
  return places;
}

const CellRun& KeptText::RunOf(int64_t row) const {
  return *std::prev(
      std::upper_bound(cell_runs_.begin(), cell_runs_.end(), row,
                       [](int64_t r, const CellRun& run) { return r < run.first_row; }));
}

}  // namespace longspan
