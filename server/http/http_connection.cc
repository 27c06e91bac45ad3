#include "server/http/http_connection.h"

#include <unistd.h>

#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// A peer went before it had an answer. Other servers count it under this number, too.
constexpr int kClientClosedRequest = 499;

}  // namespace

HttpConnection::HttpConnection(int fd, HttpContext* context)
    : context_(context),
      options_(context->options),
      fd_(fd),
      transport_(context->loop.get(), fd, context->tls),
      alarm_(context->loop.get()),
      idle_since_(std::make_shared<std::atomic<int64_t>>(0)),
      phase_(transport_.has_tls() ? Phase::kHandshake : Phase::kRequest),
      phase_began_(Clock::now()),
      reader_(
          {.max_request_line = options_.max_request_line, .max_bytes = options_.max_header_bytes}),
      request_began_(phase_began_),
      received_(context->budget) {}

void HttpConnection::Begin() {
  transport_.AwaitFailure([self = shared_from_this()] { self->Close(); });
  if (phase_ == Phase::kHandshake)
    transport_.Handshake([self = shared_from_this()](bool ok) { self->OnShaken(ok); });
  Settle();
}

void HttpConnection::OnShaken(bool ok) {
  if (phase_ == Phase::kClosed) return;
  if (!ok) return Close();
  phase_ = Phase::kRequest;
  phase_began_ = request_began_ = Clock::now();
  Settle();
}

void HttpConnection::OnReceived(Io io, std::string_view bytes) {
  reading_ = false;
  // What comes behind the last answer is of no use.
  if (phase_ == Phase::kClosed || phase_ == Phase::kLinger) return;
  if (io == Io::kFailed) return Close();
  if (io == Io::kEnd) {
    eof_ = true;
    if (phase_ == Phase::kExchange) gone_->Fire();
  }
  received_now_ = bytes;
  Advance();
}

void HttpConnection::OnWritten(bool ok, size_t bytes) {
  writing_ = false;
  out_.Release();
  if (phase_ == Phase::kClosed) return;
  if (!ok) return Close();
  out_.Wrote(bytes);
  Advance();
}

void HttpConnection::Advance() {
  const auto self = shared_from_this();
  while (phase_ != Phase::kClosed && Step()) {
  }
  if (phase_ == Phase::kExchange && body_ != Body::kAbandoned) in_.append(received_now_);
  received_now_ = {};
  Settle();
}

bool HttpConnection::Step() {
  const bool flushed = Flush();
  switch (phase_) {
    case Phase::kRequest:
      return StepRequest() || flushed;
    case Phase::kExchange:
      return StepExchange() || flushed;
    case Phase::kHandshake:
    case Phase::kLinger:
    case Phase::kClosed:
      return false;
  }
  return false;
}

bool HttpConnection::Flush() {
  if (out_.empty() || writing_) return false;
  const std::string_view bytes = out_.Next();
  if (bytes.empty()) return true;
  writing_ = true;
  transport_.Write(
      bytes, [self = shared_from_this()](bool ok, size_t size) { self->OnWritten(ok, size); });
  return false;
}

bool HttpConnection::StepRequest() {
  const std::string_view bytes = std::exchange(received_now_, {});
  if (!bytes.empty() && in_.empty() && has_had_request_) request_began_ = Clock::now();
  in_.append(bytes);
  switch (reader_.ReadHead(in_)) {
    case RequestReader::Progress::kDone:
      in_.erase(0, reader_.size());
      StartExchange();
      return true;
    case RequestReader::Progress::kBad:
      RefuseHead(reader_.code(), reader_.why());
      return true;
    case RequestReader::Progress::kMore:
      break;
  }
  if (eof_) Close();
  return false;
}

void HttpConnection::StartExchange() {
  RequestHead& head = reader_.head();
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
              .peer = PeerOf(fd_),
              .segment = std::move(match.segment),
              .key_name = std::move(match.key_name),
              .over_tls = transport_.has_tls(),
              .has_client_certificate = transport_.HasClientCertificate()};
  BeginBody(head);
}

