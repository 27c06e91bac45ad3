// The answers of longspan.v1, made of the engine's results: as messages, or as bytes where they may
// be large.
//
// Free functions without state: thread safe. Proven by response_encoder_test.
#pragma once

#include <grpcpp/support/slice.h>
#include <longspan/v1/encoder.pb.h>

#include <string>
#include <vector>

#include "server/batching/encode_task.h"
#include "server/text/prepared_text.h"
#include "server/wire/vector_format.h"

namespace longspan {

// Appends the encoding of one text to `out`, as the field `number` of the message around it. Each
// vector of `document` is freed as it is written. A text may have 65,536 of them: 100 MB.
void AppendEncoding(int number, EncodedDocument document, std::string id, VectorFormat format,
                    std::vector<grpc::Slice>* out);
// The bytes that AppendEncoding will append for a text, known before its vectors are computed.
// `id_bytes`: of its id; `dimensions`: of its vectors.
int64_t EncodingBytes(const PreparedText& text, int64_t id_bytes, VectorFormat format,
                      int64_t dimensions);
// Most bytes of an answer beside its encodings: the timings are six numbers of at most ten bytes.
inline constexpr int64_t kMostTimingsBytes = 6 * 11 + 2;
void FillTimings(const StageTimings& timings, v1::Timings* out);
// Raises each stage of `total` to that of `one`: the longest of each stage over a request's inputs.
void MaxTimings(const StageTimings& one, StageTimings* total);
// A block of token vectors, [num_rows, width] in `values`: sent as values, or as packed data with
// one scale per row for INT8.
void FillTokens(int64_t first_token, int64_t num_rows, std::vector<float> values,
                VectorFormat format, v1::EncodeTokensResponse* out);
// What the last message of EncodeTokens says of the whole text.
void FillTokensEnd(const EncodedDocument& document, v1::EncodeTokensResponse* out);

}  // namespace longspan
