// Any bytes as a request, up to where admission knows its price. Whatever is decoded is priced by
// ClaimFor, admitted, and prepared with a tokenizer of words. What preparation then makes (tokens,
// global tokens, vectors, bytes tokenised) must not be more than what admission was told before
// any of it was made, and that no more than the request's own size and the server's limits allow.
#include <google/protobuf/stubs/logging.h>
#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "server/batching/admission.h"
#include "server/batching/clock.h"
#include "server/batching/encode_task.h"
#include "server/text/text_preparation.h"
#include "server/wire/request_decoder.h"
#include "word_tokenizer.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

constexpr int64_t kMaxTokens = 512;
constexpr int64_t kMaxGlobals = 64;
constexpr int64_t kMaxSpans = 256;
constexpr int64_t kIndependentTokens = 4096;
constexpr int64_t kIndependentBytes = 16384;
constexpr int64_t kMaxQueueTokens = 16384;
// An independent span is priced before it is tokenised, by its bytes and by what it touches.
constexpr int64_t kEstimateFactor = 4;

const ModelInfo& Model() {
  static const ModelInfo& model = *[] {
    auto* made = new ModelInfo;
    made->architecture = "fuzz";
    made->vocab_size = 1000;
    made->token_dimensions = made->output_dimensions = 16;
    made->pooling = {PoolingMode::kMean};
    made->supports_global_attention = made->supports_hashing = true;
    made->prompts = {{"doc", "doc: "}, {"query", "query: "}};
    made->max_tokens = kMaxTokens;
    return made;
  }();
  return model;
}

// What pieces ask of the model.
struct Work {
  int64_t tokens = 0, globals = 0, vectors = 0;
};

Work WorkOf(std::span<const TextShape> shapes) {
  Work work;
  for (const TextShape& shape : shapes) {
    Require(shape.tokens >= 1 && shape.vectors >= 0);
    work.tokens += shape.tokens;
    work.globals += std::max<int64_t>(shape.globals, 0);
    work.vectors += shape.vectors;
  }
  return work;
}

void CheckInput(const EncodeInput& input, Admission& admission) {
  auto permit = admission.TryAcquire(ClaimFor(input, kMaxTokens), absl::InfiniteFuture());
  if (!permit.ok()) return Require(absl::IsResourceExhausted(permit.status()));
  WordTokenizer words;
  const PreparationContext context = {
      .model = &Model(),
      .tokenize = [&](std::string_view text, const StopCheck&) { return words.Encode(text); },
      .prefix_ids = {WordTokenizer::kCls},
      .suffix_ids = {WordTokenizer::kSep},
      .max_tokens = kMaxTokens,
      .max_spans = kMaxSpans,
      .max_global_tokens = kMaxGlobals,
      .max_independent_tokens = kIndependentTokens,
      .max_independent_bytes = kIndependentBytes};
  bool told = false;
  Work predicted;
  PreparationControl control;
  control.admit = [&](std::span<const TextShape> shapes, int64_t tokens_total) {
    Require(!told);  // once, and with all pieces
    told = true;
    predicted = WorkOf(shapes);
    return admission.Resize(*permit, shapes, tokens_total, absl::InfiniteFuture());
  };
  const auto prepared = PrepareText(input, context, control);
  const int64_t text = static_cast<int64_t>(input.prompt.size() + input.text.size());
  // The text once, its prompt once more, and independent spans within their own bound.
  const int64_t again = static_cast<int64_t>(input.prompt.size());
  Require(words.bytes() <= 2 * text + again + kEstimateFactor * (kIndependentBytes + text));
  if (!prepared.ok()) return;
  Require(told);
  Work made;
  for (const TextPiece& piece : prepared->pieces) {
    made.tokens += static_cast<int64_t>(piece.token_ids.size());
    made.globals += static_cast<int64_t>(piece.global_positions.size());
    made.vectors +=
        static_cast<int64_t>(piece.options.spans.size()) + (piece.options.document_vector ? 1 : 0);
  }
  const int64_t factor = input.independent_spans ? kEstimateFactor : 1;
  Require(made.tokens <= factor * predicted.tokens);
  Require(made.vectors <= predicted.vectors);
  Require(made.globals <= predicted.globals + static_cast<int64_t>(prepared->pieces.size()));
  Require(predicted.tokens <= kMaxQueueTokens + 1 || admission.backlog().tasks == 1);
  Require(static_cast<int64_t>(prepared->spans.size()) <= kMaxSpans);
}

void Check(const std::string& bytes) {
  static google::protobuf::LogHandler* const printed = google::protobuf::SetLogHandler(nullptr);
  (void)printed;
  v1::EncodeRequest request;
  if (!request.ParseFromString(bytes)) return;
  const DecodingContext context = {.model = &Model(),
                                   .has_tokenizer = true,
                                   .max_texts_per_request = 8,
                                   .max_text_bytes = 1 << 16};
  const auto decoded = DecodeEncodeRequest(&request, context);
  if (!decoded.ok()) return;
  static const SteadyClock clock;
  AdmissionOptions options;
  options.max_queue_tokens = kMaxQueueTokens;
  options.max_queue_bytes = 1 << 20;
  Admission admission(
      options,
      [](const TextShape& text) {
        return 1e-6 * static_cast<double>(text.tokens + text.vectors +
                                          text.tokens * std::max<int64_t>(text.globals, 0));
      },
      &clock);
  for (const EncodeInput& input : decoded->inputs) CheckInput(input, admission);
  Require(admission.backlog().tasks == 0 && admission.backlog().bytes == 0);
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check(std::string(reinterpret_cast<const char*>(bytes), size));
  return 0;
}
