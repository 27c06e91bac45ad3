#include "server/start/model_memory.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/cost_model.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/memory.h"
#include "server/batching/memory_bound.h"

namespace longspan {
namespace {

// What a text takes beside the tensors of its pass, for each token: some 8 bytes of text, 41 of ids
// and offsets as the tokenizer gives them, and their copies in the pieces and in the batch.
constexpr int64_t kBesideTensors = 96;
// The same with the vector of each token, which EncodeTokens keeps until it is sent.
int64_t BytesBesideTensors(const ModelInfo& info) {
  return kBesideTensors + 4 * info.token_dimensions;
}

// What one text may take of the bytes that are left. It has not all of them to itself: passes of
// others run beside it, on other replicas or inside it, and must fit too. Where half would not do
// for them, the text keeps half.
int64_t MostOfAText(int64_t left, int64_t passes_beside, int64_t pass_bytes) {
  return std::max<int64_t>(1, std::max(left / 2, left - passes_beside * pass_bytes));
}

// Tokens of which both bounds allow no more; 0 = no bound.
int64_t TighterBound(int64_t a, int64_t b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

// What a pass over so many tokens takes, in texts that are as long as the model takes.
int64_t BatchBytes(const Encoder& encoder, int64_t tokens) {
  const int64_t longest = encoder.info().CutToLongest(tokens);
  const std::vector<TextShape> texts(std::max<int64_t>(1, tokens / longest), TextShape(longest));
  return encoder.cost_model().BatchBytes(texts);
}

// The bytes that passes may have on the card with the fewest; nullopt = a card does not tell. It is
// 90 % of what is free once the model is loaded: the libraries of products take some for
// themselves, and no block of memory fits exactly.
std::optional<int64_t> RoomOnCards(std::span<const std::shared_ptr<Encoder>> encoders) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const std::shared_ptr<Encoder>& encoder : encoders) {
    const DeviceMemory memory = encoder->device_memory();
    if (memory.total_bytes == 0) return std::nullopt;
    least = std::min(least, memory.free_bytes / 10 * 9);
  }
  return least;
}

// Passes of a card take turns (Encoder::Encode): however many are under way, they hold together
// what one takes, and the last rows of others. Those are less than another pass.
constexpr int64_t kPassesBeside = 1;

// The default, halved until it fits into the room so.
int64_t BatchTokensOnCard(const Encoder& encoder, int64_t room) {
  constexpr int64_t kLeast = 1024;
  int64_t tokens = DefaultBatchTokens(/*on_card=*/true);
  while (tokens > kLeast && (1 + kPassesBeside) * BatchBytes(encoder, tokens) > room) tokens /= 2;
  return tokens;
}

// On a card a pass takes the card's memory, and what a text takes beside its tensors the host's.
void BoundByCards(std::span<const std::shared_ptr<Encoder>> encoders, ServerOptions* options,
                  ServedModel* model) {
  const std::optional<int64_t> room = RoomOnCards(encoders);
  if (options->max_batch_tokens == 0) {
    options->max_batch_tokens = room.has_value() ? BatchTokensOnCard(*encoders.front(), *room)
                                                 : DefaultBatchTokens(/*on_card=*/true);
  }
  if (room.has_value()) {
    model->max_piece_bytes =
        MostOfAText(*room, kPassesBeside, BatchBytes(*encoders.front(), options->max_batch_tokens));
  }
  MemoryRoom host;
  if (model->container_bytes > 0)
    host.process_bytes = std::max<int64_t>(1, model->container_bytes - ResidentPrivateBytes());
  options->memory_max_tokens =
      TighterBound(LongestTextInMemory({.pass_bytes = model->piece_bytes},
                                       {.tensor_bytes = model->max_piece_bytes}),
                   LongestTextInMemory({.pass_bytes = [](int64_t) { return 0; },
                                        .bytes_per_token = BytesBesideTensors(model->info)},
                                       host));
}

void BoundByHost(ServerOptions* options, ServedModel* model) {
  if (options->max_batch_tokens == 0)
    options->max_batch_tokens = DefaultBatchTokens(/*on_card=*/false);
  if (model->tensor_bytes == 0) return;
  const int64_t left = model->tensor_bytes - GetMemoryStats().live_bytes;
  model->max_piece_bytes =
      MostOfAText(left, model->teams_follow_load ? 1 : options->replicas,
                  model->piece_bytes(model->info.CutToLongest(options->max_batch_tokens)));
  MemoryRoom room{.tensor_bytes = model->max_piece_bytes};
  if (model->container_bytes > 0) {
    room.process_bytes = std::max<int64_t>(
        1, model->container_bytes - ResidentPrivateBytes() - (left - model->max_piece_bytes));
  }
  options->memory_max_tokens = LongestTextInMemory(
      {.pass_bytes = model->piece_bytes, .bytes_per_token = BytesBesideTensors(model->info)}, room);
}

}  // namespace

void BoundByMemory(std::span<const std::shared_ptr<Encoder>> encoders, ServerOptions* options,
                   ServedModel* model) {
  model->piece_bytes = [encoder = encoders.front()](const TextShape& text) {
    return encoder->cost_model().BatchBytes(std::span(&text, 1));
  };
  model->container_bytes = CgroupMemoryLimit().value_or(0);
  if (model->on_card) return BoundByCards(encoders, options, model);
  BoundByHost(options, model);
}

}  // namespace longspan
