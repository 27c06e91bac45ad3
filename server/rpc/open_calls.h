// OpenCalls: every call between its arrival and gRPC's OnDone: which method, whose, whether its
// request is still on the way, and whether its answer is still to be taken. It bounds what callers
// can make gRPC hold for them, says how many calls are open, and lets a drain wait for the last
// answer to leave.
//
// What gRPC 1.51 holds. Before a handler asks for a message (StartRead), no more than the stream's
// flow-control window, 64 KiB. Afterwards all of the message, as long as its prefix says, up to 4
// GiB: the limit of a message's size is applied once it is complete. So a limit cannot be had by
// counting calls, and the handlers cannot see how much of a message has come. What can be seen is
// the process's own memory: Look compares what the heap holds beyond what is accounted for
// (`received_bytes`) with max_receiving_bytes. While there is more, it ends calls that wait for
// their message: those of the client that has most of them, the one that has waited longest first,
// and none that has waited for less than kGrace, or kShortGrace where there is a quarter more than
// allowed: a sender on a fast network fills gigabytes within a second. So nobody queues for the
// right to send, a small request that comes at once is never ended, and a caller that fills the
// memory loses its own calls. A message that has come and is not decoded yet holds its bytes too,
// and counts like one on its way.
//
// A request that does not arrive within max_body_time ends its call, and an answer that its reader
// does not take within max_unread_time, plus a second for each MiB, is dropped.
//
// Thread safety: all methods may be called from any thread; Look from one. A call may hold its own
// lock in all methods; Look holds no lock when it ends a reading call.
#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/clock.h"
#include "server/telemetry/metrics.h"

namespace longspan {

class OpenCalls {
 public:
  // A call that waits for a message.
  class Reader {
   public:
    virtual ~Reader() = default;
    // Ends the call with `status`, if it still waits. Called with no lock held.
    virtual void GiveUpReading(const absl::Status& status) = 0;
  };

  struct Options {
    int64_t max_receiving_bytes = 0;
    absl::Duration max_body_time;
    absl::Duration max_unread_time;
  };

  // Calls younger than this are not ended for lack of memory. A message that is in the network
  // already takes milliseconds.
  static constexpr absl::Duration kGrace = absl::Milliseconds(200);
  static constexpr absl::Duration kShortGrace = absl::Milliseconds(20);
  // How often Look is to be called.
  static constexpr absl::Duration kPeriod = absl::Milliseconds(20);

  struct Entry;
  using Handle = std::list<Entry>::iterator;
  // What was dropped, for the log and the metrics.
  struct Dropped {
    DropReason reason;
    std::string client;
    absl::Duration waited;
  };

  // `received_bytes`: what the heap holds beyond what the engine accounts for. `on_drop` is called
  // by Look for each call that it ends, with no lock held.
  OpenCalls(Options options, std::function<int64_t()> received_bytes,
            std::function<void(const Dropped&)> on_drop, const Clock* clock);

  // A call of longspan.v1 or tei.v1, or of another service (nullopt), which a drain does not wait
  // for.
  // `context` must live until Remove.
  Handle Add(std::optional<RpcMethod> method, std::string client,
             grpc::CallbackServerContext* context);
  void Remove(Handle call);
  // A request of the call has come: a drain waits for its answer.
  void Accept(Handle call);
  // The call waits for a message from now on. `whole_request`: for its only one, so for no longer
  // than max_body_time; a stream may be silent for as long as it likes.
  void ReadBegins(Handle call, std::weak_ptr<Reader> reader, bool whole_request);
  // The message is there, and has to be decoded. Its bytes count until then, so the call can be
  // ended for lack of memory as before.
  void ReadArrived(Handle call);
  void ReadEnds(Handle call);
  // A message of so many bytes is with gRPC, until its reader has taken it.
  void WriteBegins(Handle call, int64_t bytes);
  void WriteEnds(Handle call);

  // Ends the calls that the class comment names.
  void Look();

  using Counts = std::array<int64_t, kNumRpcMethods>;
  Counts open() const;  // calls of longspan.v1 and tei.v1, by method
  // Calls whose only request has not come, or is not decoded yet.
  int64_t num_receiving() const;
  int64_t num_opened() const;                     // calls since the server's start, of all services
  bool AwaitAnswered(absl::Time deadline) const;  // no accepted call is open any more
  Counts unanswered() const;                      // accepted calls that are open, by method

 private:
  void CollectLocked(absl::Time now, int64_t over,
                     std::vector<std::pair<std::shared_ptr<Reader>, Dropped>>* ended,
                     std::vector<Dropped>* unread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Entry*> VictimsLocked(absl::Time now, int64_t over)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AnyOldReaderLocked(absl::Time now) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const Options options_;
  const std::function<int64_t()> received_bytes_;
  const std::function<void(const Dropped&)> on_drop_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  std::list<Entry> calls_ ABSL_GUARDED_BY(mu_);
  Counts open_ ABSL_GUARDED_BY(mu_) = {};
  Counts accepted_ ABSL_GUARDED_BY(mu_) = {};
  int64_t all_accepted_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t receiving_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t opened_ ABSL_GUARDED_BY(mu_) = 0;
};

// A peer's address without its port, so that all connections of a client count together.
std::string ClientOf(const std::string& peer);

struct OpenCalls::Entry {
  std::optional<RpcMethod> method;
  std::string client;
  grpc::CallbackServerContext* context = nullptr;
  bool accepted = false;
  std::weak_ptr<Reader> reader;
  absl::Time reading_since = absl::InfiniteFuture();  // InfiniteFuture: it waits for no message
  bool whole_request = false;
  bool arrived = false;                            // the message has come
  absl::Time written_at = absl::InfiniteFuture();  // when the message was given to gRPC
  absl::Time unread_until = absl::InfiniteFuture();
};

}  // namespace longspan
