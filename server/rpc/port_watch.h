// PortWatch: whether the gRPC port of this process goes on answering. It dials the port from time
// to time. A port that has not answered several times in a row turns liveness bad, so that an
// orchestrator restarts the server; one that stays silent ends the process, for those that have
// none.
//
// Look is called every kPeriod (Periodic) and blocks for as long as the dial does. Thread safety:
// Look from one thread.
#pragma once

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace longspan {

enum class PortState { kAnswers, kSilent, kDead };

class PortWatch {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(10);
  // How long one dial may take. It takes milliseconds; a machine that swaps, or has stood still,
  // gets the rest.
  static constexpr absl::Duration kPatience = absl::Seconds(10);
  static constexpr int kSilentAfter = 3;  // dials in a row
  static constexpr int kDeadAfter = 9;

  // `dial`: OK where the port answers, or where nothing can be said (there is no descriptor to dial
  // with). `on_change` is called by Look when the state is another one than before, with what the
  // last dial said.
  PortWatch(std::function<absl::Status()> dial,
            std::function<void(PortState, const absl::Status&)> on_change)
      : dial_(std::move(dial)), on_change_(std::move(on_change)) {}

  void Look();

 private:
  const std::function<absl::Status()> dial_;
  const std::function<void(PortState, const absl::Status&)> on_change_;
  int failed_ = 0;  // dials in a row
  PortState state_ = PortState::kAnswers;
};

}  // namespace longspan
