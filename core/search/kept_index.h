// KeptIndex: the texts of one collection, and what searching in them needs beside them: which of
// them hold a word, and how rare words and token ids are over all their blocks. It grows and
// shrinks text by text; nothing is trained.
//
//   KeptIndex index(width, cell_tokens);
//   uint32_t slot = index.Add(text);      the bytes of the text outlive it
//   index.Remove(slot);                   the slot may be given again
//
// Cost of Add and Remove: O(distinct words and ids of the text), and for Remove also the number of
// texts that share them. Memory: some 12 bytes for each distinct word of each text.
//
// Thread safety: const methods from several threads; Add and Remove alone. Proven by
// kept_index_test.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/search/kept_text.h"
#include "core/search/token_weights.h"

namespace longspan {

class KeptIndex {
 public:
  // A text that holds a word.
  struct Posting {
    uint32_t slot = 0;
    uint32_t word = 0;  // index in KeptText::words()
  };
  struct WordTexts {
    int64_t blocks = 0;  // of all texts, that hold it
    std::vector<Posting> texts;
  };

  KeptIndex(int64_t width, int64_t cell_tokens) : width_(width), cell_tokens_(cell_tokens) {}

  uint32_t Add(const KeptText& text);
  void Remove(uint32_t slot);

  int64_t width() const { return width_; }
  int64_t cell_tokens() const { return cell_tokens_; }
  // One for each slot that was ever given; empty ones hold nothing.
  std::span<const std::optional<KeptText>> texts() const { return texts_; }
  int64_t num_texts() const { return num_texts_; }
  int64_t num_rows() const { return num_rows_; }
  int64_t num_cells() const { return num_cells_; }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_passages() const { return num_passages_; }
  // Words of all blocks together; a word counts in each block that holds it.
  int64_t block_words() const { return block_words_; }
  // Null where no text holds it.
  const WordTexts* Find(uint64_t stem) const;
  // How many blocks hold each token of a question.
  TokenRarity Rarity(std::span<const int32_t> question_ids) const;

 private:
  void Count(const KeptText& text, int64_t sign);

  const int64_t width_, cell_tokens_;
  std::vector<std::optional<KeptText>> texts_;
  std::vector<uint32_t> free_slots_;
  int64_t num_texts_ = 0, num_rows_ = 0, num_cells_ = 0, num_blocks_ = 0, num_passages_ = 0;
  int64_t block_words_ = 0;
  std::unordered_map<uint64_t, WordTexts> words_;
  std::unordered_map<int32_t, int64_t> blocks_of_id_;
};

}  // namespace longspan
