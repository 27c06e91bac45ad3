#include "server/http/http_connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Steps of one connection before others have their turn.
constexpr int kStepsInTurn = 16;
// Read at once.
constexpr size_t kBlock = 64 << 10;
constexpr size_t kHeadBlock = 16 << 10;
// Of the next request, while one is in work.
constexpr size_t kReadAhead = 16 << 10;
// A peer went before it had an answer. Other servers count it under this number, too.
constexpr int kClientClosedRequest = 499;

}  // namespace

HttpConnection::HttpConnection(int fd, HttpContext* context)
    : context_(context),
      options_(context->options),
      transport_(fd, context->tls),
      idle_since_(std::make_shared<std::atomic<int64_t>>(0)),
      phase_(transport_.has_tls() ? Phase::kHandshake : Phase::kRequest),
      phase_began_(Clock::now()),
      head_reader_(
          {.max_request_line = options_.max_request_line, .max_bytes = options_.max_header_bytes}),
      request_began_(phase_began_),
      received_(context->budget) {}

void HttpConnection::Begin() {
  watch_ = context_->loop->Watch(fd(), EPOLLIN | EPOLLRDHUP, this);
  Settle();
}

void HttpConnection::OnEvents(uint32_t events) {
  const auto self = shared_from_this();
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Close();
  if ((events & EPOLLRDHUP) != 0) half_closed_ = true;
  Advance();
}

void HttpConnection::Advance() {
  const auto self = shared_from_this();
  for (int step = 0; step < kStepsInTurn && phase_ != Phase::kClosed; ++step) {
    if (!Step()) return Settle();
  }
  if (phase_ == Phase::kClosed) return;
  Settle();
  context_->loop->Post([weak = weak_from_this()] {
    if (const auto connection = weak.lock(); connection != nullptr) connection->Advance();
  });
}

bool HttpConnection::Step() {
  const bool flushed = Flush();
  switch (phase_) {
    case Phase::kHandshake:
      return StepHandshake();
    case Phase::kRequest:
      return StepRequest() || flushed;
    case Phase::kExchange:
      return StepExchange() || flushed;
    case Phase::kLinger:
      return StepLinger();
    case Phase::kClosed:
      return false;
  }
  return false;
}

bool HttpConnection::StepHandshake() {
  const IoResult result = transport_.Handshake();
  handshake_awaits_out_ = result.io == Io::kWrite;
  if (result.io == Io::kRead || result.io == Io::kWrite) return false;
  if (result.io != Io::kDone) {
    Close();
    return false;
  }
  phase_ = Phase::kRequest;
  phase_began_ = request_began_ = Clock::now();
  return true;
}

bool HttpConnection::Flush() {
  if (out_.empty()) return false;
  const Io io = out_.Flush(&transport_);
  write_awaits_in_ = io == Io::kRead;
  if (io == Io::kFailed) Close();
  return io == Io::kDone;
}

std::string_view HttpConnection::Receive(size_t most) {
  if (eof_) return {};
  std::string& to = context_->scratch;
  const IoResult result = transport_.Read(to.data(), std::min(most, to.size()));
  read_awaits_out_ = result.io == Io::kWrite;
  switch (result.io) {
    case Io::kDone:
      return std::string_view(to).substr(0, result.bytes);
    case Io::kEnd:
      eof_ = true;
      if (phase_ == Phase::kExchange) gone_->Fire();
      return {};
    case Io::kFailed:
      Close();
      return {};
    case Io::kRead:
    case Io::kWrite:
      return {};
  }
  return {};
}

bool HttpConnection::StepRequest() {
  if (!in_.empty()) {
    switch (head_reader_.Read(in_)) {
      case HeadReader::Progress::kDone:
        in_.erase(0, head_reader_.size());
        StartExchange();
        return true;
      case HeadReader::Progress::kBad:
        RefuseHead(head_reader_.code(), head_reader_.why());
        return true;
      case HeadReader::Progress::kMore:
        break;
    }
  }
  const std::string_view bytes = Receive(kHeadBlock);
  if (phase_ == Phase::kClosed) return false;
  if (bytes.empty()) {
    if (eof_) Close();
    return false;
  }
  if (in_.empty() && has_had_request_) request_began_ = Clock::now();
  in_.append(bytes);
  return true;
}

