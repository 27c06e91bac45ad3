#include "server/search/query_words.h"

#include <numeric>
#include <utility>

#include "core/search/cells.h"
#include "server/search/cell_words.h"
#include "server/text/words.h"

namespace longspan {
namespace {

std::vector<int64_t> CellsOfRuns(const TokenPlaces& places, int64_t cell_tokens) {
  std::vector<int64_t> cells;
  for (const TokenPlaces::Run& run : places.runs())
    cells.push_back(NumCells(run.end_row - run.first_row, cell_tokens));
  return cells;
}

}  // namespace

CellWords::CellWords(size_t num_words, std::vector<int64_t> run_cells)
    : num_words_(num_words),
      run_cells_(std::move(run_cells)),
      lengths_(std::accumulate(run_cells_.begin(), run_cells_.end(), int64_t{0})) {}

void CellWords::Add(int64_t cell, int32_t word) {
  ++lengths_[cell];
  if (word >= 0) hits_.push_back({cell, word});
}

std::vector<WordCounts> CellWords::Blocks() const {
  std::vector<WordCounts> blocks;
  int64_t first_cell = 0;
  size_t hit = 0;
  for (const int64_t cells : run_cells_) {
    AddRun(first_cell, cells, &hit, &blocks);
    first_cell += cells;
  }
  return blocks;
}

void CellWords::AddRun(int64_t first_cell, int64_t cells, size_t* hit,
                       std::vector<WordCounts>* blocks) const {
  const size_t first_block = blocks->size();
  blocks->resize(first_block + NumBlocks(cells),
                 {.counts = std::vector<int32_t>(num_words_), .length = 0});
  const auto for_each_block = [&](int64_t cell, const auto& add) {
    for (int64_t b = FirstBlockOf(cell); b <= LastBlockOf(cell); ++b)
      add((*blocks)[first_block + b]);
  };
  for (int64_t cell = 0; cell < cells; ++cell) {
    const int32_t length = lengths_[first_cell + cell];
    for_each_block(cell, [length](WordCounts& block) { block.length += length; });
  }
  for (; *hit < hits_.size() && hits_[*hit].cell < first_cell + cells; ++*hit) {
    const Hit& one = hits_[*hit];
    for_each_block(one.cell - first_cell, [&one](WordCounts& block) { ++block.counts[one.word]; });
  }
}

absl::StatusOr<QueryWords> QueryWords::Read(std::string_view query, Stemmer& stemmer) {
  auto reader = WordReader::Create();
  if (!reader.ok()) return reader.status();
  QueryWords words;
  const absl::Status read = reader->Read(query, [&](std::string_view folded, int64_t, int64_t) {
    words.index_.try_emplace(std::string(stemmer.Stem(folded)),
                             static_cast<int32_t>(words.index_.size()));
    return true;
  });
  if (!read.ok()) return read;
  return words;
}

std::vector<uint64_t> QueryWords::Hashes() const {
  std::vector<uint64_t> hashes(index_.size());
  for (const auto& [stem, word] : index_) hashes[word] = StemHash(stem);
  return hashes;
}

absl::StatusOr<CellWords> QueryWords::CountIn(std::string_view text, const TokenPlaces& places,
                                              int64_t cell_tokens, Stemmer& stemmer,
                                              const StopCheck& stop) const {
  CellWords words(index_.size(), CellsOfRuns(places, cell_tokens));
  const absl::Status read = ReadCellWords(
      text, places, cell_tokens, stemmer, stop, [&](int64_t cell, std::string_view stem) {
        const auto found = index_.find(absl::string_view(stem.data(), stem.size()));
        words.Add(cell, found == index_.end() ? -1 : found->second);
      });
  if (!read.ok()) return read;
  return words;
}

}  // namespace longspan
