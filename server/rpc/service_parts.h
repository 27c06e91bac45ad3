// ServiceParts: the parts of the engine as the gRPC handlers use them, in one place. Every handler
// and every call holds a pointer to the same ServiceParts.
//
// Plain pointers, set once before the server listens. Server owns the parts and outlives every
// call. Thread safety: that of each part; all of them may be used from any thread.
#pragma once

#include <cstdint>

#include "core/model_info.h"
#include "core/tokenizer/tokenizer.h"
#include "server/batching/admission.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/clock.h"
#include "server/engine/encode_pipeline.h"
#include "server/engine/tokenizer_pool.h"
#include "server/lifecycle.h"
#include "server/rpc/drain_bell.h"
#include "server/rpc/key_ring.h"
#include "server/search/search_engine.h"
#include "server/server_options.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"
#include "server/wire/input_decoder.h"

namespace longspan {

class OpenCalls;

struct ServiceParts {
  const ServerOptions* options = nullptr;
  const ModelInfo* model = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null where the model has none: token_ids only
  const Lifecycle* lifecycle = nullptr;
  const Clock* clock = nullptr;
  KeyRing* keys = nullptr;
  Admission* admission = nullptr;
  TokenizerPool* tokenizers = nullptr;
  EncodePipeline* pipeline = nullptr;
  BatchScheduler* scheduler = nullptr;
  Metrics* metrics = nullptr;
  Log* log = nullptr;
  DrainBell* drain_bell = nullptr;
  OpenCalls* open_calls = nullptr;
  Collections* collections = nullptr;  // null = no documents are kept; set before the port opens

  // What requests are checked against.
  DecodingContext decoding() const {
    return {.model = model,
            .has_tokenizer = tokenizer != nullptr,
            .max_texts_per_request = options->max_texts_per_request,
            .max_text_bytes = options->max_text_bytes,
            .max_global_spans = options->max_global_spans_per_text,
            .max_tokens = max_tokens()};
  }
  SearchEngine search_engine() const {
    return {.pipeline = pipeline,
            .admission = admission,
            .tokenizers = tokenizers,
            .clock = clock,
            .collections = collections,
            .width = model->token_dimensions,
            .search_helpers = options->tokenizer_threads - 1,
            .longest_kept = options->collection_ttl > absl::ZeroDuration()
                                ? options->collection_ttl
                                : absl::InfiniteDuration()};
  }
  // Values of one vector with these options.
  int64_t dimensions(const EncodeOptions& wanted) const {
    return wanted.dimensions > 0 ? wanted.dimensions : model->output_dimensions;
  }
  // The longest text in force, in tokens; 0 = none.
  int64_t max_tokens() const { return MaxTokensInForce(*options, *model); }
};

}  // namespace longspan
