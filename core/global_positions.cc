// ResolveGlobalPositions of core/encoder.h, in a file of its own because it needs no LibTorch: what
// prepares texts can be built and fuzzed without that.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/encoder.h"

namespace longspan {

std::vector<int32_t> ResolveGlobalPositions(const ModelInfo& info,
                                            std::optional<GlobalAttention> policy,
                                            std::span<const int32_t> positions,
                                            int64_t num_tokens) {
  const bool by_default = !policy.has_value();
  switch (policy.value_or(info.default_global_attention)) {
    case GlobalAttention::kNone:
      return {};
    case GlobalAttention::kCls:
      if (by_default && num_tokens <= info.dense_up_to) return {};
      return {0};
    case GlobalAttention::kPositions:
      return {positions.begin(), positions.end()};
  }
  return {};
}

}  // namespace longspan
