#include "server/http/http_exchange.h"

#include <utility>

#include "server/http/event_loop.h"
#include "server/http/http_connection.h"

namespace longspan {
namespace {

// Runs `act` with the connection on the loop's thread, and `missed` where there is none any more.
template <typename Act, typename Missed>
void Reach(const HttpExchange::Link& link, Act act, Missed missed) {
  EventLoop::Task task = [weak = link.connection, act = std::move(act),
                          missed = std::move(missed)]() mutable {
    if (const auto connection = weak.lock(); connection != nullptr) {
      act(*connection);
    } else {
      missed();
    }
  };
  // Of a loop that has ended all connections are gone, too.
  if (!link.loop->Post(std::move(task))) task();  // NOLINT(bugprone-use-after-move): still ours
}

void Report(const HttpExchange::Sent& sent, bool ok) {
  if (sent) sent(ok);
}

}  // namespace

void GoneSignal::Listen(std::function<void()> callback) {
  {
    absl::MutexLock lock(&mu_);
    if (released_) return;
    if (!fired_) {
      callback_ = std::move(callback);
      return;
    }
  }
  callback();
}

void GoneSignal::Fire() {
  std::function<void()> callback;
  {
    absl::MutexLock lock(&mu_);
    if (fired_ || released_) return;
    fired_ = true;
    callback.swap(callback_);
  }
  if (callback) callback();
}

void GoneSignal::Release() {
  std::function<void()> callback;  // destroyed without the lock: it may own the exchange
  absl::MutexLock lock(&mu_);
  released_ = true;
  callback.swap(callback_);
}

bool GoneSignal::fired() const {
  absl::MutexLock lock(&mu_);
  return fired_;
}

HttpExchange::HttpExchange(Link link, HttpRequest request, BodyShare share)
    : link_(std::move(link)), request_(std::move(request)), share_(std::move(share)) {}

HttpExchange::~HttpExchange() {
  Reach(
      link_, [id = link_.id](HttpConnection& connection) { connection.OnDropped(id); }, [] {});
}

void HttpExchange::Answer(HttpResponse response, Sent sent) {
  Reach(
      link_,
      [id = link_.id, response = std::move(response), sent](HttpConnection& connection) mutable {
        connection.OnAnswer(id, std::move(response), std::move(sent));
      },
      [sent] { Report(sent, false); });
}

void HttpExchange::BeginStream(int code, std::string content_type,
                               std::map<std::string, std::string> headers) {
  HttpResponse head{.code = code,
                    .content_type = std::move(content_type),
                    .body = "",
                    .headers = std::move(headers)};
  Reach(
      link_,
      [id = link_.id, head = std::move(head)](HttpConnection& connection) {
        connection.OnBeginStream(id, head);
      },
      [] {});
}

void HttpExchange::Write(std::string bytes, Sent written) {
  Reach(
      link_,
      [id = link_.id, bytes = std::move(bytes), written](HttpConnection& connection) mutable {
        connection.OnWrite(id, std::move(bytes), std::move(written));
      },
      [written] { Report(written, false); });
}

void HttpExchange::End(Sent sent) {
  Reach(
      link_,
      [id = link_.id, sent](HttpConnection& connection) mutable {
        connection.OnEnd(id, std::move(sent));
      },
      [sent] { Report(sent, false); });
}

void HttpExchange::Post(std::function<void()> task) {
  (void)link_.loop->Post([task = std::move(task)] { task(); });
}

void HttpExchange::ReadBody(std::function<void(BodyBlock)> callback) {
  Reach(
      link_,
      [id = link_.id, callback](HttpConnection& connection) mutable {
        connection.OnReadBody(id, std::move(callback));
      },
      [callback] { callback({.bytes = "", .end = BodyBlock::End::kFailed}); });
}

}  // namespace longspan
