// The wire and the engine: longspan.v1 messages to EncodeInput and back. All checks of a request that need no tokenizer are here;
// each error names the field's path, what was got and what is allowed ("inputs[3].token_ids.ids[7] is 40000; allowed: below
// 30522").
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "core/tokenizer/tokenizer.h"
#include "server/batching/encode_input.h"
#include "server/batching/encode_task.h"
#include "server/server_options.h"
#include "server/vector_format.h"

namespace longspan {

// What requests are checked against.
struct CodecContext {
  const ModelInfo* model = nullptr;
  bool has_tokenizer = false;
  int64_t max_texts_per_request = 128;
  int64_t max_text_bytes = int64_t{8} << 20;
};

// A decoded request: one entry per input, and the form of the answer.
struct DecodedRequest {
  std::vector<EncodeInput> inputs;
  VectorFormat format = VectorFormat::kFloat32;
};

absl::StatusOr<DecodedRequest> DecodeEncodeRequest(v1::EncodeRequest* request, const CodecContext& context);

// One input of a stream or of EncodeTokens; `field` is its path ("input").
absl::StatusOr<EncodeInput> DecodeInput(v1::Input* input, const v1::EncodeOptions& options, const std::string& field,
                                        const CodecContext& context);
// As DecodeInput, refusing what does not apply to token vectors; normalise is off unless asked for.
absl::StatusOr<EncodeInput> DecodeTokensInput(v1::EncodeTokensRequest* request, const CodecContext& context);
absl::StatusOr<VectorFormat> DecodeVectorFormat(v1::VectorFormat format);

// Prompt of that name (empty name = the model's default); nullptr = none.
absl::StatusOr<const std::string*> FindPrompt(const std::string& name, const std::string& field, const ModelInfo& model);

absl::Status CheckTokenizeRequest(const v1::TokenizeRequest& request, const CodecContext& context);

void FillVector(std::vector<float> values, VectorFormat format, v1::Vector* out);
void FillEncoding(EncodedDocument document, std::string id, VectorFormat format, v1::Encoding* out);
void FillTimings(const StageTimings& timings, v1::Timings* out);
// The longest of each stage over the inputs of a request, into `total`.
void MaxTimings(const StageTimings& one, StageTimings* total);
// Token rows of one block: values, or packed data with one scale per row for INT8.
void FillTokens(int64_t first_token, int64_t num_tokens, std::vector<float> values, VectorFormat format,
                v1::EncodeTokensResponse* out);
void FillModelInfo(const ModelInfo& model, bool has_tokenizer, const ServerOptions& options, v1::GetModelInfoResponse* out);

}  // namespace longspan
