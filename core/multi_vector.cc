#include "core/multi_vector.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/kernels/key_mask.h"
#include "core/tokenizer/tokenizer.h"

namespace longspan {
namespace {

// The token that queries are filled up with.
absl::StatusOr<int32_t> ExpansionToken(const ModelFolder& folder, const Tokenizer& tokenizer,
                                       const std::string& named) {
  std::string token = named;
  if (token.empty()) token = tokenizer.mask_token();
  if (token.empty()) token = tokenizer.end_token();
  if (token.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder.path(),
        ": queries are expanded by the tokenizer's mask token, but it has neither that "
        "nor an end-of-sequence token; name one in query_expansion.token"));
  }
  const std::optional<int32_t> id = tokenizer.IdOf(token);
  if (id.has_value()) return *id;
  return absl::FailedPreconditionError(
      absl::StrCat(folder.path(), ": queries are expanded by \"", token,
                   "\", which is no token of the vocabulary; allowed: a token of it"));
}

std::vector<int32_t> SkippedIds(const std::vector<std::string>& words, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string& word : words) {
    if (const std::optional<int32_t> id = tokenizer.IdOf(word)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// These two know only tokens that are read and tokens that are not.
bool KnowsUnseenTokens(const std::string& model_type) {
  return model_type != "reformer" && model_type != "big_bird";
}

// What the model puts behind texts of this role; null = nothing.
const QueryExpansion* ExpansionOf(const ModelInfo& model, TextRole role) {
  const bool expands = role == TextRole::kQuery && model.multi_vector.has_value() &&
                       model.multi_vector->expansion.has_value();
  return expands ? &*model.multi_vector->expansion : nullptr;
}

// In a published Longformer and LED the row of a token that is not read is zeros. In all others,
// and in a BERT that was made a Longformer, such a token sees those that are read.
uint8_t MaskOfUnattended(const ModelInfo& model) {
  const bool is_longformer = model.architecture == "longformer" || model.architecture == "led";
  return is_longformer && model.dense_up_to == 0 ? kernels::kNotRead : kernels::kUnseen;
}

}  // namespace

absl::StatusOr<MultiVector> ResolveMultiVector(const ModelFolder& folder) {
  const MultiVectorConfig& config = *folder.multi_vector();
  MultiVector resolved{.query_length = config.query_length,
                       .document_length = config.document_length,
                       .skips_in_queries = config.skips_in_queries,
                       .skips_in_documents = config.skips_in_documents};
  if (!config.expansion.has_value() && config.skipped_words.empty()) return resolved;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(folder.path());
  if (absl::IsNotFound(tokenizer.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder.path(),
        ": a multi-vector model with query expansion or a skip list needs its tokenizer's files"));
  }
  if (!tokenizer.ok()) return tokenizer.status();
  resolved.skipped_ids = SkippedIds(config.skipped_words, **tokenizer);
  if (!config.expansion.has_value()) return resolved;
  if (!config.expansion->is_attended && !KnowsUnseenTokens(folder.model_type())) {
    return absl::UnimplementedError(
        absl::StrCat(folder.path(),
                     ": the tokens of query expansion are not attended (attend is "
                     "false), which a ",
                     folder.model_type(), " cannot do here; allowed: attend true"));
  }
  const absl::StatusOr<int32_t> token =
      ExpansionToken(folder, **tokenizer, config.expansion->token);
  if (!token.ok()) return token.status();
  resolved.expansion = QueryExpansion{.length = config.expansion->length,
                                      .is_fixed = config.expansion->is_fixed,
                                      .is_attended = config.expansion->is_attended,
                                      .token_id = *token};
  return resolved;
}

int64_t ExpandedTokens(const ModelInfo& model, TextRole role, int64_t own) {
  const QueryExpansion* expansion = ExpansionOf(model, role);
  return expansion == nullptr ? own : std::max(own, expansion->length);
}

int64_t LongestText(const ModelInfo& model, TextRole role, int64_t limit) {
  const QueryExpansion* expansion = ExpansionOf(model, role);
  if (expansion == nullptr || !expansion->is_fixed) return limit;
  return limit == 0 ? expansion->length : std::min(limit, expansion->length);
}

void ExpandQuery(const ModelInfo& model, TextRole role, std::vector<int32_t>* ids,
                 std::vector<int32_t>* types, std::vector<uint8_t>* mask) {
  const size_t own = ids->size();
  const auto length = static_cast<size_t>(ExpandedTokens(model, role, static_cast<int64_t>(own)));
  if (own >= length) return;
  const QueryExpansion& expansion = *ExpansionOf(model, role);
  ids->resize(length, expansion.token_id);
  if (!types->empty()) types->resize(length, 0);
  if (expansion.is_attended) return;
  mask->assign(own, 1);
  mask->resize(length, MaskOfUnattended(model));
}

}  // namespace longspan
