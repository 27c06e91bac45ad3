#include "server/rpc/tokenize_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/text_segments.h"
#include "server/wire/request_decoder.h"

namespace longspan {

grpc::ServerUnaryReactor* TokenizeCall::Start(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer& request,
                                              grpc::ByteBuffer* response,
                                              const ServiceParts* parts) {
  auto* call = new TokenizeCall(context, response, parts);
  if (const absl::Status status = call->Run(request); !status.ok()) call->End(status);
  return call;
}

absl::Status TokenizeCall::Run(const grpc::ByteBuffer& request) {
  const ServiceParts& parts = call_.parts();
  if (absl::Status status = call_.Admit(); !status.ok()) return status;
  if (absl::Status status = call_.Parse(request, &request_); !status.ok()) return status;
  if (absl::Status status = CheckTokenizeRequest(request_, parts.decoding()); !status.ok())
    return status;
  int64_t bytes = 0;
  for (const std::string& text : request_.texts()) bytes += static_cast<int64_t>(text.size());
  auto permit = parts.admission->TryAcquire(
      // One token: nothing of these texts is ever computed, only their bytes are held.
      AdmissionClaim{.bytes = bytes, .tokens = 1, .max_tokens = 1}, call_.deadline());
  if (!permit.ok()) return permit.status();
  permit_ = *std::move(permit);
  timer_ = call_.NewTimer(call_.arrival());
  parts.tokenizers->Submit(bytes, [this](const absl::Status& status) {
    timer_->BeginPreparation();
    End(status.ok() ? ReadAll() : status);
  });
  return absl::OkStatus();
}

absl::Status TokenizeCall::ReadAll() {
  const std::string no_prompt;
  const auto prompt =
      request_.prompt_name().empty()
          ? &no_prompt
          : FindPrompt(request_.prompt_name(), "prompt_name", *call_.parts().model).value();
  v1::TokenizeResponse response;
  for (int i = 0; i < request_.texts_size(); ++i) {
    if (context_->IsCancelled()) return absl::CancelledError("the caller went away");
    absl::Status status =
        ReadOne(request_.texts(i), *prompt, absl::StrCat("texts[", i, "]"), response.add_texts());
    if (!status.ok()) return status;
  }
  *response_ = SerializeMessage(response);
  return absl::OkStatus();
}

absl::Status TokenizeCall::ReadOne(const std::string& text, const std::string& prompt,
                                   const std::string& field, v1::TokenizedText* out) const {
  const Tokenizer& tokenizer = *call_.parts().tokenizer;
  const bool add_special = !request_.has_add_special_tokens() || request_.add_special_tokens();
  const auto tokens = prompt.empty() ? tokenizer.Encode(text, add_special)
                                     : tokenizer.Encode(prompt + text, add_special);
  if (!tokens.ok()) return AtField(tokens.status(), field);
  // Positions in the caller's text; those of the prompt's own tokens become 0.
  const auto shift = [](int64_t at, int64_t by) {
    return static_cast<uint64_t>(std::max<int64_t>(0, at - by));
  };
  const auto prompt_bytes = static_cast<int64_t>(prompt.size());
  const int64_t prompt_characters = CountCharacters(prompt);
  for (size_t i = 0; i < tokens->ids.size(); ++i) {
    v1::Token* token = out->add_tokens();
    token->set_id(static_cast<uint32_t>(tokens->ids[i]));
    const auto piece = tokenizer.TokenText(tokens->ids[i]);
    if (piece.ok()) token->set_text(*piece);
    token->set_special(tokens->special[i] != 0);
    token->mutable_bytes()->set_begin(shift(tokens->bytes[i].begin, prompt_bytes));
    token->mutable_bytes()->set_end(shift(tokens->bytes[i].end, prompt_bytes));
    token->mutable_characters()->set_begin(shift(tokens->characters[i].begin, prompt_characters));
    token->mutable_characters()->set_end(shift(tokens->characters[i].end, prompt_characters));
  }
  return absl::OkStatus();
}

void TokenizeCall::End(const absl::Status& status) {
  permit_.Release();
  if (timer_ != nullptr) call_.NoteTimings(timer_->End(status.ok()));
  Finish(call_.Finish(status));
}

}  // namespace longspan
