// LoadedModel: a model as the serving engine needs it: what it is, how a batch is encoded and
// priced, its tokenizer. Functions instead of an Encoder, so that the engine and its tests run the
// same code over a real model and over a fake one.
//
// Owned by Server. All functions are thread safe once warm_up has returned.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/compute_teams.h"
#include "core/model_info.h"
#include "core/tokenizer/tokenizer.h"
#include "server/batching/batch_scheduler.h"
#include "server/engine/encoder_worker.h"
#include "server/server_options.h"

namespace longspan {

struct LoadedModel {
  ModelInfo info;
  std::unique_ptr<Tokenizer> tokenizer;  // null: the folder has none; token_ids only
  EncodeFunction encode;
  BatchCost cost;
  std::function<absl::Status(const TokenBatch::Text& text, const EncodeOptions& options)> validate;
  std::function<absl::Status()> warm_up;
  std::vector<TeamSpeed>
      // what replicas x threads were chosen from; empty = settings or the cores decided
      team_speeds;
};

// Opens options.model: folder, tokenizer, weights. Fills options.replicas and options.threads in
// where they are 0, by measurement where both are. Errors are one line: what, where, what to do.
absl::StatusOr<LoadedModel> LoadModel(ServerOptions* options);

}  // namespace longspan
