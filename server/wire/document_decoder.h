// DecodeDocuments: the documents of a request, to be searched or kept, checked and turned into the
// engine's inputs. The first fault ends it, with the field's path, what was got and what is
// allowed. Errors of documents name them with their ids, "documents[3] (id \"a\")".
//
// Free functions without state: thread safe. Texts are moved out of the messages, never copied.
// Proven by search_decoder_test and put_decoder_test.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/text/encode_input.h"
#include "server/wire/input_decoder.h"

namespace longspan {

using WireDocuments = google::protobuf::RepeatedPtrField<v1::SearchDocument>;

// INVALID_ARGUMENT where there are none, or too many.
absl::Status CheckDocumentCount(int documents, const DecodingContext& context);

// `options`: truncation, windows and the longest document. `prompt`: the name of
// options.document_prompt_name, or empty for the model's own.
absl::StatusOr<std::vector<EncodeInput>> DecodeDocuments(WireDocuments* documents,
                                                         const v1::EncodeOptions& options,
                                                         const std::string& prompt,
                                                         const DecodingContext& context);

// A text with a prompt in front of it. `prompt`: the name that the caller gives in options.
// `prompt_field`, or empty: then the first of `usual_prompts` that the model has, or none.
absl::StatusOr<EncodeInput> DecodePromptedText(std::string* text, v1::EncodeOptions options,
                                               const std::string& field, const std::string& prompt,
                                               const char* prompt_field,
                                               std::initializer_list<const char*> usual_prompts,
                                               const DecodingContext& context);

// The language of options.language; INVALID_ARGUMENT where no rules for it are known.
absl::Status CheckLanguage(const std::string& language);
// Half of options.span_tokens; nullopt where it is 0.
absl::StatusOr<std::optional<int64_t>> DecodeCellTokens(uint32_t span_tokens);

// An error of a document with its path and its id.
absl::Status AtDocument(const absl::Status& status, size_t index, const std::string& id);

}  // namespace longspan
