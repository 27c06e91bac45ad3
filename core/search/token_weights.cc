#include "core/search/token_weights.h"

#include <algorithm>
#include <cmath>

#include "core/search/cells.h"

namespace longspan {
namespace {

// `weight_of`: of the token at a place of the question.
template <typename WeightOf>
std::vector<float> Normalised(const std::vector<bool>& is_word, const WeightOf& weight_of) {
  const bool any_word = std::find(is_word.begin(), is_word.end(), true) != is_word.end();
  std::vector<double> weights(is_word.size());
  double sum = 0.0;
  for (size_t token = 0; token < weights.size(); ++token) {
    if (any_word && !is_word[token]) continue;
    weights[token] = weight_of(token);
    sum += weights[token];
  }
  std::vector<float> normalised;
  normalised.reserve(weights.size());
  for (const double weight : weights) normalised.push_back(static_cast<float>(weight / sum));
  return normalised;
}

}  // namespace

TokenRarity::TokenRarity(std::span<const int32_t> question_ids) {
  index_of_token_.reserve(question_ids.size());
  for (const int32_t id : question_ids)
    index_of_token_.push_back(index_of_id_.try_emplace(id, index_of_id_.size()).first->second);
  holding_.resize(index_of_id_.size());
}

void TokenRarity::Count(std::span<const int32_t> ids, int64_t cell_tokens) {
  const int64_t cells = NumCells(static_cast<int64_t>(ids.size()), cell_tokens);
  std::vector<int64_t> counted(holding_.size(), -1);  // the last block that was counted for an id
  for (size_t row = 0; row < ids.size(); ++row) {
    const auto found = index_of_id_.find(ids[row]);
    if (found == index_of_id_.end()) continue;
    const int64_t cell = static_cast<int64_t>(row) / cell_tokens, last = LastBlockOf(cell);
    int64_t& until = counted[found->second];
    const int64_t first = std::max(until + 1, FirstBlockOf(cell));
    if (first > last) continue;
    holding_[found->second] += last - first + 1;
    until = last;
  }
  blocks_ += NumBlocks(cells);
}

void TokenRarity::Add(const TokenRarity& other) {
  for (size_t i = 0; i < holding_.size(); ++i) holding_[i] += other.holding_[i];
  blocks_ += other.blocks_;
}

void TokenRarity::AddCounted(std::span<const int64_t> holding, int64_t blocks) {
  std::vector<bool> added(holding_.size());  // an id that the question has twice is added once
  for (size_t token = 0; token < index_of_token_.size(); ++token) {
    const size_t id = index_of_token_[token];
    if (!added[id]) holding_[id] += holding[token];
    added[id] = true;
  }
  blocks_ += blocks;
}

std::vector<float> TokenRarity::Weights(const std::vector<bool>& is_word) const {
  return Normalised(is_word, [this](size_t token) {
    const auto holding = static_cast<double>(holding_[index_of_token_[token]]);
    return std::log1p((static_cast<double>(blocks_) - holding + 0.5) / (holding + 0.5));
  });
}

std::vector<float> EqualWeights(const std::vector<bool>& is_word) {
  return Normalised(is_word, [](size_t) { return 1.0; });
}

}  // namespace longspan
