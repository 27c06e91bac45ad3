#include "server/wire/answer_size.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {

int64_t CallersAnswerBytes(uint64_t max_answer_bytes) {
  if (max_answer_bytes == 0) return kUsualAnswerBytes;
  return static_cast<int64_t>(std::min<uint64_t>(max_answer_bytes, AnswerSize::kAnySize));
}

absl::Status AnswerSize::Add(int64_t bytes) {
  absl::MutexLock lock(&mu_);
  bytes_ += std::min(bytes, kAnySize - bytes_);
  if (bytes_ <= allowed_) return absl::OkStatus();
  return WithReason(
      InvalidField(field_,
                   absl::StrCat("allows ", allowed_, " bytes",
                                allowed_ == kUsualAnswerBytes ? " (gRPC's default)" : "",
                                ", and the answer has ", bytes_,
                                " or more; allowed: more, where the client's "
                                "grpc.max_receive_message_length is raised with it; vector_format "
                                "FLOAT16 or INT8; fewer spans, tokens or dimensions; fewer texts, "
                                "or EncodeStream, which answers each by itself")),
      kReasonCallersMaxAnswerBytes);
}

}  // namespace longspan
