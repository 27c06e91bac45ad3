// KeptText: all that search keeps of one text, as one run of bytes without pointers, so that it
// lies in memory as it lies in a file:
//
//   vectors     of each token, int8 or 2 bits a value (token_codes.h), and the mean of each cell
//   words       which cells hold each word, by a 64-bit hash of its stem; the length of each cell
//   token ids   how many blocks hold each id: how rare the question's tokens are
//   places      where each token stands in the text, in bytes and characters
//
// The text itself is not kept. Cells, passages and blocks are those of cells.h.
//
//   std::vector<std::byte> bytes = PackText(parts);
//   auto text = KeptText::Parse(bytes, width);        a view; the bytes outlive it
//
// Bytes a token of a model of 384 values: some 410 (int8), 125 (2 bits). Little-endian machines
// only, as the kernels are. A plain view: const methods may be called from several threads. Proven
// by kept_text_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/search/bm25.h"
#include "core/search/token_codes.h"
#include "core/search/token_matrix.h"
#include "core/token_place.h"

namespace longspan {

// Rows that stand one behind the other in the text; no passage goes beyond them.
struct KeptRun {
  int64_t first_row = 0, end_row = 0;
  int64_t first_token = 0;  // of the whole text, special tokens counted
};

// A word of the text: the hash of its stem, and the cell in which it begins.
struct KeptWord {
  uint64_t stem = 0;
  uint32_t cell = 0;
};

// Bytes of the text that the model read.
struct KeptRange {
  int64_t begin = 0, end = 0;
};

// What a text is made of. The spans need to live only until PackText returns.
struct KeptParts {
  TokenFormat format = TokenFormat::kInt8;
  int64_t cell_tokens = 0;
  const TokenMatrix* rows = nullptr;
  std::span<const KeptRun> runs;       // ascending; they hold all rows
  std::span<const int32_t> ids;        // [rows]
  std::span<const TokenPlace> places;  // [rows], ascending
  std::span<const KeptWord> words;     // cells ascend
  std::span<const KeptRange> used_text;
  int64_t tokens_total = 0;  // of the whole text, special tokens counted
  int64_t tokens_used = 0;   // that the model read
};

// The bytes are to lie at a multiple of this.
inline constexpr size_t kKeptTextAlignment = 8;
std::vector<std::byte> PackText(const KeptParts& parts);
// The most that a text of so many rows, runs and words comes to.
struct KeptSize {
  int64_t rows = 0, runs = 0, words = 0, width = 0, cell_tokens = 0;
  TokenFormat format = TokenFormat::kInt8;
};
int64_t MostKeptBytes(const KeptSize& size);
// The least: the codes of its rows. Most of a text are these.
int64_t LeastKeptBytes(const KeptSize& size);

// A run, counted in cells, blocks and passages of the whole text.
struct CellRun {
  int64_t first_row = 0, end_row = 0;
  int64_t first_cell = 0, cells = 0;
  int64_t first_block = 0, blocks = 0;
  int64_t first_passage = 0, passages = 0;
};
std::vector<CellRun> CellRunsOf(std::span<const KeptRun> runs, int64_t cell_tokens);

class KeptText {
 public:
  struct Word {
    uint64_t stem = 0;
    uint32_t first_hit = 0;  // its cells: hits()[first_hit, that of the next word)
    uint32_t blocks = 0;     // that hold it
  };
  struct Id {
    int32_t id = 0;
    uint32_t blocks = 0;  // that hold it
  };

  // DATA_LOSS where the bytes are not what PackText makes of vectors of this width. All that is
  // read later lies inside of `bytes`, whatever they hold.
  static absl::StatusOr<KeptText> Parse(std::span<const std::byte> bytes, int64_t width);

  TokenFormat format() const { return format_; }
  int64_t cell_tokens() const { return cell_tokens_; }
  int64_t num_rows() const { return num_rows_; }
  int64_t num_cells() const { return static_cast<int64_t>(cell_lengths_.size()); }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_passages() const { return num_passages_; }
  int64_t tokens_total() const { return tokens_total_; }
  int64_t tokens_used() const { return tokens_used_; }
  size_t num_bytes() const { return num_bytes_; }

  std::span<const KeptRun> runs() const { return runs_; }
  std::span<const KeptRange> used_text() const { return used_text_; }
  std::span<const uint32_t> cell_lengths() const { return cell_lengths_; }  // in words
  std::span<const Word> words() const { return words_; }                    // stems ascend
  std::span<const uint32_t> hits() const { return hits_; }                  // cells
  std::span<const Id> ids() const { return ids_; }                          // ids ascend
  // Of each cell the mean of its unit vectors: scale * (row - 128).
  const TokenMatrixView& means() const { return means_; }
  // One for each run, in order.
  std::span<const CellRun> cell_runs() const { return cell_runs_; }

  // Rows [begin, end) of one run, where `begin` begins a cell. `scratch` holds what is decoded, and
  // outlives what is returned.
  TokenMatrixView Rows(int64_t begin, int64_t end, std::vector<uint8_t>* scratch) const;
  // Where rows [begin, end) of one run stand.
  std::vector<TokenPlace> Places(int64_t begin, int64_t end) const;

 private:
  KeptText() = default;

  const CellRun& RunOf(int64_t row) const;

  TokenFormat format_ = TokenFormat::kInt8;
  int64_t width_ = 0, cell_tokens_ = 0, num_rows_ = 0, num_blocks_ = 0, num_passages_ = 0;
  int64_t tokens_total_ = 0, tokens_used_ = 0;
  size_t num_bytes_ = 0;
  std::span<const KeptRun> runs_;
  std::span<const KeptRange> used_text_;
  std::span<const uint32_t> cell_lengths_;
  std::span<const Word> words_;
  std::span<const uint32_t> hits_;
  std::span<const Id> ids_;
  std::vector<CellRun> cell_runs_;
  TokenMatrixView means_;
  TokenCodes codes_;
  std::span<const uint32_t> place_offsets_;  // [cells + 1] into places_
  std::span<const std::byte> places_;
};

}  // namespace longspan
