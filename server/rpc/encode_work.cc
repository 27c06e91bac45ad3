#include "server/rpc/encode_work.h"

#include <utility>

#include "server/rpc/message_threads.h"

namespace longspan {

AdmissionClaim EncodeWork::Claim(const ServiceParts& parts) const {
  return ClaimFor(input_, parts.max_tokens());
}

int64_t EncodeWork::VectorBytes(const ServiceParts& parts) const {
  return PackedBytes(format_, parts.dimensions(input_.options));
}

void EncodeWork::Begin(const ServiceParts& parts, WorkOrder order) {
  EncodeTask::Params params{.input = std::move(input_),
                            .arrival = order.arrival,
                            .deadline = order.deadline,
                            .cancel = std::move(order.cancel),
                            .client = std::move(order.client),
                            .permit = std::move(order.permit),
                            .call_size = order.call_size,
                            .answer = std::move(order.room),
                            .timer = std::move(order.timer)};
  params.done = [work = Shared<EncodeWork>(), done = std::move(order.done)](
                    absl::StatusOr<EncodedDocument> result, const StageTimings& timings) mutable {
    done(work->Take(std::move(result), timings));
  };
  Complete(parts, &params);
  parts.pipeline->Submit(std::make_shared<EncodeTask>(std::move(params), parts.clock));
}

WorkResult EncodeWork::Take(absl::StatusOr<EncodedDocument> result, const StageTimings& timings) {
  timings_ = timings;
  if (!result.ok())
    return {.counts = Translate(result.status()), .timings = timings, .encoded = true};
  document_ = *std::move(result);
  EncodedDocument counts;
  counts.tokens_total = document_.tokens_total;
  counts.tokens_used = document_.tokens_used;
  counts.truncated = document_.truncated;
  return {.counts = std::move(counts),
          .timings = timings,
          .encoded = true,
          .num_values = NumValues(document_) + NumOtherValues()};
}

}  // namespace longspan
