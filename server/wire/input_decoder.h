// One longspan.v1.Input with its options, checked field by field and turned into the engine's
// EncodeInput. All checks that need no tokenizer are here; the first thing wrong ends it, with the
// field's path, what was got and what is allowed ("inputs[3].token_ids.ids[7] is 40000; allowed:
// below 30522").
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>

#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "server/text/encode_input.h"

namespace longspan {

// What requests are checked against.
struct CodecContext {
  const ModelInfo* model = nullptr;
  bool has_tokenizer = false;
  int64_t max_texts_per_request = 128;
  int64_t max_text_bytes = int64_t{8} << 20;
};

// `field` is the input's path ("input", "inputs[3]").
absl::StatusOr<EncodeInput> DecodeInput(v1::Input* input, const v1::EncodeOptions& options,
                                        const std::string& field, const CodecContext& context);

// Prompt of that name (empty name = the model's default); nullptr = none.
absl::StatusOr<const std::string*> FindPrompt(const std::string& name, const std::string& field,
                                              const ModelInfo& model);

}  // namespace longspan
