#include "server/rpc/metadata_limit.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {

absl::Status CheckMetadata(const grpc::CallbackServerContext& context) {
  constexpr int64_t kEntryBytes = 32;
  int64_t bytes = 0;
  for (const auto& [name, value] : context.client_metadata())
    bytes += static_cast<int64_t>(name.size() + value.size()) + kEntryBytes;
  if (bytes <= kMaxMetadataBytes) return absl::OkStatus();
  return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                        "the metadata of the call has ", bytes, " bytes; allowed: at most ",
                        kMaxMetadataBytes, " (names, values, and 32 for each entry)")),
                    kReasonMaxMetadataBytes);
}

}  // namespace longspan
