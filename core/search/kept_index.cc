#include "core/search/kept_index.h"

#include <algorithm>

#include "core/search/cells.h"

namespace longspan {
namespace {

// The lengths of all blocks of the text together.
int64_t BlockWordsOf(const KeptText& text) {
  int64_t words = 0;
  for (const CellRun& run : text.cell_runs()) {
    for (int64_t cell = 0; cell < run.cells; ++cell)
      words += (LastBlockOf(cell) - FirstBlockOf(cell) + 1) *
               static_cast<int64_t>(text.cell_lengths()[run.first_cell + cell]);
  }
  return words;
}

}  // namespace

uint32_t KeptIndex::Add(const KeptText& text) {
  if (free_slots_.empty()) {
    texts_.emplace_back();
    free_slots_.push_back(static_cast<uint32_t>(texts_.size() - 1));
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  texts_[slot] = text;
  Count(text, 1);
  const std::span<const KeptText::Word> words = text.words();
  for (uint32_t word = 0; word < words.size(); ++word) {
    WordTexts& of_word = words_[words[word].stem];
    of_word.blocks += words[word].blocks;
    of_word.texts.push_back({slot, word});
  }
  return slot;
}

void KeptIndex::Remove(uint32_t slot) {
  const KeptText& text = *texts_[slot];
  Count(text, -1);
  for (const KeptText::Word& word : text.words()) {
    const auto found = words_.find(word.stem);
    WordTexts& of_word = found->second;
    of_word.blocks -= word.blocks;
    const auto posting = std::find_if(of_word.texts.begin(), of_word.texts.end(),
                                      [slot](const Posting& one) { return one.slot == slot; });
    *posting = of_word.texts.back();
    of_word.texts.pop_back();
    if (of_word.texts.empty()) words_.erase(found);
  }
  texts_[slot].reset();
  free_slots_.push_back(slot);
}

void KeptIndex::Count(const KeptText& text, int64_t sign) {
  num_texts_ += sign;
  num_rows_ += sign * text.num_rows();
  num_cells_ += sign * text.num_cells();
  num_blocks_ += sign * text.num_blocks();
  num_passages_ += sign * text.num_passages();
  block_words_ += sign * BlockWordsOf(text);
  for (const KeptText::Id& id : text.ids()) {
    int64_t& blocks = blocks_of_id_[id.id];
    blocks += sign * static_cast<int64_t>(id.blocks);
    if (blocks == 0) blocks_of_id_.erase(id.id);
  }
}

const KeptIndex::WordTexts* KeptIndex::Find(uint64_t stem) const {
  const auto found = words_.find(stem);
  return found == words_.end() ? nullptr : &found->second;
}

TokenRarity KeptIndex::Rarity(std::span<const int32_t> question_ids) const {
  std::vector<int64_t> holding;
  holding.reserve(question_ids.size());
  for (const int32_t id : question_ids) {
    const auto found = blocks_of_id_.find(id);
    holding.push_back(found == blocks_of_id_.end() ? 0 : found->second);
  }
  TokenRarity rarity(question_ids);
  rarity.AddCounted(holding, num_blocks_);
  return rarity;
}

}  // namespace longspan