void HttpConnection::StartExchange() {
  RequestHead& head = head_reader_.head();
  ++exchange_id_;
  has_had_request_ = true;
  phase_ = Phase::kExchange;
  exchange_began_ = Clock::now();
  answer_ = Answer::kAwaited;
  body_ = head.framing == Framing::kNone ? Body::kComplete : Body::kReading;
  code_ = 0;
  gone_ = std::make_shared<GoneSignal>();
  is_head_ = head.method == "HEAD";
  is_http_1_0_ = head.is_http_1_0;
  keep_alive_ = head.keep_alive;
  as_json_ = SpeaksJson(head.headers);
  content_length_ = head.content_length;
  HttpRouter::Match match = context_->router->Find(head);
  route_ = match.route;
  cors_headers_ = std::move(match.cors_headers);
  if (match.refused) return Respond(std::move(match.refusal));
  request_ = {.method = std::move(head.method),
              .path = std::move(head.path),
              .query = std::move(head.query),
              .body = "",
              .headers = std::move(head.headers),
              .peer = PeerOf(fd()),
              .key_name = std::move(match.key_name),
              .over_tls = transport_.has_tls(),
              .has_client_certificate = transport_.HasClientCertificate()};
  BeginBody(head);
}

void HttpConnection::BeginBody(const RequestHead& head) {
  const std::string_view expect = request_.Header("expect");
  if (!expect.empty() &&
      !absl::EqualsIgnoreCase(absl::string_view(expect.data(), expect.size()), "100-continue"))
    return Refuse(417, "only 100-continue can be expected");
  streams_body_ = route_->options.stream_body;
  const int64_t max = streams_body_                         ? std::numeric_limits<int64_t>::max()
                      : route_->options.max_body_bytes >= 0 ? route_->options.max_body_bytes
                                                            : options_.max_body_bytes;
  if (head.content_length > max)
    return Refuse(413, absl::StrCat("the body has more than ", max, " bytes"));
  body_reader_.emplace(head.framing, head.content_length, max);
  // The peer waits for a word before it sends its body, unless it has not waited.
  awaits_continue_ = !expect.empty() && !is_http_1_0_ && in_.empty() && body_ == Body::kReading;
  if (streams_body_ || body_ == Body::kComplete) return Dispatch();
  if (std::exchange(awaits_continue_, false)) out_.Add("HTTP/1.1 100 Continue\r\n\r\n");
}

bool HttpConnection::StepExchange() {
  if (body_ == Body::kReading && (!streams_body_ || wants_block_)) {
    if (StepBody()) return true;
    if (phase_ != Phase::kExchange) return false;
  } else if (body_ == Body::kComplete && !eof_ && in_.size() < kReadAhead) {
    const std::string_view ahead = Receive(kReadAhead - in_.size());
    if (phase_ == Phase::kClosed) return false;
    in_.append(ahead);
    if (!ahead.empty()) return true;
  }
  // Nothing is read now, so the end will not be found by reading. What is left of a body may still
  // stand before it.
  if (half_closed_ && body_ != Body::kReading && !WantsToRead()) gone_->Fire();
  if (answer_ != Answer::kComplete || !out_.empty()) return false;
  FinishExchange();
  return true;
}

bool HttpConnection::StepBody() {
  const bool buffered = !in_.empty();
  const std::string_view source = buffered ? std::string_view(in_) : Receive(kBlock);
  if (phase_ == Phase::kClosed) return false;
  if (source.empty()) {
    if (eof_) FailBody(400, "the body ends too early");
    return eof_;
  }
  size_t used = 0;
  while (body_reader_->state() == BodyReader::State::kMore) {
    std::string_view data;
    const size_t step = body_reader_->Read(source.substr(used), &data);
    used += step;
    if (!data.empty() && !TakeBody(data)) return true;
    if (step == 0) break;
  }
  if (buffered) {
    in_.erase(0, used);
  } else {
    in_.assign(source.substr(used));  // the next request
  }
  switch (body_reader_->state()) {
    case BodyReader::State::kMore:
      if (!block_.empty()) DeliverBlock(BodyBlock::End::kMore);
      break;
    case BodyReader::State::kDone:
      body_ = Body::kComplete;
      if (streams_body_) {
        DeliverBlock(BodyBlock::End::kLast);
      } else {
        Dispatch();
      }
      break;
    case BodyReader::State::kBad:
      FailBody(400, "the body is not in chunks");
      break;
    case BodyReader::State::kTooLarge:
      FailBody(413, "the body is too large");
      break;
  }
  return true;
}

