// DecodeInput: one longspan.v1.Input with its options, checked field by field and turned into the
// engine's EncodeInput. All checks that need no tokenizer are made here; text_preparation.h makes
// the others. The first fault ends it, with the field's path, what was got and what is allowed:
// "inputs[3].token_ids.ids[7] is 40000; allowed: below 30522".
//
// Messages come from anybody: proven by input_decoder_test and by the fuzz target
// input_decoder_fuzz.
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "server/text/encode_input.h"
#include "server/text/preparation_context.h"

namespace longspan {

// An id comes back in the answer, and with it in its bytes; a path fits.
inline constexpr int64_t kMaxIdBytes = 4096;
inline constexpr int64_t kMaxPromptNameBytes = 1024;

// What requests are checked against. The limits come from the server's options.
struct DecodingContext {
  const ModelInfo* model = nullptr;
  bool has_tokenizer = false;  // false: token_ids only
  int64_t max_texts_per_request = 0;
  int64_t max_text_bytes = 0;            // of one text; token ids count 4 bytes each
  int64_t max_spans = kMaxSpansPerText;  // given spans of one text
  int64_t max_global_spans = 0;  // global spans and positions of one text together; 0 = no bound
  int64_t max_tokens = 0;        // the longest text in force; 0 = no bound
  bool token_vectors = false;    // whether the request is for the vectors of tokens
};

// `field` is the input's path, "input" or "inputs[3]". INVALID_ARGUMENT where a value is not
// allowed, FAILED_PRECONDITION where this model cannot do what is asked for; both name the field.
absl::StatusOr<EncodeInput> DecodeInput(v1::Input* input, const v1::EncodeOptions& options,
                                        const std::string& field, const DecodingContext& context);

// INVALID_ARGUMENT where the id of the input `field`, or a prompt's name, has too many bytes.
absl::Status CheckId(const std::string& id, const std::string& field);
// The same of an id whose own path is `field`.
absl::Status CheckIdBytes(const std::string& id, const std::string& field);
absl::Status CheckPromptName(const std::string& name, const std::string& field);

// The prompt of that name; the model's default where `name` is empty. nullptr = no prompt.
// INVALID_ARGUMENT, which names `field`, where the model has no such prompt.
absl::StatusOr<const std::string*> FindPrompt(const std::string& name, const std::string& field,
                                              const ModelInfo& model);

}  // namespace longspan
