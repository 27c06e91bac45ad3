#include "core/models/reformer/hashing.h"

#include <algorithm>

namespace longspan {

std::optional<TextHashing> HashingOf(const ReformerConfig& config, int64_t padded_length,
                                     const LshOptions& options) {
  if (padded_length <= config.lsh.chunk_length) return std::nullopt;
  return TextHashing{.seed = options.hash_seed.value_or(config.hash_seed),
                     .num_rounds = options.num_hashes > 0 ? options.num_hashes : config.num_hashes,
                     .factors = config.num_buckets.empty()
                                    ? AutomaticLshBuckets(padded_length, config.lsh.chunk_length,
                                                          config.max_position_embeddings)
                                    : config.num_buckets};
}

LshRotations DrawRotations(const ReformerConfig& config, const TextHashing& hashing) {
  return DrawLshRotations(hashing.seed, config.num_heads, config.head_size, hashing.num_rounds,
                          hashing.factors);
}

std::shared_ptr<const DeviceRotations> DeviceRotationCache::For(const TextHashing& hashing) {
  const std::lock_guard lock(mu_);
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Entry& entry) { return entry.first == hashing; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return kept_.front().second;
  }
  const LshRotations drawn = DrawRotations(config_, hashing);
  int64_t columns = 0;
  for (const int32_t factor : hashing.factors) columns += hashing.num_rounds * int64_t{factor} / 2;
  const at::Tensor values = drawn.values.narrow(2, 0, columns).contiguous();
  kept_.emplace_front(hashing, std::make_shared<const DeviceRotations>(DeviceRotations{
                                   hashing.num_rounds, hashing.factors, backend_.Upload(values)}));
  bytes_ += static_cast<int64_t>(values.nbytes());
  while (bytes_ > kMostBytes && kept_.size() > 1) {
    bytes_ -= static_cast<int64_t>(kept_.back().second->values.nbytes());
    kept_.pop_back();
  }
  return kept_.front().second;
}

int64_t DeviceRotationCache::num_kept() const {
  const std::lock_guard lock(mu_);
  return static_cast<int64_t>(kept_.size());
}

}  // namespace longspan
