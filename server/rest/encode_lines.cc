#include "server/rest/encode_lines.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/rest/encoding_json.h"
#include "server/rest/http_caller.h"
#include "server/rest/json_message.h"
#include "server/rest/json_work.h"
#include "server/rest/longspan_routes.h"
#include "server/rest/route_options.h"
#include "server/rpc/encode_item.h"
#include "server/rpc/item_stream.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

constexpr char kLines[] = "application/x-ndjson";

class LineItem final : public EncodeItem {
 public:
  using EncodeItem::EncodeItem;

  int64_t VectorBytes(const ServiceParts& parts) const override {
    return JsonVectorBytes(format_, parts.dimensions(input_.options));
  }

  // A line may have any size: HTTP knows no largest message.
  void Complete(const ServiceParts& /*parts*/, EncodeTask::Params* /*params*/) override {}

  absl::Status MakeAnswer(grpc::ByteBuffer* answer) override {
    std::string line = R"({"encoding":)";
    AppendEncodingJson(document_, id(), format_, &line);
    document_ = {};
    line.append(R"(,"timings":)");
    AppendTimingsJson(timings_, &line);
    line.append("}\n");
    *answer = BufferOf(std::move(line));
    return absl::OkStatus();
  }

 private:
  absl::Status Parse(const ServiceParts& parts, const grpc::ByteBuffer& bytes,
                     v1::EncodeStreamRequest* message) override {
    std::string line;
    AppendBuffer(bytes, &line);
    auto json = ReadJson(line);
    IgnoredFields ignored(parts.options->strict_json);
    return json.ok() ? ReadMessage(*std::move(json), message, &ignored) : json.status();
  }
};

// The record of the call, made before the stream that refers to it.
struct HasRecord {
  HasRecord(const HttpRequest& request, const ServiceParts* parts)
      : record_(RpcMethod::kHttpEncodeStream, parts, HttpCallerOf(request)) {
    record_.SetKey(request.key_name);
    parts->metrics->OnHttpCallBegin(RpcMethod::kHttpEncodeStream);
  }
  ~HasRecord() { record_.parts().metrics->OnHttpCallEnd(RpcMethod::kHttpEncodeStream); }
  CallRecord record_;
};

// Lifetime: kept by its callbacks at the exchange and by the tasks of its items. The methods that
// read lines run on the thread of the event loop.
class EncodeLines final : private HasRecord, public ItemStream {
 public:
  EncodeLines(std::shared_ptr<HttpExchange> exchange, const ServiceParts* parts)
      : HasRecord(exchange->request(), parts),
        ItemStream(AnswerOrder::kAsReady, &record_),
        exchange_(std::move(exchange)) {}
  ~EncodeLines() override { OnTransportDone(); }

  static void Start(const std::shared_ptr<EncodeLines>& call) {
    call->exchange_->OnGone([weak = std::weak_ptr<EncodeLines>(call)] {
      if (const auto alive = weak.lock()) alive->OnCallerGone();
    });
    call->Begin();
  }

 private:
  std::shared_ptr<EncodeLines> Self() {
    return std::static_pointer_cast<EncodeLines>(shared_from_this());
  }

  std::shared_ptr<ItemWork> NewWork() override { return std::make_shared<LineItem>(&options_); }
  grpc::ByteBuffer MakeRefusal(const ItemWork& work, const absl::Status& status) override {
    const auto& item = static_cast<const LineItem&>(work);
    return BufferOf(WriteMessage(RefusedItem(item, status), /*all_fields=*/false) + "\n");
  }

