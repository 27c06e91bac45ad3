// HttpConnection: one connection of the HTTP server, from its handshake to its end. It has one
// request in work at a time and answers in order. While a handler works it reads on, up to 16 KiB
// of the next request, so that it sees the peer go; the rest waits in the kernel. At most one read
// and one write are under way; an idle connection waits without a buffer.
//
//   kHandshake -> kRequest -> kExchange -> kRequest ... -> kLinger -> kClosed
//
// Thread safety: none, all of it runs on the thread of the event loop, but `idle_since`.
// Ownership: HttpServer holds it until it is closed; an exchange has a weak pointer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/http/event_loop.h"
#include "server/http/handler_pool.h"
#include "server/http/http_exchange.h"
#include "server/http/http_message.h"
#include "server/http/http_options.h"
#include "server/http/http_router.h"
#include "server/http/out_queue.h"
#include "server/http/received_body.h"
#include "server/http/request_reader.h"
#include "server/http/transport.h"

namespace longspan {

// Requests that were handed to a handler and whose answer is not complete. Thread safe.
class AcceptedCount {
 public:
  void Add() {
    absl::MutexLock lock(&mu_);
    ++count_;
  }
  void Remove() {
    absl::MutexLock lock(&mu_);
    --count_;
  }
  // False where there are some after `limit`.
  bool AwaitNone(absl::Duration limit) {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(
                                    +[](int64_t* count) { return *count == 0; }, &count_),
                                limit);
  }

 private:
  absl::Mutex mu_;
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
};

// What all connections of a server share. It outlives them.
struct HttpContext {
  HttpServerOptions options;
  const HttpRouter* router = nullptr;
  std::shared_ptr<EventLoop> loop;
  HandlerPool* pages = nullptr;
  HandlerPool* api = nullptr;
  std::shared_ptr<BodyBudget> budget;
  TlsContext tls;                      // of new connections; null = no TLS. The loop's thread
  std::atomic<bool> draining = false;  // each answer is the last of its connection
  AcceptedCount accepted;
  std::string scratch;  // where all of them read to. The loop's thread
  std::function<void(HttpConnection*)> on_closed;
};

class HttpConnection final : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Clock = EventLoop::Clock;
  // idle_since while it works for its peer.
  static constexpr int64_t kInUse = INT64_MAX;

  // Takes the socket over.
  HttpConnection(int fd, HttpContext* context);

  void Begin();
  // Ends it: at once where it is idle, else after the answer in work.
  void EndSoon();
  void Close();
  int fd() const { return fd_; }
  // Since when it has not been in use, in nanoseconds of Clock, or kInUse. A body or an answer that
  // moves at 64 KiB a second or more is in use.
  std::shared_ptr<const std::atomic<int64_t>> idle_since() const { return idle_since_; }

  // From the exchange with this number; see HttpExchange.
  void OnAnswer(uint64_t id, HttpResponse response, HttpExchange::Sent sent);
  void OnBeginStream(uint64_t id, const HttpResponse& head);
  void OnWrite(uint64_t id, std::string bytes, HttpExchange::Sent written);
  void OnEnd(uint64_t id, HttpExchange::Sent sent);
  void OnReadBody(uint64_t id, std::function<void(BodyBlock)> callback);
  void OnDropped(uint64_t id);

 private:
  enum class Phase { kHandshake, kRequest, kExchange, kLinger, kClosed };
  enum class Body { kReading, kComplete, kAbandoned };
  enum class Answer { kAwaited, kStreaming, kComplete };

  // What was waited for.
  void OnShaken(bool ok);
  void OnReceived(Io io, std::string_view bytes);
  void OnWritten(bool ok, size_t bytes);
  void OnAlarm();
  void OnDeadline();

  // Does what can be done now.
  void Advance();
  // One step; whether anything moved.
  bool Step();
  bool StepRequest();
  bool StepExchange();
  bool StepBody();
  bool Flush();

  void StartExchange();
  // Of a request that is none.
  void RefuseHead(int code, std::string_view why);
  int64_t MaxBodyBytes() const;
  void BeginBody(const RequestHead& head);
  bool TakeBody(std::string_view data);
  void DeliverBlock(BodyBlock::End end);
  void FailBody(int code, std::string_view why);
  void Dispatch();
  void FinishExchange();
  void Report();

  void Respond(HttpResponse response, HttpExchange::Sent sent = {});
  void Refuse(int code, std::string_view why);
  void AddHead(const HttpResponse& response, BodyEnd end);
  bool IsCurrent(uint64_t id, Answer state) const {
    return phase_ == Phase::kExchange && id == exchange_id_ && answer_ == state;
  }

  // What to wait for: bytes, a deadline. And since when it has been idle.
  void Settle();
  // How much to read next; 0 = nothing.
  size_t WantsToRead() const;
  // Whether only a look tells that the peer has gone.
  bool MustLook() const;
  Clock::time_point WakeAt() const;
  Clock::time_point Deadline() const;
  Clock::time_point BodyDeadline() const;
  Clock::time_point WriteDeadline() const;
  int64_t IdleSince(Clock::time_point now) const;

  HttpContext* const context_;
  const HttpServerOptions& options_;
  const int fd_;
  Transport transport_;
  Alarm alarm_;
  Clock::time_point alarm_at_ = Clock::time_point::max();
  const std::shared_ptr<std::atomic<int64_t>> idle_since_;
  Phase phase_;
  Clock::time_point phase_began_;

  // From the peer.
  bool reading_ = false;
  std::string_view received_now_;  // by the read that has just ended, and not yet used
  std::string in_;                 // read before that and not yet used
  bool eof_ = false;
  RequestReader reader_;
  Clock::time_point request_began_;  // its first byte
  bool has_had_request_ = false;

  // To the peer.
  OutQueue out_;
  bool writing_ = false;

  // The exchange in work.
  uint64_t exchange_id_ = 0;
  Clock::time_point exchange_began_;
  const HttpRoute* route_ = nullptr;
  HttpRequest request_;
  std::map<std::string, std::string> cors_headers_;
  std::shared_ptr<GoneSignal> gone_;
  bool is_head_ = false;
  bool is_http_1_0_ = false;
  bool keep_alive_ = true;
  bool as_json_ = false;
  bool streams_body_ = false;
  bool awaits_continue_ = false;
  Body body_ = Body::kComplete;
  Answer answer_ = Answer::kAwaited;
  bool accepted_ = false;  // counted in HttpContext::accepted
  int code_ = 0;
  int64_t content_length_ = 0;
  ReceivedBody received_;
  std::string block_;                           // of a streamed body
  std::function<void(BodyBlock)> wants_block_;  // who asked for one
  Clock::time_point wanted_since_;
};

}  // namespace longspan
