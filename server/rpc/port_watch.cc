#include "server/rpc/port_watch.h"

namespace longspan {

void PortWatch::Look() {
  const absl::Status status = dial_();
  failed_ = status.ok() ? 0 : failed_ + 1;
  const PortState state = failed_ >= kDeadAfter     ? PortState::kDead
                          : failed_ >= kSilentAfter ? PortState::kSilent
                                                    : PortState::kAnswers;
  if (state == state_) return;
  state_ = state;
  on_change_(state, status);
}

}  // namespace longspan
