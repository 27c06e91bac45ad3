#include "server/batching/token_group.h"

#include "core/pooling.h"

namespace longspan {

TokenPooling TokenPoolingOf(const EncodeInput& input, const ModelInfo& model) {
  return {.factor = input.token_pooling,
          .normalize = model.NormalizesTokens(input.options.normalize)};
}

int64_t MostPooledRows(int64_t tokens, int64_t gap, int32_t factor) {
  const auto groups = [factor](int64_t count) { return (count + factor - 1) / factor; };
  return groups(gap) + groups(tokens - gap);
}

bool TokenGroup::EndsBefore(int64_t token) const {
  return std::ssize(tokens_) == pooling_.factor || (tokens_.front() < gap_ && gap_ <= token);
}

void TokenGroup::Add(int64_t token, std::span<const float> row) {
  const auto most = static_cast<size_t>(pooling_.factor);
  tokens_.reserve(most);
  rows_.reserve(most * row.size());
  tokens_.push_back(token);
  rows_.insert(rows_.end(), row.begin(), row.end());
}

void TokenGroup::TakeMean(std::vector<float>* out) {
  const std::span<const float> rows(rows_);
  const size_t width = rows.size() / tokens_.size();
  const size_t begin = out->size();
  out->insert(out->end(), rows.begin(), rows.begin() + static_cast<int64_t>(width));
  if (tokens_.size() > 1) {
    const std::span<float> mean = std::span(*out).subspan(begin);
    // Scaled before they are summed: no sum of large rows overflows.
    const float weight = 1.0F / static_cast<float>(tokens_.size());
    for (float& value : mean) value *= weight;
    for (size_t row = 1; row < tokens_.size(); ++row) {
      const std::span<const float> next = rows.subspan(row * width, width);
      for (size_t i = 0; i < width; ++i) mean[i] += weight * next[i];
    }
    if (pooling_.normalize) NormalizeL2(mean);
  }
  tokens_.clear();
  rows_.clear();
}

}  // namespace longspan
