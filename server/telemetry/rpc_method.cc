#include "server/telemetry/rpc_method.h"

namespace longspan {

std::string_view RpcMethodName(RpcMethod method) {
  switch (method) {
    case RpcMethod::kEncode:
      return "Encode";
    case RpcMethod::kEncodeStream:
      return "EncodeStream";
    case RpcMethod::kEncodeTokens:
      return "EncodeTokens";
    case RpcMethod::kTokenize:
      return "Tokenize";
    case RpcMethod::kGetModelInfo:
      return "GetModelInfo";
    case RpcMethod::kTeiInfo:
      return "tei.Info";
    case RpcMethod::kTeiEmbed:
      return "tei.Embed";
    case RpcMethod::kTeiEmbedStream:
      return "tei.EmbedStream";
    case RpcMethod::kTeiEmbedAll:
      return "tei.EmbedAll";
    case RpcMethod::kTeiEmbedAllStream:
      return "tei.EmbedAllStream";
    case RpcMethod::kTeiTokenize:
      return "tei.Tokenize";
    case RpcMethod::kTeiTokenizeStream:
      return "tei.TokenizeStream";
    case RpcMethod::kTeiDecode:
      return "tei.Decode";
    case RpcMethod::kTeiDecodeStream:
      return "tei.DecodeStream";
    case RpcMethod::kTeiUnserved:
      return "tei.Unserved";
  }
  return "unknown";
}

bool Encodes(RpcMethod method) {
  switch (method) {
    case RpcMethod::kEncode:
    case RpcMethod::kEncodeStream:
    case RpcMethod::kEncodeTokens:
    case RpcMethod::kTeiEmbed:
    case RpcMethod::kTeiEmbedStream:
    case RpcMethod::kTeiEmbedAll:
    case RpcMethod::kTeiEmbedAllStream:
      return true;
    default:
      return false;
  }
}

bool IsStream(RpcMethod method) {
  switch (method) {
    case RpcMethod::kEncodeStream:
    case RpcMethod::kTeiEmbedStream:
    case RpcMethod::kTeiEmbedAllStream:
    case RpcMethod::kTeiTokenizeStream:
    case RpcMethod::kTeiDecodeStream:
      return true;
    default:
      return false;
  }
}

}  // namespace longspan
