// The enums of longspan.v1 turned into those of the engine, and back. An unknown number is
// INVALID_ARGUMENT with the field, the number and what is allowed.
//
// Free functions without state: thread safe.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model_info.h"
#include "core/search/token_codes.h"
#include "server/text/encode_input.h"
#include "server/wire/vector_format.h"

namespace longspan {

// INVALID_ARGUMENT for a number that the enum of `field` does not have.
absl::Status BadEnum(const std::string& field, int got, absl::string_view allowed);

// For pooling and global attention, nullopt = the caller left it unset, so the model's own holds.
absl::StatusOr<std::optional<PoolingMode>> DecodePooling(v1::Pooling pooling);
absl::StatusOr<Truncation> DecodeTruncation(v1::Truncation truncation);
// An unset policy is GIVEN where the input has spans, else NONE.
absl::StatusOr<SpanPolicy> DecodeSpanPolicy(v1::SpanPolicy policy, bool has_spans);
absl::StatusOr<std::optional<GlobalAttention>> DecodeGlobalAttention(v1::GlobalAttention policy);
// An unset role is that of a document.
absl::StatusOr<TextRole> DecodeTextRole(v1::TextRole role);
absl::StatusOr<VectorFormat> DecodeVectorFormat(v1::VectorFormat format);

// nullopt = the caller left it unset, so the collection's own holds, or the default of a new one.
absl::StatusOr<std::optional<TokenFormat>> DecodeKeptFormat(v1::KeptFormat format);

v1::KeptFormat WireKeptFormat(TokenFormat format);
v1::VectorFormat WireFormat(VectorFormat format);
v1::GlobalAttention WireGlobalAttention(GlobalAttention policy);

}  // namespace longspan
