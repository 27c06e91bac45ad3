// Encoder::Validate: everything that can be wrong with one text and with what is wanted of it,
// checked before anything costly. Where a message begins with the field at fault, the status
// carries that field too (core/error_details.h).
#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/encoder.h"
#include "core/error_details.h"
#include "core/models/output_head.h"

namespace longspan {
namespace {

absl::Status CheckMask(std::span<const uint8_t> mask, int64_t num_tokens) {
  if (mask.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(mask.size()) != num_tokens) {
    return InvalidField("attention_mask",
                        absl::StrCat("has ", mask.size(), " values for ", num_tokens, " tokens"));
  }
  if (std::ranges::none_of(mask, [](uint8_t m) { return m != 0; }))
    return InvalidField("attention_mask", "is 0 everywhere; at least one token must be read");
  return absl::OkStatus();
}

absl::Status CheckTokens(const TokenBatch::Text& text, const ModelInfo& info) {
  const int64_t n = static_cast<int64_t>(text.token_ids.size());
  if (n == 0) return absl::InvalidArgumentError("the text has no tokens; at least 1 is needed");
  if (!info.TakesLength(n)) {
    return absl::InvalidArgumentError(absl::StrCat("the text has ", n,
                                                   " tokens; this model takes at most ",
                                                   info.max_tokens, " (set truncation)"));
  }
  for (int64_t i = 0; i < n; ++i) {
    if (text.token_ids[i] >= 0 && text.token_ids[i] < info.vocab_size) continue;
    return InvalidField(absl::StrCat("token_ids[", i, "]"),
                        absl::StrCat("is ", text.token_ids[i], "; allowed: 0 to ",
                                     info.vocab_size - 1, " (the vocabulary)"));
  }
  return CheckMask(text.attention_mask, n);
}

absl::Status CheckTypes(const TokenBatch::Text& text, const ModelInfo& info) {
  if (text.token_types.empty()) return absl::OkStatus();
  if (info.num_token_types == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("token types are given, but this ", info.architecture, " has no token types"));
  }
  if (text.token_types.size() != text.token_ids.size()) {
    return InvalidField("token_types", absl::StrCat("has ", text.token_types.size(), " values for ",
                                                    text.token_ids.size(), " tokens"));
  }
  for (size_t i = 0; i < text.token_types.size(); ++i) {
    if (text.token_types[i] >= 0 && text.token_types[i] < info.num_token_types) continue;
    return InvalidField(absl::StrCat("token_types[", i, "]"),
                        absl::StrCat("is ", text.token_types[i], "; allowed: 0 to ",
                                     info.num_token_types - 1, " (the table of token types)"));
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
    return InvalidField(absl::StrCat("global_positions[", i, "]"),
                        absl::StrCat("is ", position, "; allowed: ascending, each once, from 0 to ",
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
  if (lsh.num_hashes >= 0 && lsh.num_hashes <= LshOptions::kMaxHashes) return absl::OkStatus();
  return InvalidField(
      "num_hashes", absl::StrCat("is ", lsh.num_hashes, "; allowed: 1 to ", LshOptions::kMaxHashes,
                                 ", or 0 for the model's own"));
}

absl::Status CheckSpans(const EncodeOptions& options, const ModelInfo& info, int64_t n) {
  for (size_t i = 0; i < options.spans.size(); ++i) {
    const TokenRange span = options.spans[i];
    if (span.begin >= 0 && span.begin < span.end && span.end <= n) continue;
    return InvalidField(absl::StrCat("spans[", i, "]"),
                        absl::StrCat("is [", span.begin, ", ", span.end,
                                     "); allowed: not empty, inside [0, ", n, ")"));
  }
  if (options.spans.empty() || options.pooling.has_value()) return absl::OkStatus();
  const auto one_token = std::ranges::find_if(info.pooling, PoolsOneToken);
  if (one_token == info.pooling.end()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "this model pools by one token (", std::string(PoolingModeName(*one_token)),
      "), which says nothing of a span; name a pooling such as mean for vectors of spans"));
}

absl::Status CheckKind(const EncodeOptions& options, const ModelInfo& info) {
  if (!info.multi_vector.has_value()) return absl::OkStatus();
  if (!options.document_vector && options.spans.empty() && !options.pooling.has_value())
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      "asks for a vector of the text or of spans; this is a multi-vector model, which has vectors "
      "of tokens alone; allowed: token vectors (EncodeTokens)");
}

}  // namespace

absl::Status Encoder::Validate(const TokenBatch::Text& text, const EncodeOptions& options) const {
  const int64_t n = static_cast<int64_t>(text.token_ids.size());
  if (absl::Status status = CheckKind(options, info_); !status.ok()) return status;
  if (absl::Status status = CheckTokens(text, info_); !status.ok()) return status;
  if (absl::Status status = CheckTypes(text, info_); !status.ok()) return status;
  if (absl::Status status = CheckGlobals(text, info_); !status.ok()) return status;
  if (absl::Status status = CheckHashing(text.lsh, info_); !status.ok()) return status;
  if (absl::Status status = CheckSpans(options, info_, n); !status.ok()) return status;
  if (options.pooling_begin < 0 || options.pooling_begin >= n) {
    return InvalidField("pooling_begin",
                        absl::StrCat("is ", options.pooling_begin, "; allowed: 0 to ", n - 1,
                                     " (a token must be left to pool)"));
  }
  const int64_t width = VectorWidth(options);
  if (options.dimensions < 0 || options.dimensions > width) {
    return InvalidField("dimensions", absl::StrCat("is ", options.dimensions, "; allowed: 1 to ",
                                                   width, ", or 0 for all"));
  }
  return absl::OkStatus();
}

}  // namespace longspan
