// HttpConnection: how it answers, and for how long it waits.
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/http/http_connection.h"

namespace longspan {
namespace {

using Clock = HttpConnection::Clock;

// A body or an answer that moves at this speed counts as in use.
constexpr int64_t kUsefulRate = 64 << 10;
// It does so for this long after it has stopped, at most.
constexpr std::chrono::seconds kUsefulCredit{1};
// When to come again, for who was refused for lack of memory or threads.
constexpr char kRetrySeconds[] = "1";

Clock::duration ToClock(absl::Duration time) {
  return absl::ToChronoNanoseconds(std::min(time, absl::Hours(24 * 365)));
}

Clock::duration TimeFor(int64_t bytes, int64_t rate) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate)));
}

bool MayHaveBody(int code) { return code != 204 && code != 304; }

}  // namespace

void HttpConnection::OnAnswer(uint64_t id, HttpResponse response, HttpExchange::Sent sent) {
  if (!IsCurrent(id, Answer::kAwaited)) {
    if (sent) sent(false);
    return;
  }
  Respond(std::move(response), std::move(sent));
  Advance();
}

void HttpConnection::Respond(HttpResponse response, HttpExchange::Sent sent) {
  answer_ = Answer::kComplete;
  // What is left of a body whose answer is there would be read as the next request.
  if (body_ == Body::kReading) body_ = Body::kAbandoned;
  AddHead(response, BodyEnd::kLength);
  if (is_head_ || !MayHaveBody(response.code)) response.body.clear();
  out_.Add(std::move(response.body), std::move(sent));
}

void HttpConnection::Refuse(int code, std::string_view why) {
  received_.Clear();
  HttpResponse response = ErrorResponse(code, why, as_json_);
  if (code == 503) response.headers.emplace("Retry-After", kRetrySeconds);
  Respond(std::move(response));
}

void HttpConnection::RefuseHead(int code, const char* why) {
  ++exchange_id_;
  has_had_request_ = true;
  phase_ = Phase::kExchange;
  exchange_began_ = Clock::now();
  gone_ = std::make_shared<GoneSignal>();
  route_ = nullptr;
  cors_headers_.clear();
  is_head_ = is_http_1_0_ = keep_alive_ = streams_body_ = false;
  as_json_ = SpeaksJson(head_reader_.head().headers);
  body_ = Body::kAbandoned;
  Refuse(code, why);
}

void HttpConnection::AddHead(const HttpResponse& response, BodyEnd end) {
  code_ = response.code;
  const bool last = context_->draining || body_ == Body::kAbandoned || end == BodyEnd::kClose;
  keep_alive_ = keep_alive_ && !last;
  std::map<std::string, std::string> headers = response.headers;
  headers.insert(cors_headers_.begin(), cors_headers_.end());
  out_.Add(WriteHead({.code = response.code,
                      .content_type = response.content_type,
                      .headers = &headers,
                      .end = end,
                      .length = response.body.size(),
                      .keep_alive = keep_alive_,
                      .to_http_1_0 = is_http_1_0_}));
}

void HttpConnection::OnBeginStream(uint64_t id, const HttpResponse& head) {
  if (!IsCurrent(id, Answer::kAwaited)) return;
  answer_ = Answer::kStreaming;
  AddHead(head, is_http_1_0_ ? BodyEnd::kClose : BodyEnd::kChunks);
  Advance();
}

void HttpConnection::OnWrite(uint64_t id, std::string bytes, HttpExchange::Sent written) {
  const bool current = IsCurrent(id, Answer::kStreaming);
  if (!current || bytes.empty() || is_head_ || !MayHaveBody(code_)) {
    if (written) written(current);
    return;
  }
  if (out_.unsent() > options_.max_unsent_bytes) {
    Close();
    if (written) written(false);
    return;
  }
  if (is_http_1_0_) {
    out_.Add(std::move(bytes), std::move(written));
  } else {
    out_.Add(absl::StrCat(absl::Hex(bytes.size()), "\r\n"));
    out_.Add(std::move(bytes));
    out_.Add("\r\n", std::move(written));
  }
  Advance();
}

void HttpConnection::OnEnd(uint64_t id, HttpExchange::Sent sent) {
  if (!IsCurrent(id, Answer::kStreaming)) {
    if (sent) sent(false);
    return;
  }
  answer_ = Answer::kComplete;
  if (body_ == Body::kReading) {
    body_ = Body::kAbandoned;
    DeliverBlock(BodyBlock::End::kFailed);
  }
  const bool last_chunk = !is_http_1_0_ && !is_head_ && MayHaveBody(code_);
  out_.Add(last_chunk ? "0\r\n\r\n" : "", std::move(sent));
  Advance();
}

