// ServedModel: a model as the serving engine needs it: what it is, how a batch is encoded and
// priced, its tokenizer. It holds functions instead of an Encoder, so that the engine and its tests
// run the same code over a real model and over a fake one.
//
// Owned by Server. Thread safety: all functions are thread safe once warm_up has returned.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/compute_teams.h"
#include "core/device_memory.h"
#include "core/model_info.h"
#include "core/recording_counts.h"
#include "core/text_shape.h"
#include "core/tokenizer/tokenizer.h"
#include "server/batching/batch_scheduler.h"
#include "server/engine/encoder_worker.h"
#include "server/server_options.h"

namespace longspan {

// Threads of a server that neither compute nor tokenise: those of gRPC, HTTP, the log, the
// listeners, the watchdogs, the reaper and signals. On two cores, a server with one computing
// thread and two tokenizers had 27 in all, and one more with TLS.
inline constexpr int64_t kOtherThreads = 25;

struct ServedModel {
  ModelInfo info;
  // ModelFingerprint of its folder; empty where no documents are kept on disk.
  std::string fingerprint;
  std::unique_ptr<Tokenizer> tokenizer;  // null where the folder has none: token_ids only
  bool on_card = false;                  // the passes run on a card and not on the CPU
  // Why the device "auto" is the CPU, in one line; empty = it is not, or another one was asked for.
  std::string why_cpu;
  // Of all cards together, as Encoder::device_memory tells it; empty on the CPU.
  std::function<DeviceMemory()> device_memory;
  std::function<RecordingCounts()> recordings;  // of all cards together; empty on the CPU
  // Encoder::Encode of each device, at least one: replica i computes with number i modulo their
  // number.
  std::vector<EncodeFunction> encoders;
  BatchCost cost;
  // Encoder::Validate; empty = nothing is checked.
  std::function<absl::Status(const TokenBatch::Text& text, const EncodeOptions& options)> validate;
  // The predicted bytes of a pass over one text alone, and the most that such a pass may take; 0 =
  // no bound is known. memory_max_tokens of the options follows from them.
  std::function<int64_t(const TextShape& text)> piece_bytes;
  int64_t max_piece_bytes = 0;
  // What bounds the memory; 0 = nothing does.
  int64_t container_bytes = 0;  // the cgroup's limit
  int64_t tensor_bytes = 0;     // the budget of tensors in force, weights included
  // Encoder::WarmUp; empty = nothing to warm up.
  std::function<absl::Status()> warm_up;
  // The measured speeds from which replicas and threads were chosen. Empty where the settings, or a
  // single core, decided.
  std::vector<TeamSpeed> team_speeds;
  // The division of the cores was measured, and the passes may divide them otherwise as the load
  // asks for it (server/batching/core_shares.h).
  bool teams_follow_load = false;
  // What an operator should know of the folder, one line each (ModelFolder::warnings).
  std::vector<std::string> warnings;
  // Why a team has fewer threads than cores, where settings left their number open and something
  // forbids more (OMP_THREAD_LIMIT); empty = nothing does.
  std::string thread_limit;
};

// Opens options.device and then options.model: folder, tokenizer, weights. "auto" is the CPU where
// no card can be used. What options leave open it fills in. On the CPU: replicas and threads, by
// measurement where both are 0, else from the other one and the cores. On cards: two replicas of
// one thread for each, and as many max_batch_tokens as their memory holds, up to the default.
// Errors are one line: what, where, what to do.
absl::StatusOr<ServedModel> LoadServedModel(ServerOptions* options);

}  // namespace longspan
