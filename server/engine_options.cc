#include "server/engine_options.h"

#include <algorithm>
#include <string_view>

#include "absl/time/time.h"

namespace longspan {
namespace {

CoreOptions CoresOf(const ServerOptions& options, const ServedModel& model) {
  return {.workers = static_cast<int>(std::max<int64_t>(1, options.replicas)),
          .threads = static_cast<int>(std::max<int64_t>(1, options.threads)),
          .follow_load = model.teams_follow_load};
}

// BatchSchedulerOptions::shared_tokens on a card. Launching the kernels of 12 layers takes the host
// 4 ms (docs/gpu.md), in which a card computes some 10,000 tokens of a model of that size: a
// smaller batch leaves it idle.
constexpr int64_t kSharedTokensOfCard = 16384;

// Independent spans of a text may have as many bytes together as so many texts of the longest kind.
// They are tokenised one by one on one thread, at some ten MiB a second: it is busy for seconds.
constexpr int64_t kIndependentTexts = 8;

}  // namespace

AdmissionOptions AdmissionOf(const ServerOptions& options, const ServedModel& model) {
  AdmissionOptions out;
  out.max_queue_bytes = options.max_queue_bytes;
  out.max_queue_tokens = options.max_queue_tokens;
  out.max_queue_wait = absl::Seconds(options.max_queue_seconds);
  out.max_token_vector_bytes = options.max_token_vector_bytes;
  out.max_answer_bytes = options.max_answer_bytes;
  // Where teams follow the load, a predicted second is one of all cores; on cards it is one of a
  // card.
  out.num_replicas = static_cast<int>(model.teams_follow_load ? 1
                                      : model.on_card         ? model.encoders.size()
                                                              : options.replicas);
  return out;
}

BatchSchedulerOptions SchedulerOf(const ServerOptions& options, const ServedModel& model) {
  BatchSchedulerOptions out;
  out.max_batch_tokens = options.max_batch_tokens;
  out.batch_timeout = options.batch_timeout;
  if (model.on_card) out.shared_tokens = kSharedTokensOfCard;
  out.length_multiple = model.info.length_multiple;
  out.cores = CoresOf(options, model);
  return out;
}

PreparationContext PreparationOf(const ServerOptions& options, const ServedModel& model) {
  PreparationContext out;
  out.model = &model.info;
  out.validate = model.validate;
  out.max_tokens = MaxTokensInForce(options, model.info);
  if (MaxTokensSetBy(options, model.info) == "memory") out.max_tokens_of = "this server's memory";
  if (MaxTokensSetBy(options, model.info) == "setting") out.max_tokens_of = "this server";
  out.piece_bytes = model.piece_bytes;
  out.max_piece_bytes = model.max_piece_bytes;
  out.max_global_tokens = options.max_global_tokens;
  out.max_independent_tokens = options.max_queue_tokens;
  out.max_independent_bytes = kIndependentTexts * options.max_text_bytes;
  if (model.tokenizer == nullptr) return out;
  out.tokenize = [tokenizer = model.tokenizer.get()](std::string_view text, const StopCheck& stop) {
    return tokenizer->Encode(text, /*add_special_tokens=*/true, stop);
  };
  out.prefix_ids = model.tokenizer->prefix_ids();
  out.suffix_ids = model.tokenizer->suffix_ids();
  if (model.info.num_token_types > 0) out.types = model.tokenizer->types();
  return out;
}

}  // namespace longspan
