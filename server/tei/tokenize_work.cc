#include "server/tei/tokenize_work.h"

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/rpc/rpc_call.h"
#include "server/tei/tei_requests.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

// Bytes of tokens that are counted together.
constexpr size_t kCountedBytes = 1 << 20;
// Ids between two looks at whether anybody still waits.
constexpr int kIdsBetweenLooks = 1 << 14;

// Bytes of a token in the answer, for each byte of the text that it has: its number, text, place
// and their tags. A text of single letters is all tokens of one byte.
constexpr int64_t kAnswerBytesPerByte = 24;
// The same for each byte of an id that is decoded: tokens of 16 bytes.
constexpr int64_t kTextBytesPerIdByte = 4;

class MessageSink final : public TokenSink {
 public:
  void Append(const tei::v1::SimpleToken& token) override {
    writer_.AppendField(tei::v1::EncodeResponse::kTokensFieldNumber, token);
  }
  size_t bytes() const override { return writer_.bytes(); }
  grpc::ByteBuffer Finish() override {
    std::vector<grpc::Slice> slices;
    writer_.Finish(&slices);
    return {slices.data(), slices.size()};
  }

 private:
  SliceWriter writer_;
};

// The tokens of one text, handed on as they come.
class TokenWriter {
 public:
  TokenWriter(const Tokenizer& tokenizer, std::string_view text, AnswerRoom* room, TokenSink* sink)
      : tokenizer_(tokenizer), text_(text), room_(room), sink_(sink) {}