int64_t HttpConnection::MaxBodyBytes() const {
  if (streams_body_) return std::numeric_limits<int64_t>::max();
  const int64_t of_route = route_->options.max_body_bytes;
  return of_route >= 0 ? of_route : options_.max_body_bytes;
}

void HttpConnection::BeginBody(const RequestHead& head) {
  const std::string_view expect = request_.Header("expect");
  if (!expect.empty() &&
      !absl::EqualsIgnoreCase(absl::string_view(expect.data(), expect.size()), "100-continue"))
    return Refuse(417, "only 100-continue can be expected");
  streams_body_ = route_->options.stream_body;
  const int64_t most = MaxBodyBytes();
  if (head.content_length > most)
    return Refuse(413, absl::StrCat("the body has more than ", most, " bytes"));
  reader_.BeginBody(most);
  // The peer waits for a word before it sends its body, unless it has not waited.
  awaits_continue_ = !expect.empty() && !is_http_1_0_ && in_.empty() && body_ == Body::kReading;
  if (streams_body_ || body_ == Body::kComplete) return Dispatch();
  if (std::exchange(awaits_continue_, false)) out_.Add("HTTP/1.1 100 Continue\r\n\r\n");
}

bool HttpConnection::StepExchange() {
  if (body_ == Body::kReading && (!streams_body_ || wants_block_)) {
    if (StepBody()) return true;
    if (phase_ != Phase::kExchange) return false;
  }
  if (answer_ != Answer::kComplete || !out_.empty()) return false;
  FinishExchange();
  return true;
}

bool HttpConnection::StepBody() {
  // What was left lies before it: the beginning of the line before a chunk, or of the body.
  if (!in_.empty()) in_.append(std::exchange(received_now_, {}));
  const bool buffered = !in_.empty();
  const std::string_view source = buffered ? std::string_view(in_) : received_now_;
  size_t used = 0;
  while (reader_.body() == RequestReader::Body::kMore) {
    std::string_view data;
    const size_t step = reader_.ReadBody(source.substr(used), &data);
    used += step;
    if (!data.empty() && !TakeBody(data)) return true;
    if (step == 0) break;
  }
  if (buffered) {
    in_.erase(0, used);
  } else {
    received_now_.remove_prefix(used);
  }
  switch (reader_.body()) {
    case RequestReader::Body::kMore:
      if (!block_.empty()) DeliverBlock(BodyBlock::End::kMore);
      if (used > 0 || !eof_) return used > 0;
      FailBody(400, "the body ends too early");
      break;
    case RequestReader::Body::kDone:
      body_ = Body::kComplete;
      if (streams_body_) {
        DeliverBlock(BodyBlock::End::kLast);
      } else {
        Dispatch();
      }
      break;
    case RequestReader::Body::kBad:
      FailBody(400, "the body is not in chunks");
      break;
    case RequestReader::Body::kTooLarge:
      FailBody(413, absl::StrCat("the body has more than ", MaxBodyBytes(), " bytes"));
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

void HttpConnection::FailBody(int code, std::string_view why) {
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
  block_.clear();
  DeliverBlock(BodyBlock::End::kFailed);
  phase_began_ = request_began_ = Clock::now();
  if (keep_alive_ && body_ == Body::kComplete) {
    phase_ = Phase::kRequest;
    reader_.Reset();
    if (in_.empty()) std::string().swap(in_);  // idle connections hold no buffer
    return;
  }
  if (eof_) return Close();
  phase_ = Phase::kLinger;
  transport_.CloseWrite();
  transport_.Discard([self = shared_from_this()] { self->Close(); });
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
  alarm_.Cancel();
  if (in_work) {
    gone_->Fire();
    Report();
    DeliverBlock(BodyBlock::End::kFailed);
  }
  out_.Drop();
  received_.Clear();
  // Before another socket gets the descriptor.
  context_->on_closed(this);
  transport_.Close();
}

}  // namespace longspan
