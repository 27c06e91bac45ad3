// NewTextsOrder: what admission lets in for a job over several texts, and what the call knows of
// itself; the call adds what it wants to be told.
//
// Free functions without state: thread safe.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/batching/cancel_flag.h"
#include "server/rpc/call_record.h"
#include "server/search/search_engine.h"

namespace longspan {

// Permits for all of the claims, or for none.
template <typename Order>
absl::StatusOr<Order> NewTextsOrder(const std::vector<AdmissionClaim>& claims,
                                    const CallRecord& call,
                                    const std::shared_ptr<CancelFlag>& cancel) {
  auto permits = call.parts().admission->TryAcquire(claims, call.deadline(), call.client());
  if (!permits.ok()) return permits.status();
  return Order{.permits = *std::move(permits),
               .arrival = call.arrival(),
               .deadline = call.deadline(),
               .cancel = cancel,
               .client = call.client()};
}

// What admission predicts that computing it takes.
template <typename Order>
double PredictedSeconds(const Order& order) {
  CallSize call_size;
  for (const AdmissionPermit& permit : order.permits) call_size += permit.size();
  return call_size.seconds;
}

}  // namespace longspan
