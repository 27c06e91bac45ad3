// HttpExchange: one request of an asynchronous route, and the way to answer it. The handler gets a
// shared pointer, starts the work and returns; the answer may come later and from any thread, in
// one of two forms:
//
//   exchange->Answer({.content_type = "application/json", .body = json});      // once, or
//
//   exchange->BeginStream(200, "application/x-ndjson");                        // in pieces:
//   exchange->Write(line, [=](bool ok) { /* ok: write the next one */ });
//   exchange->End();
//
// Work for a peer that has gone is wasted, so OnGone tells of that. An exchange that is dropped
// without an answer is answered with 500. Calls that come too late (the peer is gone, the server
// has stopped, there is an answer already) do nothing but report `false` to their callback.
//
// Callbacks run on the thread of the event loop, or on the caller's where the connection is no
// more. They must not block.
//
// Thread safety: all methods from any thread, but TakeBody, MoveBody and HoldBody. An exchange may outlive the server.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/http/http_message.h"
#include "server/http/received_body.h"

namespace longspan {

class EventLoop;
class HttpConnection;

// Whether the peer of one exchange has gone, and who wants to know. Shared by the exchange and its
// connection. Thread safe.
class GoneSignal {
 public:
  void Listen(std::function<void()> callback);
  void Fire();
  // The exchange is over: nobody needs to know any more.
  void Release();
  bool fired() const;

 private:
  mutable absl::Mutex mu_;
  bool fired_ ABSL_GUARDED_BY(mu_) = false;
  bool released_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> callback_ ABSL_GUARDED_BY(mu_);
};

// A block of a request's body (HttpExchange::ReadBody).
struct BodyBlock {
  enum class End {
    kMore,    // more follows
    kLast,    // this was all of it; `bytes` may be empty
    kFailed,  // the rest never comes: the peer is gone, too slow, or sent what is no body
  };
  std::string bytes;
  End end = End::kMore;
};

class HttpExchange {
 public:
  using Sent = std::function<void(bool ok)>;

  // Made by the server.
  struct Link {
    std::shared_ptr<EventLoop> loop;
    std::weak_ptr<HttpConnection> connection;
    uint64_t id = 0;  // of the exchange, within its connection
    std::shared_ptr<GoneSignal> gone;
  };
  HttpExchange(Link link, HttpRequest request, BodyShare share);
  ~HttpExchange();
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  const HttpRequest& request() const { return request_; }
  // The body, moved out: once, before other threads know the exchange. From then on its memory is
  // the handler's to account for.
  std::string TakeBody() {
    share_.Release();
    return std::exchange(request_.body, {});
  }
  // The same, but the memory counts as the server's until HoldBody(0).
  std::string MoveBody() { return std::exchange(request_.body, {}); }
  // So many bytes of the body are held by the handler, of HttpServerOptions::max_receiving_bytes.
  // False, and nothing changes, where that is spent. One thread at a time.
  bool HoldBody(int64_t bytes) { return share_.Resize(bytes); }

  // `sent`, where it is given: true once the kernel has all of the answer, false where it never
  // will. An answer is held until then.
  void Answer(HttpResponse response, Sent sent = {});

  // An answer whose length is not known. `headers` as in HttpResponse.
  void BeginStream(int code, std::string content_type,
                   std::map<std::string, std::string> headers = {});
  // `written`: true once the kernel has these bytes, and false where it never will. At most
  // HttpServerOptions::max_unsent_bytes may wait when a further Write comes: a writer that goes on
  // without waiting for `written` has its connection closed.
  void Write(std::string bytes, Sent written = {});
  // `sent` as for Answer.
  void End(Sent sent = {});

  // Calls it once, if the peer closes or resets the connection, or the server closes it, before the
  // answer is complete; at once where that has happened. A later callback takes the place of the
  // one before. A peer that only says that it writes no more (half close) counts as gone here, but
  // is still sent what comes.
  void OnGone(std::function<void()> callback) { link_.gone->Listen(std::move(callback)); }
  bool gone() const { return link_.gone->fired(); }

  // Runs `task` on the loop's thread, after what was asked for before. A handler that holds a lock
  // asks for what has a callback there: callbacks of an exchange whose peer has gone run at once.
  // Nothing runs where the server has stopped.
  void Post(std::function<void()> task);

  // Of a route with `stream_body`: asks for the next block of the body. Nothing is read from the
  // peer beyond one block of 64 KiB while nobody asks. One callback at a time.
  void ReadBody(std::function<void(BodyBlock)> callback);

 private:
  const Link link_;
  HttpRequest request_;
  BodyShare share_;
};

}  // namespace longspan
