// How texts are hashed: with which seed, in how many rounds and to how many buckets. The random
// rotations follow from these three, so all texts and layers that agree in them share one set.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/attention/lsh_attention.h"
#include "core/attention/upload_chunk_runs.h"
#include "core/models/reformer/config.h"
#include "core/token_batch.h"

namespace longspan {

struct TextHashing {
  uint64_t seed = 0;
  int32_t num_rounds = 0;
  std::vector<int32_t> factors;  // of the number of buckets
  friend auto operator<=>(const TextHashing&, const TextHashing&) = default;
};

// Nullopt for a text of at most one chunk, which is not hashed.
std::optional<TextHashing> HashingOf(const ReformerConfig& config, int64_t padded_length,
                                     const LshOptions& options);

LshRotations DrawRotations(const ReformerConfig& config, const TextHashing& hashing);

// Rotations on a backend. Those that were asked for last are kept from pass to pass, because
// drawing them takes longer than a short pass. Thread safe.
class DeviceRotationCache {
 public:
  // What is kept at most, unless one set alone takes more. 8 heads of 128, 4 rounds and 512 buckets
  // take 4 MiB.
  static constexpr int64_t kMostBytes = int64_t{64} << 20;

  DeviceRotationCache(const ReformerConfig& config, const Backend& backend)
      : config_(config), backend_(backend) {}

  std::shared_ptr<const DeviceRotations> For(const TextHashing& hashing);
  int64_t num_kept() const;

 private:
  using Entry = std::pair<TextHashing, std::shared_ptr<const DeviceRotations>>;

  const ReformerConfig config_;
  const Backend& backend_;
  mutable std::mutex mu_;
  std::list<Entry> kept_;  // guarded by mu_; the last asked for first
  int64_t bytes_ = 0;      // guarded by mu_
};

}  // namespace longspan
