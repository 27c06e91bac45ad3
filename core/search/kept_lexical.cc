#include "core/search/kept_lexical.h"

#include <algorithm>
#include <cmath>

#include "core/search/cells.h"

namespace longspan {
namespace {

// The hits of a word of the text.
std::span<const uint32_t> HitsOf(const KeptText& text, uint32_t word) {
  const std::span<const KeptText::Word> words = text.words();
  const size_t begin = words[word].first_hit;
  const size_t end = word + 1 < words.size() ? words[word + 1].first_hit : text.hits().size();
  return text.hits().subspan(begin, end - begin);
}

// Counts the hits in each block that holds them; `counts` has one for each block.
void CountBlocks(const KeptText& text, std::span<const uint32_t> hits,
                 std::vector<int32_t>* counts) {
  auto run = text.cell_runs().begin();
  for (const uint32_t cell : hits) {
    while (cell >= run->first_cell + run->cells) ++run;
    const int64_t in_run = cell - run->first_cell;
    for (int64_t block = FirstBlockOf(in_run); block <= LastBlockOf(in_run); ++block)
      ++(*counts)[run->first_block + block];
  }
}

// The words of each block of the text.
std::vector<int64_t> BlockLengths(const KeptText& text) {
  std::vector<int64_t> lengths(text.num_blocks());
  for (const CellRun& run : text.cell_runs()) {
    for (int64_t cell = 0; cell < run.cells; ++cell) {
      for (int64_t block = FirstBlockOf(cell); block <= LastBlockOf(cell); ++block)
        lengths[run.first_block + block] += text.cell_lengths()[run.first_cell + cell];
    }
  }
  return lengths;
}

}  // namespace

std::vector<WordCounts> KeptBlocks(const KeptText& text, std::span<const uint64_t> stems) {
  std::vector<WordCounts> blocks;
  for (const int64_t length : BlockLengths(text))
    blocks.push_back({.counts = std::vector<int32_t>(stems.size()), .length = length});
  const std::span<const KeptText::Word> words = text.words();
  std::vector<int32_t> counts;
  for (size_t i = 0; i < stems.size(); ++i) {
    const auto found = std::lower_bound(
        words.begin(), words.end(), stems[i],
        [](const KeptText::Word& word, uint64_t stem) { return word.stem < stem; });
    if (found == words.end() || found->stem != stems[i]) continue;
    counts.assign(blocks.size(), 0);
    CountBlocks(text, HitsOf(text, static_cast<uint32_t>(found - words.begin())), &counts);
    for (size_t block = 0; block < blocks.size(); ++block) blocks[block].counts[i] = counts[block];
  }
  return blocks;
}

KeptLexical::KeptLexical(const KeptIndex& index, std::span<const uint64_t> stems,
                         const Bm25Options& options)
    : index_(index), options_(options) {
  const auto blocks = static_cast<double>(index.num_blocks());
  // As in Bm25: where all texts are empty, none holds a word either.
  if (blocks > 0) mean_length_ = std::max(1.0, static_cast<double>(index.block_words()) / blocks);
  first_match_.resize(index.texts().size() + 1);
  std::vector<const KeptIndex::WordTexts*> found;
  for (const uint64_t stem : stems) {
    found.push_back(index.Find(stem));
    const double holds = found.back() == nullptr ? 0 : static_cast<double>(found.back()->blocks);
    idf_.push_back(std::log1p((blocks - holds + 0.5) / (holds + 0.5)));
    if (found.back() == nullptr) continue;
    for (const KeptIndex::Posting& posting : found.back()->texts) ++first_match_[posting.slot + 1];
  }
  for (size_t slot = 1; slot < first_match_.size(); ++slot)
    first_match_[slot] += first_match_[slot - 1];
  matches_.resize(first_match_.back());
  std::vector<uint32_t> next(first_match_.begin(), first_match_.end() - 1);
  for (uint32_t word = 0; word < found.size(); ++word) {
    if (found[word] == nullptr) continue;
    for (const KeptIndex::Posting& posting : found[word]->texts)
      matches_[next[posting.slot]++] = {posting.slot, posting.word, word};
  }
}

bool KeptLexical::Blocks(uint32_t slot, std::vector<double>* scores) const {
  const uint32_t begin = first_match_[slot], end = first_match_[slot + 1];
  if (begin == end) return false;
  const KeptText& text = *index_.texts()[slot];
  const std::vector<int64_t> lengths = BlockLengths(text);
  scores->assign(lengths.size(), 0.0);
  std::vector<int32_t> counts;
  for (uint32_t i = begin; i < end; ++i) {
    counts.assign(lengths.size(), 0);
    CountBlocks(text, HitsOf(text, matches_[i].word), &counts);
    for (size_t block = 0; block < counts.size(); ++block) {
      if (counts[block] == 0) continue;
      const double length = static_cast<double>(lengths[block]) / mean_length_;
      const double saturation = options_.k1 * (1.0 - options_.b + options_.b * length);
      const double count = counts[block];
      (*scores)[block] +=
          idf_[matches_[i].question] * count * (options_.k1 + 1.0) / (count + saturation);
    }
  }
  return true;
}

}  // namespace longspan
