#include "server/tei/info.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace longspan {
namespace {

uint32_t Number(int64_t value) {
  return static_cast<uint32_t>(std::clamp<int64_t>(value, 0, UINT32_MAX));
}

}  // namespace

void FillInfo(const ModelInfo& model, const ServerOptions& options, tei::v1::InfoResponse* out) {
  const int64_t max_tokens = MaxTokensInForce(options, model);
  out->set_version(LONGSPAN_VERSION);
  out->set_model_id(model.name);
  out->set_model_dtype(std::string(DataTypeName(model.dtype)));
  out->set_model_type(tei::v1::MODEL_TYPE_EMBEDDING);
  out->set_max_concurrent_requests(Number(options.max_concurrent_streams));
  // Clients cut their texts to it, so "no bound" must not be 0.
  out->set_max_input_length(Number(max_tokens > 0 ? max_tokens : options.max_text_bytes));
  out->set_max_batch_tokens(Number(options.max_batch_tokens));
  out->set_max_client_batch_size(Number(options.max_texts_per_request));
  out->set_tokenization_workers(Number(options.tokenizer_threads));
}

}  // namespace longspan
