// QueueReaper: the thread that answers queued texts whose deadline passed or whose caller went away
// while all workers are busy. It sleeps until there is one (BatchScheduler::Reap), and ends with
// BatchScheduler::Shutdown; the destructor joins it, so call Shutdown first.
#pragma once

#include <thread>

#include "server/batching/batch_scheduler.h"

namespace longspan {

class QueueReaper {
 public:
  explicit QueueReaper(BatchScheduler* scheduler)
      : thread_([scheduler] {
          while (scheduler->Reap()) {
          }
        }) {}
  ~QueueReaper() { thread_.join(); }

 private:
  std::thread thread_;
};

}  // namespace longspan
