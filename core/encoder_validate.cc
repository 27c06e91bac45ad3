// Encoder::Validate: everything that can be wrong with one text and what is wanted of it, before
// anything costly.
#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/encoder.h"
#include "core/models/output_head.h"

namespace longspan {
namespace {

constexpr int32_t kMaxHashes = 64;

absl::Status CheckTokens(const TokenBatch::Text& text, const ModelInfo& info) {
  const int64_t n = static_cast<int64_t>(text.token_ids.size());
  if (n == 0) return absl::InvalidArgumentError("the text has no tokens; at least 1 is needed");
  if (info.max_tokens > 0 && n > info.max_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("the text has ", n,
                                                   " tokens; this model takes at most ",
                                                   info.max_tokens, " (set truncation)"));
  }
  for (int64_t i = 0; i < n; ++i) {
    if (text.token_ids[i] >= 0 && text.token_ids[i] < info.vocab_size) continue;
    return absl::InvalidArgumentError(absl::StrCat("token_ids[", i, "] is ", text.token_ids[i],
                                                   "; allowed: 0 to ", info.vocab_size - 1,
                                                   " (the vocabulary)"));
  }
  if (text.attention_mask.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(text.attention_mask.size()) != n) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attention_mask has ", text.attention_mask.size(), " values for ", n, " tokens"));
  }
  if (std::ranges::none_of(text.attention_mask, [](uint8_t m) { return m != 0; })) {
    return absl::InvalidArgumentError(
        "attention_mask is 0 everywhere; at least one token must be read");
  }
  return absl::OkStatus();
}

absl::Status CheckGlobals(const TokenBatch::Text& text, const ModelInfo& info) {
  if (text.global_positions.empty()) return absl::OkStatus();
  if (!info.supports_global_attention) {
    return absl::FailedPreconditionError(absl::StrCat(
        "global positions are given, but a ", info.architecture, " has no global attention"));
  }
  int64_t last = -1;
  for (size_t i = 0; i < text.global_positions.size(); ++i) {
    const int64_t position = text.global_positions[i];
    if (position > last && position < static_cast<int64_t>(text.token_ids.size())) {
      last = position;
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat("global_positions[", i, "] is ", position,
                                                   "; allowed: ascending, each once, from 0 to ",
                                                   text.token_ids.size() - 1));
  }
  return absl::OkStatus();
}

absl::Status CheckHashing(const LshOptions& lsh, const ModelInfo& info) {
  if (lsh.num_hashes == 0 && !lsh.hash_seed.has_value()) return absl::OkStatus();
  if (!info.supports_hashing) {
    return absl::FailedPreconditionError(absl::StrCat("num_hashes or hash_seed is given, but this ",
                                                      info.architecture, " has no LSH attention"));
  }
  if (lsh.num_hashes >= 0 && lsh.num_hashes <= kMaxHashes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("num_hashes is ", lsh.num_hashes,
                                                 "; allowed: 1 to ", kMaxHashes,
                                                 ", or 0 for the model's own"));
}

absl::Status CheckSpans(const EncodeOptions& options, const ModelInfo& info, int64_t n) {
  if (options.spans.empty()) return absl::OkStatus();
  for (size_t i = 0; i < options.spans.size(); ++i) {
    const TokenRange span = options.spans[i];
    if (span.begin >= 0 && span.begin < span.end && span.end <= n) continue;
    return absl::InvalidArgumentError(absl::StrCat("spans[", i, "] is [", span.begin, ", ",
                                                   span.end, "); allowed: not empty, inside [0, ",
                                                   n, ")"));
  }
  if (options.pooling.has_value()) return absl::OkStatus();
  for (PoolingMode mode : info.pooling) {
    if (mode != PoolingMode::kCls && mode != PoolingMode::kLastToken) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "this model pools by one token (", std::string(PoolingModeName(mode)),
        "), which says nothing of a span; name a pooling such as mean for vectors of spans"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Encoder::Validate(const TokenBatch::Text& text, const EncodeOptions& options) const {
  const int64_t n = static_cast<int64_t>(text.token_ids.size());
  if (absl::Status status = CheckTokens(text, info_); !status.ok()) return status;
  if (absl::Status status = CheckGlobals(text, info_); !status.ok()) return status;
  if (absl::Status status = CheckHashing(text.lsh, info_); !status.ok()) return status;
  if (absl::Status status = CheckSpans(options, info_, n); !status.ok()) return status;
  if (options.pooling_begin < 0 || options.pooling_begin >= n) {
    return absl::InvalidArgumentError(absl::StrCat("pooling_begin is ", options.pooling_begin,
                                                   "; allowed: 0 to ", n - 1,
                                                   " (a token must be left to pool)"));
  }
  const int64_t width = VectorWidth(options);
  if (options.dimensions < 0 || options.dimensions > width) {
    return absl::InvalidArgumentError(absl::StrCat("dimensions is ", options.dimensions,
                                                   "; allowed: 1 to ", width, ", or 0 for all"));
  }
  return absl::OkStatus();
}

}  // namespace longspan
