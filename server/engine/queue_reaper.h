// QueueReaper: the thread that answers queued texts whose deadline passed or whose caller went away
// while all workers are busy. Asleep until then. Ends with BatchScheduler::Shutdown; the destructor
// joins.
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
