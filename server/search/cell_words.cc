#include "server/search/cell_words.h"

#include "core/search/cells.h"
#include "server/text/words.h"

namespace longspan {
namespace {

constexpr int64_t kWordsBetweenStops = 4096;

// Bytes of a text, in ascending order, and the cell that they are.
struct CellBytes {
  int64_t begin = 0, end = 0;
};

// A cell reaches to where the next one of its run begins, or to the end of its last token.
std::vector<CellBytes> BytesOfCells(const TokenPlaces& places, int64_t cell_tokens) {
  std::vector<CellBytes> cells;
  for (const TokenPlaces::Run& run : places.runs()) {
    for (int64_t row = run.first_row; row < run.end_row; row += cell_tokens) {
      const int64_t end = row + cell_tokens;
      cells.push_back({places.places()[row].byte_begin,
                       end < run.end_row ? places.places()[end].byte_begin
                                         : places.places()[run.end_row - 1].byte_end});
    }
  }
  return cells;
}

}  // namespace

absl::Status ReadCellWords(std::string_view text, const TokenPlaces& places, int64_t cell_tokens,
                           Stemmer& stemmer, const StopCheck& stop,
                           absl::FunctionRef<void(int64_t cell, std::string_view stem)> on_word) {
  auto reader = WordReader::Create();
  if (!reader.ok()) return reader.status();
  const std::vector<CellBytes> cells = BytesOfCells(places, cell_tokens);
  size_t cell = 0;  // the one that the word is in, or the next one
  int64_t until_stop = kWordsBetweenStops;
  absl::Status stopped;
  const absl::Status read =
      reader->Read(text, [&](std::string_view folded, int64_t begin, int64_t) {
        if (--until_stop == 0) {
          until_stop = kWordsBetweenStops;
          if (stop) stopped = stop();
        }
        while (cell < cells.size() && cells[cell].end <= begin) ++cell;
        if (cell == cells.size() || !stopped.ok()) return false;
        if (begin >= cells[cell].begin) on_word(static_cast<int64_t>(cell), stemmer.Stem(folded));
        return true;
      });
  return stopped.ok() ? read : stopped;
}

uint64_t StemHash(std::string_view stem) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : stem) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

absl::StatusOr<std::vector<KeptWord>> KeptWordsOf(std::string_view text, const TokenPlaces& places,
                                                  int64_t cell_tokens, Stemmer& stemmer,
                                                  const StopCheck& stop) {
  std::vector<KeptWord> words;
  const absl::Status read = ReadCellWords(
      text, places, cell_tokens, stemmer, stop, [&words](int64_t cell, std::string_view stem) {
        words.push_back({.stem = StemHash(stem), .cell = static_cast<uint32_t>(cell)});
      });
  if (!read.ok()) return read;
  return words;
}

}  // namespace longspan
