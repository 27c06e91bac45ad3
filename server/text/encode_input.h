// EncodeInput: one text of a request and what is wanted of it, in the caller's own units
// (characters of the text), as decoded from the wire and before the tokenizer saw it.
// EncodedDocument: the answer, joined from the vectors of the text's pieces (prepared_text.h).
//
// Plain values, no protobuf.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "core/model_info.h"
#include "core/token_batch.h"
#include "core/tokenizer/tokenizer.h"
#include "server/text/lexical_vector.h"

namespace longspan {

// What to do with a text of more tokens than the model takes.
enum class Truncation { kReject, kHead, kTail, kHeadTail, kWindows };

// Which ranges of a text get a vector of their own.
enum class SpanPolicy { kNone, kGiven, kSentences, kParagraphs, kFixed };

struct EncodeInput {
  // Path that errors name: "inputs[3]"; they append ".text", ".spans[1]", ...
  std::string field;

  // Exactly one of `text` and `token_ids` is not empty. Ids are used as they are: their special
  // tokens are included, and no prompt is put in front.
  std::string text;
  std::vector<int32_t> token_ids;
  std::string prompt;  // put in front of `text`; empty = none

  int64_t max_tokens = 0;  // longest text that this request takes; 0 = the limit in force
  std::string max_tokens_of = "options.max_tokens";  // what sets max_tokens, for messages
  Truncation truncation = Truncation::kReject;
  int64_t window_overlap = 0;  // kWindows: text tokens shared by neighbours, below half the window

  // Where global_spans or global_positions are given, they win over global_attention.
  std::optional<GlobalAttention> global_attention;  // nullopt = the model's default
  // Ranges in characters of `text`. Each token of each word that a range touches becomes global.
  std::vector<TextRange> global_spans;
  std::vector<int32_t> global_positions;  // token indices of the whole text, special tokens counted

  SpanPolicy span_policy = SpanPolicy::kNone;
  std::vector<TextRange> spans;  // kGiven: characters of `text`, or tokens of `token_ids`
  int64_t span_tokens = 0;       // kFixed: >= 1
  int64_t span_overlap = 0;      // kFixed: below span_tokens
  // kSentences, kParagraphs: short spans are merged, long ones divided (span_sizes.h); 0 = none is.
  int64_t span_min_tokens = 0;
  int64_t span_max_tokens = 0;  // at least span_min_tokens
  // True: each span is encoded as a text of its own. False: the spans are pooled from the hidden
  // states of the whole text (late chunking).
  bool independent_spans = false;

  std::optional<LexicalOptions> lexical;  // only with `text`; nullopt = no lexical vectors

  // What the caller wants: pooling, normalize, dimensions, document_vector and token_sink (called
  // while the batch runs). PrepareText fills in the other fields, piece by piece.
  EncodeOptions options;
  // Like token_sink, for each piece that the text is cut into: `first_token` counts in the piece.
  // Pieces may run at the same time. Empty = not wanted.
  std::function<void(int32_t piece, int64_t first_token, int64_t num_tokens, const float* values)>
      piece_sink;
  bool wants_token_places = false;  // PreparedText::token_places
  // Neighbouring token vectors that become one (server/batching/token_group.h); 1 = none do.
  int32_t token_pooling = 1;
  LshOptions lsh;
};

// Whether only words are wanted, for which the model does not run.
inline bool NeedsNoPass(const EncodeInput& input) {
  return input.lexical.has_value() && !input.options.document_vector && !input.options.token_sink &&
         input.span_policy == SpanPolicy::kNone;
}

struct EncodedSpan {
  TextRange bytes;       // of the text, without the prompt; (0, 0) for token_ids
  TextRange characters;  // of the text, without the prompt; (0, 0) for token_ids
  TokenRange tokens;     // of the whole text, special tokens counted
  std::vector<float> vector;
  std::shared_ptr<const LexicalVector> lexical;  // null where none is wanted
};

struct EncodedDocument {
  std::vector<float> vector;  // empty where no document vector was wanted
  std::vector<EncodedSpan> spans;
  int64_t tokens_total = 0;  // tokens of the whole text, special tokens and prompt included
  int64_t tokens_used = 0;   // those that the model read
  bool truncated = false;    // tokens_used < tokens_total
  // Byte ranges of the text that the model read, ascending; empty for token_ids.
  std::vector<TextRange> used_text;
  std::shared_ptr<const LexicalVector> lexical;  // null where none is wanted
};

}  // namespace longspan