  absl::Status Admit() override {
    absl::Status status = record_.CheckPhase();
    return status.ok() ? CheckHttpHeaders(exchange_->request()) : status;
  }
  void AskForMessage() override {
    exchange_->Post([call = Self()] { call->ReadLine(); });
  }
  absl::Status NoteMessage(const grpc::ByteBuffer& message) override {
    if (!refusal_.ok()) return refusal_;
    return record_.CheckSize(static_cast<int64_t>(message.Length()));
  }
  void MessageIsRead() override {}
  // The first answer begins the response: before it, the caller may still wait for the word that it
  // may send its body.
  void BeginAnswer() {
    if (!std::exchange(answering_, true))
      exchange_->BeginStream(200, kLines, {{"X-Request-Id", record_.request_id()}});
  }
  void SendAnswer(const grpc::ByteBuffer& answer) override {
    BeginAnswer();
    std::string line;
    AppendBuffer(answer, &line);
    exchange_->Post([call = Self(), line = std::move(line)]() mutable {
      call->exchange_->Write(std::move(line), [call](bool ok) { call->OnAnswerTaken(ok); });
    });
  }
  void FinishStream(const absl::Status& status) override {
    record_.Record(status);
    if (!answering_ && !status.ok()) {
      HttpResponse refusal = LongspanRefusal(status);
      refusal.headers.emplace("X-Request-Id", record_.request_id());
      if (std::string seconds = RetryAfterSeconds(status); !seconds.empty())
        refusal.headers.emplace("Retry-After", std::move(seconds));
      return exchange_->Answer(std::move(refusal));
    }
    BeginAnswer();
    if (!status.ok()) exchange_->Write(LongspanRefusal(status).body);
    exchange_->End();
  }

  // Hands over the next line that is not blank, or reads on.
  void ReadLine() {
    for (;;) {
      const size_t end = buffer_.find('\n', searched_);
      if (end == std::string::npos) break;
      std::string line = buffer_.substr(begin_, end - begin_);
      begin_ = searched_ = end + 1;
      if (!absl::StripAsciiWhitespace(line).empty()) return OnMessage(BufferOf(std::move(line)));
    }
    buffer_.erase(0, std::exchange(begin_, 0));
    searched_ = buffer_.size();
    if (buffer_.empty()) buffer_.shrink_to_fit();
    (void)exchange_->HoldBody(static_cast<int64_t>(buffer_.size()));
    // A line that is too long is handed over as it is: it is refused for its size.
    const bool too_long =
        static_cast<int64_t>(buffer_.size()) > record_.parts().options->max_request_bytes;
    if (last_block_ || too_long) {
      std::string line = std::exchange(buffer_, {});
      searched_ = 0;
      if (absl::StripAsciiWhitespace(line).empty()) return OnLastMessage(/*gone=*/false);
      return OnMessage(BufferOf(std::move(line)));
    }
    exchange_->ReadBody([call = Self()](const BodyBlock& block) { call->OnBlock(block); });
  }

  void OnBlock(const BodyBlock& block) {
    if (block.end == BodyBlock::End::kFailed) return OnLastMessage(/*gone=*/true);
    last_block_ = block.end == BodyBlock::End::kLast;
    const size_t needed = buffer_.size() + block.bytes.size();
    if (!exchange_->HoldBody(static_cast<int64_t>(needed))) {
      refusal_ =
          WithReason(WithRetryAfter(absl::ResourceExhaustedError("too many bodies arrive at once"),
                                    absl::Seconds(1)),
                     kReasonMaxReceivingBytes);
      return OnMessage({});
    }
    buffer_.append(block.bytes);
    ReadLine();
  }

  const std::shared_ptr<HttpExchange> exchange_;
  v1::EncodeOptions options_;  // the stream's, of the last message that had some
  bool answering_ = false;     // BeginStream was called; under the stream's lock

  // Of the body, on the loop's thread: what has come and is not handed over begins at `begin_`.
  std::string buffer_;
  size_t begin_ = 0;
  size_t searched_ = 0;  // no line ends before here
  bool last_block_ = false;
  absl::Status refusal_;  // why the rest of the body is not read
};

}  // namespace

void AddEncodeLinesRoute(const ServiceParts* parts, HttpServer* http) {
  RouteOptions options = ApiRoute(*parts);
  options.stream_body = true;
  http->AddAsyncRoute(
      "POST", "/encode_stream", options, [parts](std::shared_ptr<HttpExchange> exchange) {
        EncodeLines::Start(std::make_shared<EncodeLines>(std::move(exchange), parts));
      });
}

}  // namespace longspan
