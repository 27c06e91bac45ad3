#include "server/rpc/item_stream_call.h"

namespace longspan {

RawReactor* ItemStreamCall::Start(const std::shared_ptr<ItemStreamCall>& call) {
  call->self_ = call;
  call->Begin();
  return call.get();
}

void ItemStreamCall::AskForMessage() {
  rpc_.ReadBegins(std::static_pointer_cast<ItemStreamCall>(shared_from_this()),
                  /*whole_request=*/false);
  StartRead(&incoming_);
}

// A caller that goes away ends the reading too, before OnCancel comes: that is no end in peace.
void ItemStreamCall::OnReadDone(bool ok) {
  if (!ok) return OnLastMessage(rpc_.gone());
  grpc::ByteBuffer message;
  message.Swap(&incoming_);
  OnMessage(message);
}

void ItemStreamCall::SendAnswer(const grpc::ByteBuffer& answer) {
  rpc_.WriteBegins(static_cast<int64_t>(answer.Length()));
  StartWrite(&answer);
}

void ItemStreamCall::OnWriteDone(bool ok) {
  rpc_.WriteEnds();
  OnAnswerTaken(ok);
}

void ItemStreamCall::GiveUpReading(const absl::Status& status) {
  if (!StopReading(status)) rpc_.Cancel();
}

void ItemStreamCall::OnDone() {
  rpc_.Close();
  OnTransportDone();
  self_.reset();
}

}  // namespace longspan
