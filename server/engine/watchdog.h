// Watchdog: tells a busy worker from a dead one. A worker is silent while its pass reaches no seam
// and its thread uses no CPU time: it waits for a device or a lock. It is taken for stuck when it
// has been silent for longer than its predicted time x factor, and for at least a minute. Liveness
// is then bad, and good again if the pass moves after all. A worker that has been silent for twice
// as long, or whose device is lost, is dead: the process has to end.
//
// On a card CPU time says nothing, and seams alone are signs of life (WorkerOptions::NoCpuTime).
//
// A worker that computes is never dead, whatever a request made it do: ending the process would
// cost everybody else their answers. But one that has computed for ten times as long without
// reaching a seam goes round in circles, which no request should be able to bring about. It is
// stuck, so that whoever watches liveness may choose to start the server anew.
//
// Look is called once a second (Periodic). It reads heartbeats and never touches the queue. Thread
// safety: Look from one thread.
#pragma once

#include <functional>

#include "absl/time/time.h"
#include "server/engine/encoder_worker.h"

namespace longspan {

enum class WorkerState { kGood, kStuck, kDead };

// What a worker with this heartbeat is to be taken for at `now`. `factor`: --watchdog-factor.
WorkerState JudgeWorker(const EncoderWorker::Heartbeat& heartbeat, absl::Time now, double factor);

class Watchdog {
 public:
  // `worst` gives the worst state of all workers; `report` is told when it changes. Dead is for
  // ever: after that, `worst` is not asked again.
  Watchdog(std::function<WorkerState()> worst, std::function<void(WorkerState state)> report);

  void Look();

 private:
  const std::function<WorkerState()> worst_;
  const std::function<void(WorkerState)> report_;
  WorkerState reported_ = WorkerState::kGood;
};

}  // namespace longspan