void HttpConnection::OnReadBody(uint64_t id, std::function<void(BodyBlock)> callback) {
  const bool current = phase_ == Phase::kExchange && id == exchange_id_;
  if (!current || !streams_body_ || wants_block_ || body_ == Body::kAbandoned) {
    callback({.bytes = "", .end = BodyBlock::End::kFailed});
    return;
  }
  if (body_ == Body::kComplete) {
    callback({.bytes = "", .end = BodyBlock::End::kLast});
    return;
  }
  wants_block_ = std::move(callback);
  wanted_since_ = Clock::now();
  if (std::exchange(awaits_continue_, false) && answer_ == Answer::kAwaited)
    out_.Add("HTTP/1.1 100 Continue\r\n\r\n");
  Advance();
}

void HttpConnection::OnDropped(uint64_t id) {
  if (IsCurrent(id, Answer::kAwaited)) {
    Refuse(500, "the request was dropped");
    Advance();
  } else if (IsCurrent(id, Answer::kStreaming)) {
    Close();  // without its end, so that the peer does not take it for whole
  }
}

bool HttpConnection::WantsToRead() const {
  if (eof_) return false;
  switch (phase_) {
    case Phase::kHandshake:
    case Phase::kRequest:
    case Phase::kLinger:
      return true;
    case Phase::kExchange:
      if (body_ == Body::kReading) return !streams_body_ || wants_block_ != nullptr;
      return body_ == Body::kComplete && in_.size() < (16 << 10);
    case Phase::kClosed:
      return false;
  }
  return false;
}

void HttpConnection::Settle() {
  if (phase_ == Phase::kClosed) return;
  uint32_t events = 0;
  if (WantsToRead() && !read_awaits_out_ && !handshake_awaits_out_) events |= EPOLLIN;
  if (!out_.empty()) events |= write_awaits_in_ ? EPOLLIN : EPOLLOUT;
  if (read_awaits_out_ || handshake_awaits_out_) events |= EPOLLOUT;
  if (!eof_ && !half_closed_) events |= EPOLLRDHUP;
  context_->loop->SetEvents(watch_, events);
  context_->loop->SetDeadline(watch_, Deadline());
  idle_since_->store(IdleSince(Clock::now()), std::memory_order_relaxed);
}

Clock::time_point HttpConnection::BodyDeadline() const {
  if (body_ != Body::kReading) return Clock::time_point::max();
  if (streams_body_)
    return wants_block_ ? wanted_since_ + ToClock(options_.body_grace) : Clock::time_point::max();
  return exchange_began_ + std::min(ToClock(options_.body_timeout),
                                    ToClock(options_.body_grace) +
                                        TimeFor(body_reader_->bytes(), options_.least_rate));
}

Clock::time_point HttpConnection::WriteDeadline() const {
  if (out_.empty()) return Clock::time_point::max();
  return out_.since() + ToClock(options_.write_grace) +
         TimeFor(out_.written(), options_.least_rate);
}

Clock::time_point HttpConnection::Deadline() const {
  switch (phase_) {
    case Phase::kHandshake:
      return phase_began_ + ToClock(options_.handshake_timeout);
    case Phase::kRequest:
      if (in_.empty() && has_had_request_) return phase_began_ + ToClock(options_.idle_timeout);
      return request_began_ + ToClock(options_.header_timeout);
    case Phase::kExchange:
      return std::min(BodyDeadline(), WriteDeadline());
    case Phase::kLinger:
      return phase_began_ + ToClock(options_.linger_timeout);
    case Phase::kClosed:
      break;
  }
  return Clock::time_point::max();
}

void HttpConnection::OnDeadline() {
  const auto self = shared_from_this();
  switch (phase_) {
    case Phase::kRequest:
      if (in_.empty()) return Close();
      RefuseHead(408, "the headers took too long");
      break;
    case Phase::kExchange:
      if (WriteDeadline() <= Clock::now()) return Close();
      if (BodyDeadline() <= Clock::now()) FailBody(408, "the body took too long");
      break;
    default:
      return Close();
  }
  Advance();
}

int64_t HttpConnection::IdleSince(Clock::time_point now) const {
  // What has moved makes up for the time that it took, and for a moment to come.
  const auto moving = [now](Clock::time_point began, int64_t bytes) {
    return std::min(now + kUsefulCredit, began + TimeFor(bytes, kUsefulRate)).time_since_epoch();
  };
  Clock::duration since = phase_began_.time_since_epoch();
  if (phase_ == Phase::kRequest && !in_.empty()) since = request_began_.time_since_epoch();
  if (phase_ == Phase::kExchange) {
    if (!out_.empty()) {
      since = moving(out_.since(), out_.written());
    } else if (body_ == Body::kReading && !streams_body_) {
      since = moving(exchange_began_, body_reader_->bytes());
    } else {
      return kInUse;
    }
  }
  return std::chrono::nanoseconds(since).count();
}

}  // namespace longspan
