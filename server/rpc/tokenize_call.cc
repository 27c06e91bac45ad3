#include "server/rpc/tokenize_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/text_segments.h"
#include "server/wire/request_decoder.h"
#include "server/wire/serialized.h"

namespace longspan {
namespace {

// Bytes of tokens that are counted together.
constexpr size_t kCountedBytes = 1 << 20;
// Of the field that holds one text's tokens: its tag and its length.
constexpr int64_t kMostHeadBytes = 6;
constexpr char kMaxAnswerBytes[] = "max_answer_bytes";

// The tokens of one text, serialised as they come.
class TokenWriter {
 public:
  TokenWriter(const Tokenizer& tokenizer, const std::string& prompt, AnswerRoom* room,
              AnswerSize* size)
      : tokenizer_(tokenizer),
        prompt_bytes_(static_cast<int64_t>(prompt.size())),
        prompt_characters_(CountCharacters(prompt)),
        room_(room),
        size_(size) {}

  absl::Status Add(const Tokenization& tokens) {
    for (size_t i = 0; i < tokens.ids.size(); ++i) {
      token_.set_id(static_cast<uint32_t>(tokens.ids[i]));
      const auto piece = tokenizer_.TokenText(tokens.ids[i]);
      token_.set_text(piece.ok() ? *piece : std::string());
      token_.set_special(tokens.special[i] != 0);
      FillRange(tokens.bytes[i], prompt_bytes_, token_.mutable_bytes());
      FillRange(tokens.characters[i], prompt_characters_, token_.mutable_characters());
      writer_.AppendField(v1::TokenizedText::kTokensFieldNumber, token_);
      if (writer_.bytes() - counted_ < kCountedBytes) continue;
      if (absl::Status status = Count(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Appends the text with all its tokens to the answer.
  absl::Status Finish(std::vector<grpc::Slice>* answer) {
    absl::Status status = Count();
    if (status.ok()) status = size_->Add(kMostHeadBytes);
    if (!status.ok()) return status;
    writer_.FinishField(v1::TokenizeResponse::kTextsFieldNumber, answer);
    return absl::OkStatus();
  }

 private:
  // Positions in the caller's text; those of the prompt's own tokens become 0.
  static void FillRange(TextRange range, int64_t prompt, v1::Range* out) {
    out->set_begin(static_cast<uint64_t>(std::max<int64_t>(0, range.begin - prompt)));
    out->set_end(static_cast<uint64_t>(std::max<int64_t>(0, range.end - prompt)));
  }

  absl::Status Count() {
    const size_t all = writer_.bytes();
    const auto bytes = static_cast<int64_t>(all - std::exchange(counted_, all));
    absl::Status status = room_->Add(bytes);
    return status.ok() ? size_->Add(bytes) : status;
  }

  const Tokenizer& tokenizer_;
  const int64_t prompt_bytes_;
  const int64_t prompt_characters_;
  AnswerRoom* const room_;
  AnswerSize* const size_;
  v1::Token token_;  // filled anew for each token
  SliceWriter writer_;
  size_t counted_ = 0;  // bytes of the writer that the room knows
};

}  // namespace

absl::Status TokenizeCall::Run(const grpc::ByteBuffer& request) {
  const ServiceParts& parts = call_.parts();
  if (absl::Status status = ParseRequest(call_.parts(), request, &request_); !status.ok())
    return status;
  if (absl::Status status = CheckTokenizeRequest(request_, parts.decoding()); !status.ok())
    return status;
  int64_t bytes = 0;
  for (const std::string& text : request_.texts()) bytes += static_cast<int64_t>(text.size());
  auto permit = parts.admission->TryAcquire(
      // One token: nothing of these texts is ever computed, only their bytes are held.
      AdmissionClaim{.bytes = bytes, .tokens = 1, .max_tokens = 1}, call_.deadline(),
      call_.client());
  if (!permit.ok()) return permit.status();
  permit_ = *std::move(permit);
  timer_ = call_.NewTimer(call_.arrival());
  room_ = MakeRoom(/*vector_bytes=*/0);
  size_ = std::make_unique<AnswerSize>(CallersAnswerBytes(request_.max_answer_bytes()),
                                       kMaxAnswerBytes);
  parts.tokenizers->Submit(
      call_.client(), bytes,
      [call = Shared<TokenizeCall>()](const absl::Status& status) { call->OnTurn(status); });
  return absl::OkStatus();
}

void TokenizeCall::OnTurn(const absl::Status& status) {
  timer_->BeginPreparation();
  Slices answer;
  const absl::Status read =
      status.ok() ? WithoutThrowing([&] { return ReadAll(&answer); }) : status;
  request_.Clear();
  permit_.Release();
  const StageTimings timings = timer_->End(read.ok());
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  call_.NoteTimings(timings);
  if (!read.ok()) return EndLocked(read);
  AnswerLocked(grpc::ByteBuffer(answer.data(), answer.size()));
}

absl::Status TokenizeCall::Abandoned() const {
  if (cancel_->cancelled()) return absl::CancelledError("the caller went away");
  return call_.parts().clock->Now() < call_.deadline()
             ? absl::OkStatus()
             : absl::DeadlineExceededError("the deadline passed while the texts were read");
}

absl::Status TokenizeCall::ReadAll(Slices* answer) const {
  const std::string no_prompt;
  const auto prompt =
      request_.prompt_name().empty()
          ? &no_prompt
          : FindPrompt(request_.prompt_name(), "prompt_name", *call_.parts().model).value();
  for (int i = 0; i < request_.texts_size(); ++i) {
    absl::Status status = ReadOne(request_.texts(i), *prompt, answer);
    const bool of_text = FieldOf(status) != kMaxAnswerBytes;
    if (of_text && absl::IsInvalidArgument(status))
      return AtField(status, absl::StrCat("texts[", i, "]"));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TokenizeCall::ReadOne(const std::string& text, const std::string& prompt,
                                   Slices* answer) const {
  const Tokenizer& tokenizer = *call_.parts().tokenizer;
  TokenWriter writer(tokenizer, prompt, room_.get(), size_.get());
  const std::string prompted = prompt.empty() ? std::string() : prompt + text;
  const absl::Status status =
      tokenizer.EncodeByParts(prompt.empty() ? text : prompted,
                              !request_.has_add_special_tokens() || request_.add_special_tokens(),
                              [&](const Tokenization& part) {
                                const absl::Status abandoned = Abandoned();
                                return abandoned.ok() ? writer.Add(part) : abandoned;
                              });
  return status.ok() ? writer.Finish(answer) : status;
}

}  // namespace longspan
