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
    case RpcMethod::kSearch:
      return "Search";
    case RpcMethod::kPutDocuments:
      return "PutDocuments";
    case RpcMethod::kDeleteDocuments:
      return "DeleteDocuments";
    case RpcMethod::kListCollections:
      return "ListCollections";
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
    case RpcMethod::kTeiEmbedSparse:
      return "tei.EmbedSparse";
    case RpcMethod::kTeiEmbedSparseStream:
      return "tei.EmbedSparseStream";
    case RpcMethod::kTeiTokenize:
      return "tei.Tokenize";
    case RpcMethod::kTeiTokenizeStream:
      return "tei.TokenizeStream";
    case RpcMethod::kTeiDecode:
      return "tei.Decode";
    case RpcMethod::kTeiDecodeStream:
      return "tei.DecodeStream";
    case RpcMethod::kTeiRerank:
      return "tei.Rerank";
    case RpcMethod::kTeiUnserved:
      return "tei.Unserved";
    case RpcMethod::kHttpEncode:
      return "http.encode";
    case RpcMethod::kHttpEncodeStream:
      return "http.encode_stream";
    case RpcMethod::kHttpEncodeTokens:
      return "http.encode_tokens";
    case RpcMethod::kHttpEmbed:
      return "http.embed";
    case RpcMethod::kHttpEmbedAll:
      return "http.embed_all";
    case RpcMethod::kHttpSearch:
      return "http.search";
    case RpcMethod::kHttpPutDocuments:
      return "http.put_documents";
    case RpcMethod::kHttpDeleteDocuments:
      return "http.delete_documents";
    case RpcMethod::kHttpListCollections:
      return "http.list_collections";
    case RpcMethod::kHttpRerank:
      return "http.rerank";
    case RpcMethod::kHttpEmbedSparse:
      return "http.embed_sparse";
    case RpcMethod::kHttpTokenize:
      return "http.tokenize";
    case RpcMethod::kHttpDecode:
      return "http.decode";
    case RpcMethod::kOpenAiEmbeddings:
      return "http.v1.embeddings";
    case RpcMethod::kCohereEmbed:
      return "http.v2.embed";
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
    case RpcMethod::kTeiEmbedSparse:
    case RpcMethod::kTeiEmbedSparseStream:
    case RpcMethod::kHttpEncode:
    case RpcMethod::kHttpEncodeStream:
    case RpcMethod::kHttpEncodeTokens:
    case RpcMethod::kHttpEmbed:
    case RpcMethod::kHttpEmbedAll:
    case RpcMethod::kHttpEmbedSparse:
    case RpcMethod::kOpenAiEmbeddings:
    case RpcMethod::kCohereEmbed:
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
    case RpcMethod::kTeiEmbedSparseStream:
    case RpcMethod::kTeiTokenizeStream:
    case RpcMethod::kTeiDecodeStream:
    case RpcMethod::kHttpEncodeStream:
      return true;
    default:
      return false;
  }
}

}  // namespace longspan
