#include "server/tei/metadata.h"

#include <algorithm>

namespace longspan {
namespace {

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

}  // namespace

void FillMetadata(int64_t characters, int64_t tokens, const StageTimings& timings,
                  tei::v1::Metadata* out) {
  out->set_compute_chars(static_cast<uint32_t>(characters));
  out->set_compute_tokens(static_cast<uint32_t>(tokens));
  out->set_total_time_ns(Nanoseconds(timings.total));
  out->set_tokenization_time_ns(Nanoseconds(timings.tokenize));
  out->set_queue_time_ns(Nanoseconds(timings.queue));
  out->set_inference_time_ns(Nanoseconds(timings.compute));
}

}  // namespace longspan