  absl::Status Add(const Tokenization& tokens) {
    for (size_t i = 0; i < tokens.ids.size(); ++i) {
      Fill(tokens, i);
      sink_->Append(token_);
      if (sink_->bytes() - counted_ < kCountedBytes) continue;
      if (absl::Status status = Count(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Finish(grpc::ByteBuffer* answer) {
    if (absl::Status status = Count(); !status.ok()) return status;
    *answer = sink_->Finish();
    return absl::OkStatus();
  }

 private:
  void Fill(const Tokenization& tokens, size_t i) {
    token_.Clear();
    token_.set_id(static_cast<uint32_t>(tokens.ids[i]));
    token_.set_special(tokens.special[i] != 0);
    if (token_.special()) {
      const auto name = tokenizer_.TokenText(tokens.ids[i]);
      token_.set_text(name.ok() ? *name : std::string());
      return;
    }
    const TextRange bytes = tokens.bytes[i];  // whole characters, also where a token is one byte
    token_.set_text(std::string(text_.substr(static_cast<size_t>(bytes.begin),
                                             static_cast<size_t>(bytes.end - bytes.begin))));
    token_.set_start(static_cast<uint32_t>(tokens.characters[i].begin));
    token_.set_stop(static_cast<uint32_t>(tokens.characters[i].end));
  }

  absl::Status Count() {
    const size_t bytes = sink_->bytes();
    return room_->Add(static_cast<int64_t>(bytes - std::exchange(counted_, bytes)));
  }

  const Tokenizer& tokenizer_;
  const std::string_view text_;
  AnswerRoom* const room_;
  tei::v1::SimpleToken token_;  // filled anew for each token
  TokenSink* const sink_;
  size_t counted_ = 0;  // bytes of the sink that the room knows
};

}  // namespace

// One token: nothing is ever computed of it, only its bytes are held.
AdmissionClaim TokenizerWork::Claim(const ServiceParts& /*parts*/) const {
  return {.bytes = InputBytes(), .tokens = 1, .max_tokens = 1};
}

void TokenizerWork::Begin(const ServiceParts& parts, WorkOrder order) {
  const std::string client = order.client;
  const auto call_bytes = order.call_size.has_value() ? order.call_size->bytes : InputBytes();
  parts.tokenizers->Submit(
      client, InputBytes(),
      [work = Shared<TokenizerWork>(), parts = &parts, order = std::move(order)](
          const absl::Status& status) mutable { work->OnTurn(*parts, std::move(order), status); },
      call_bytes);
}

void TokenizerWork::OnTurn(const ServiceParts& parts, WorkOrder order, const absl::Status& status) {
  order.timer->BeginPreparation();
  const absl::Status run = !status.ok() ? status : WithoutThrowing([&] {
    auto answer = Run(parts, order);
    if (!answer.ok()) return answer.status();
    answer_ = *std::move(answer);
    return absl::OkStatus();
  });
  order.permit.Release();
  WorkResult result{.counts = EncodedDocument(), .timings = order.timer->End(run.ok())};
  if (!run.ok()) result.counts = run;
  order.done(std::move(result));
}

absl::Status TokenizerWork::MakeAnswer(grpc::ByteBuffer* answer) {
  answer->Swap(&answer_);
  return absl::OkStatus();
}

absl::Status TokenizerWork::Abandoned(const ServiceParts& parts, const WorkOrder& order) {
  if (order.cancel->cancelled()) return absl::CancelledError("the caller went away");
  return parts.clock->Now() < order.deadline
             ? absl::OkStatus()
             : absl::DeadlineExceededError("the deadline passed while the tokenizer read");
}

absl::Status TokenizeWork::Read(const ServiceParts& parts, const grpc::ByteBuffer& message) {
  if (absl::Status status = ParseRequest(parts, message, &request_); !status.ok()) return status;
  if (absl::Status status = CheckTokenizeRequest(request_, parts.decoding()); !status.ok())
    return status;
  if (!request_.prompt_name().empty())
    prompt_ = *FindPrompt(request_.prompt_name(), "prompt_name", *parts.model).value();
  return absl::OkStatus();
}

int64_t TokenizeWork::InputBytes() const {
  return static_cast<int64_t>(prompt_.size() + request_.inputs().size());
}

int64_t TokenizeWork::MostAnswerBytes(const ServiceParts& /*parts*/) const {
  return kAnswerBytesPerByte * InputBytes();
}

absl::StatusOr<grpc::ByteBuffer> TokenizeWork::Run(const ServiceParts& parts,
                                                   const WorkOrder& order) {
  const Tokenizer& tokenizer = *parts.tokenizer;
  std::string text = std::move(*request_.mutable_inputs());
  if (!prompt_.empty()) text.insert(0, prompt_);
  const std::unique_ptr<TokenSink> sink = NewSink();
  TokenWriter writer(tokenizer, text, order.room.get(), sink.get());
  absl::Status status =
      tokenizer.EncodeByParts(text, request_.add_special_tokens(), [&](const Tokenization& part) {
        const absl::Status abandoned = Abandoned(parts, order);
        return abandoned.ok() ? writer.Add(part) : abandoned;
      });
  grpc::ByteBuffer answer;
  if (status.ok()) status = writer.Finish(&answer);
  if (absl::IsInvalidArgument(status)) return AtField(status, field_);
  if (!status.ok()) return status;
  return answer;
}

std::unique_ptr<TokenSink> TokenizeWork::NewSink() const { return std::make_unique<MessageSink>(); }

absl::Status DecodeWork::Read(const ServiceParts& parts, const grpc::ByteBuffer& message) {
  if (absl::Status status = ParseRequest(parts, message, &request_); !status.ok()) return status;
  return CheckDecodeRequest(request_, parts.decoding());
}

int64_t DecodeWork::InputBytes() const {
  return int64_t{request_.ids_size()} * static_cast<int64_t>(sizeof(int32_t));
}

int64_t DecodeWork::MostAnswerBytes(const ServiceParts& /*parts*/) const {
  return kTextBytesPerIdByte * InputBytes();
}

absl::StatusOr<int64_t> DecodeWork::CountTextBytes(const ServiceParts& parts,
                                                   const WorkOrder& order) const {
  const int64_t most = parts.options->max_text_bytes;
  int64_t bytes = 0;
  for (int i = 0; i < request_.ids_size(); ++i) {
    if (i % kIdsBetweenLooks == 0) {
      if (absl::Status status = Abandoned(parts, order); !status.ok()) return status;
    }
    const uint32_t id = request_.ids(i);
    const auto token = parts.tokenizer->TokenText(static_cast<int32_t>(id));
    if (id > INT32_MAX || !token.ok()) {
      return InvalidField(absl::StrCat(field_, "[", i, "]"),
                          absl::StrCat("is ", id, "; allowed: ids of the vocabulary, which has ",
                                       parts.tokenizer->vocab_size(), " tokens"));
    }
    bytes += static_cast<int64_t>(token->size());
    if (bytes <= most) continue;
    return WithReason(InvalidField(field_, absl::StrCat("are tokens of more than ", most,
                                                        " bytes; allowed: at most ", most)),
                      kReasonMaxTextBytes);
  }
  return bytes;
}

absl::StatusOr<grpc::ByteBuffer> DecodeWork::Run(const ServiceParts& parts,
                                                 const WorkOrder& order) {
  const auto bytes = CountTextBytes(parts, order);
  if (!bytes.ok()) return bytes.status();
  if (absl::Status status = order.room->Add(*bytes); !status.ok()) return status;
  const std::vector<int32_t> ids(request_.ids().begin(), request_.ids().end());
  const bool skip_special_tokens = request_.skip_special_tokens();
  request_ = tei::v1::DecodeRequest();  // frees the ids: the answer may wait for its reader
  auto text = parts.tokenizer->Decode(ids, skip_special_tokens);
  if (!text.ok()) return text.status();
  return Serialize(*std::move(text));
}

grpc::ByteBuffer DecodeWork::Serialize(std::string text) const {
  tei::v1::DecodeResponse response;
  response.set_text(std::move(text));
  return SerializeMessage(response);
}

}  // namespace longspan
