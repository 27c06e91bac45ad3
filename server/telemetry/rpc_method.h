// RpcMethod: which method a call is of. Its name is the label `method` of the metrics and a field
// of the log.
//
// Free functions without state: thread safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace longspan {

// The methods of longspan.v1.EncoderService and of tei.v1, and the routes of the HTTP port that
// read texts: the label `method`.
enum class RpcMethod {
  kEncode,
  kEncodeStream,
  kEncodeTokens,
  kTokenize,
  kSearch,
  kPutDocuments,
  kDeleteDocuments,
  kListCollections,
  kGetModelInfo,
  kTeiInfo,
  kTeiEmbed,
  kTeiEmbedStream,
  kTeiEmbedAll,
  kTeiEmbedAllStream,
  kTeiEmbedSparse,
  kTeiEmbedSparseStream,
  kTeiTokenize,
  kTeiTokenizeStream,
  kTeiDecode,
  kTeiDecodeStream,
  kTeiRerank,
  kTeiUnserved,  // all methods of tei.v1 that are UNIMPLEMENTED
  kHttpEncode,
  kHttpEncodeStream,
  kHttpEncodeTokens,
  kHttpEmbed,
  kHttpEmbedAll,
  kHttpSearch,
  kHttpPutDocuments,
  kHttpDeleteDocuments,
  kHttpListCollections,
  kHttpRerank,
  kHttpEmbedSparse,
  kHttpTokenize,
  kHttpDecode,
  kOpenAiEmbeddings,
  kCohereEmbed,
};
inline constexpr size_t kNumRpcMethods = static_cast<size_t>(RpcMethod::kCohereEmbed) + 1;
// "Encode", "EncodeStream", ..., "tei.Info", "tei.Embed", ..., "http.encode", ...
std::string_view RpcMethodName(RpcMethod method);

// Whether its answers hold vectors, of a text or of its tokens.
bool Encodes(RpcMethod method);
// Whether each of its items is a request of its own (Metrics::OnStreamItem).
bool IsStream(RpcMethod method);

}  // namespace longspan