bool HttpConnection::TakeBody(std::string_view data) {
  if (streams_body_) {
    block_.append(data);
    return true;
  }
  if (received_.Append(data, content_length_)) return true;
  Refuse(503, "too many bodies arrive at once");
  return false;
}

void HttpConnection::DeliverBlock(BodyBlock::End end) {
  const auto callback = std::exchange(wants_block_, nullptr);
  if (callback) callback({.bytes = std::exchange(block_, {}), .end = end});
}

void HttpConnection::FailBody(int code, const char* why) {
  block_.clear();
  body_ = Body::kAbandoned;
  keep_alive_ = false;
  DeliverBlock(BodyBlock::End::kFailed);
  if (answer_ == Answer::kAwaited) {
    gone_->Fire();  // of a streamed body: its handler works already
    Refuse(code, why);
  } else if (answer_ == Answer::kStreaming) {
    Close();
  }
}

void HttpConnection::Dispatch() {
  // Before the handler can tell anybody that it works.
  idle_since_->store(kInUse, std::memory_order_relaxed);
  accepted_ = true;
  context_->accepted.Add();
  auto [body, share] = received_.Take();
  request_.body = std::move(body);
  auto exchange = std::make_shared<HttpExchange>(
      HttpExchange::Link{context_->loop, weak_from_this(), exchange_id_, gone_},
      std::exchange(request_, {}), std::move(share));
  bool taken = false;
  if (const auto* page = std::get_if<HttpHandler>(&route_->handler); page != nullptr) {
    taken =
        context_->pages->Run([page, exchange] { exchange->Answer((*page)(exchange->request())); });
  } else {
    taken = context_->api->Run(
        [handler = std::get_if<HttpAsyncHandler>(&route_->handler),
         exchange = std::move(exchange)]() mutable { (*handler)(std::move(exchange)); });
  }
  if (!taken) Refuse(503, "too many requests wait");
}

void HttpConnection::FinishExchange() {
  Report();
  gone_->Release();
  received_.Clear();
  body_reader_.reset();
  block_.clear();
  DeliverBlock(BodyBlock::End::kFailed);
  phase_began_ = request_began_ = Clock::now();
  if (keep_alive_ && body_ == Body::kComplete) {
    phase_ = Phase::kRequest;
    head_reader_.Reset();
    if (in_.empty()) std::string().swap(in_);  // idle connections hold no buffer
    return;
  }
  if (eof_) return Close();
  phase_ = Phase::kLinger;
  transport_.CloseWrite();
}

bool HttpConnection::StepLinger() {
  if (transport_.Discard() != Io::kRead) Close();
  return false;
}

void HttpConnection::Report() {
  if (std::exchange(accepted_, false)) context_->accepted.Remove();
  options_.on_exchange({.route = route_ == nullptr ? "other" : std::string_view(route_->path),
                        .code = code_ == 0 ? kClientClosedRequest : code_,
                        .time = absl::FromChrono(Clock::now() - exchange_began_)});
}

void HttpConnection::EndSoon() {
  const auto self = shared_from_this();
  // A body that is still on its way has not been accepted.
  if (phase_ == Phase::kExchange && (accepted_ || answer_ == Answer::kComplete)) {
    keep_alive_ = false;
  } else {
    Close();
  }
}

void HttpConnection::Close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  const bool in_work = phase_ == Phase::kExchange;
  phase_ = Phase::kClosed;
  context_->loop->Forget(watch_);
  if (in_work) {
    gone_->Fire();
    Report();
    DeliverBlock(BodyBlock::End::kFailed);
  }
  out_.Drop();
  received_.Clear();
  context_->on_closed(this);
}

}  // namespace longspan
