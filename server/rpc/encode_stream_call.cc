#include "server/rpc/encode_stream_call.h"

#include "server/rpc/encode_item.h"
#include "server/wire/serialized.h"

namespace longspan {

std::shared_ptr<ItemWork> EncodeStreamCall::NewWork() {
  return std::make_shared<EncodeItem>(&options_);
}

grpc::ByteBuffer EncodeStreamCall::MakeRefusal(const ItemWork& work, const absl::Status& status) {
  return SerializeMessage(RefusedItem(static_cast<const EncodeItem&>(work), status));
}

}  // namespace longspan
