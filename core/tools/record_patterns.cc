// RecordPatterns (declared in attention_pattern.h): one forward pass of the model over the text,
// with a recorder attached.
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/encoder.h"
#include "core/models/model.h"
#include "core/runtime/compute_threads.h"
#include "core/tokenizer/tokenizer.h"
#include "core/tools/pattern_recorder.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

constexpr int64_t kDefaultTokens = 64;  // few enough to see single cells
constexpr int64_t kMostHashes = 8;      // rounds in one picture, which grows with their square

struct Tokens {
  std::vector<int32_t> ids;
  std::vector<std::string> texts;
};

absl::Status OutOfRange(const std::string& what, int64_t got, int64_t first, int64_t last) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", got, "; allowed: ", first, " to ", last));
}

// The longest text that the model takes and a picture can show.
int64_t MostTokens(const ModelInfo& info, const ModelFolder& folder) {
  int64_t most = kMaxPatternTokens;
  for (int64_t limit : {info.max_tokens, folder.max_seq_length().value_or(0)}) {
    if (limit > 0) most = std::min(most, limit);
  }
  return most;
}

// Ids from the vocabulary, none of which is the padding id. Neighbours differ by 7.
Tokens MakeUpTokens(const ModelInfo& info, int64_t count) {
  Tokens tokens;
  for (int64_t i = 0; i < count; ++i) {
    auto id = static_cast<int32_t>((i * 7 + 3) % info.vocab_size);
    if (id == info.pad_token_id) id = static_cast<int32_t>((id + 1) % info.vocab_size);
    tokens.ids.push_back(id);
  }
  return tokens;
}

absl::StatusOr<Tokens> ReadTokens(const PatternRequest& request, const ModelInfo& info,
                                  int64_t most) {
  std::ifstream file(request.text_file, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  std::error_code ignored;
  if (!file || std::filesystem::is_directory(request.text_file, ignored))
    return absl::NotFoundError(
        absl::StrCat("text ", request.text_file, " cannot be read; give a UTF-8 text file"));
  const auto tokenizer = Tokenizer::Load(request.model_dir);
  if (absl::IsNotFound(tokenizer.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        request.model_dir, ": has no tokenizer, so no text can be read; leave --text away"));
  }
  if (!tokenizer.ok()) return tokenizer.status();
  const auto encoded = (*tokenizer)->Encode(content.str());
  if (!encoded.ok())
    return absl::Status(encoded.status().code(),
                        absl::StrCat("text ", request.text_file, ": ", encoded.status().message()));
  const auto count = static_cast<int64_t>(encoded->ids.size());
  if (count < request.tokens.value_or(1) || (!request.tokens.has_value() && count > most)) {
    return absl::InvalidArgumentError(absl::StrCat("text ", request.text_file, " has ", count,
                                                   " tokens; allowed: ", request.tokens.value_or(1),
                                                   " to ", most, ", or its first --tokens"));
  }
  Tokens tokens;
  tokens.ids.assign(encoded->ids.begin(), encoded->ids.begin() + request.tokens.value_or(count));
  for (int32_t id : tokens.ids) {
    if (id < 0 || id >= info.vocab_size)
      return absl::InvalidArgumentError(absl::StrCat(request.model_dir,
                                                     ": its tokenizer gives the id ", id,
                                                     "; the model has 0 to ", info.vocab_size - 1));
    const auto text = (*tokenizer)->TokenText(id);
    tokens.texts.push_back(text.ok() ? *text : std::to_string(id));
  }
  return tokens;
}

absl::StatusOr<std::vector<int32_t>> Globals(const PatternRequest& request, const ModelInfo& info,
                                             int64_t tokens) {
  if (!request.globals.has_value()) return ResolveGlobalPositions(info, std::nullopt, {}, tokens);
  std::vector<int32_t> globals = *request.globals;
  if (!globals.empty() && !info.supports_global_attention) {
    return absl::FailedPreconditionError(
        absl::StrCat(request.model_dir, ": ", info.architecture,
                     " has no global attention; leave --global away"));
  }
  for (int32_t position : globals) {
    if (position < 0 || position >= tokens) return OutOfRange("global", position, 0, tokens - 1);
  }
  std::sort(globals.begin(), globals.end());
  globals.erase(std::unique(globals.begin(), globals.end()), globals.end());
  return globals;
}

bool IsSameKind(const LayerAttention& a, const LayerAttention& b) {
  return a.kind == b.kind && a.window == b.window && a.chunk_length == b.chunk_length &&
         a.chunks_before == b.chunks_before && a.chunks_after == b.chunks_after &&
         a.random_blocks == b.random_blocks;
}

// The layers by kind, in the order of their first ones. With `only`, that layer alone.
std::vector<LayerPattern> LayersToRecord(const ModelInfo& info, std::optional<int> only) {
  std::vector<LayerPattern> kinds;
  for (int i = 0; i < static_cast<int>(info.layers.size()); ++i) {
    if (only.has_value() && *only != i) continue;
    const auto same = std::find_if(kinds.begin(), kinds.end(), [&](const LayerPattern& kind) {
      return IsSameKind(kind.attention, info.layers[i]);
    });
    if (same != kinds.end()) {
      same->layers.push_back(i);
    } else {
      kinds.push_back({.layers = {i},
                       .attention = info.layers[i],
                       .pattern = AttentionPattern(),
                       .sorting = std::nullopt});
    }
  }
  return kinds;
}

// Runs the pass and fills the patterns of recorded.layers.
absl::Status Record(const EncoderModel& model, const Tokens& tokens, const PatternRequest& request,
                    RecordedPatterns& recorded) try {
  const c10::InferenceMode inference;
  std::vector<bool> wanted(recorded.info.layers.size(), false);
  for (const LayerPattern& layer : recorded.layers) wanted[layer.layers.front()] = true;
  PatternRecorder recorder(recorded.tokens, wanted, request.head);
  TokenBatch batch;
  batch.Add({.token_ids = tokens.ids,
             .global_positions = recorded.globals,
             .lsh = {.num_hashes = request.num_hashes.value_or(0)}});
  ForwardOptions options;
  options.observe_attention = &recorder;
  options.observe_layer = [&](int layer, const at::Tensor&) {
    if (layer > 0) recorder.NextLayer();
  };
  // What Reformer hashes are hidden states, so the team must be as large as it is planned.
  if (absl::Status joined = JoinComputeTeam(); !joined.ok()) return joined;
  const auto hidden = model.Forward(batch, options);
  if (!hidden.ok()) return hidden.status();
  if (absl::Status held = VerifyComputeTeam(); !held.ok()) return held;
  for (LayerPattern& layer : recorded.layers) {
    PatternRecorder::Layer taken = recorder.TakeLayer(layer.layers.front());
    layer.pattern = std::move(taken.pattern);
    layer.sorting = std::move(taken.sorting);
  }
  return absl::OkStatus();
} catch (const c10::Error& error) {
  return absl::InternalError(OneLine(absl::StrCat("LibTorch: ", error.what_without_backtrace())));
}

}  // namespace

absl::StatusOr<RecordedPatterns> RecordPatterns(const PatternRequest& request) {
  const auto folder = ModelFolder::Open(request.model_dir);
  if (!folder.ok()) return folder.status();
  const auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  if (!model.ok()) return model.status();
  RecordedPatterns recorded;
  recorded.info = (*model)->info();
  const int64_t most = MostTokens(recorded.info, *folder);
  if (request.tokens.has_value() && (*request.tokens < 1 || *request.tokens > most))
    return OutOfRange("tokens", *request.tokens, 1, most);
  const auto num_layers = static_cast<int64_t>(recorded.info.layers.size());
  if (request.layer.has_value() && (*request.layer < 0 || *request.layer >= num_layers))
    return OutOfRange("layer", *request.layer, 0, num_layers - 1);
  if (request.head < 0 || request.head >= recorded.info.num_heads)
    return OutOfRange("head", request.head, 0, recorded.info.num_heads - 1);

  if (request.num_hashes.has_value() && !recorded.info.supports_hashing) {
    return absl::FailedPreconditionError(
        absl::StrCat(request.model_dir, ": ", recorded.info.architecture,
                     " has no hash rounds; leave --num-hashes away"));
  }
  if (request.num_hashes.has_value() &&
      (*request.num_hashes < 1 || *request.num_hashes > kMostHashes))
    return OutOfRange("num-hashes", *request.num_hashes, 1, kMostHashes);

  const auto tokens =
      request.text_file.empty()
          ? absl::StatusOr<Tokens>(MakeUpTokens(
                recorded.info, request.tokens.value_or(std::min(kDefaultTokens, most))))
          : ReadTokens(request, recorded.info, most);
  if (!tokens.ok()) return tokens.status();
  recorded.tokens = static_cast<int64_t>(tokens->ids.size());
  recorded.token_texts = tokens->texts;
  auto globals = Globals(request, recorded.info, recorded.tokens);
  if (!globals.ok()) return globals.status();
  recorded.globals = *std::move(globals);
  recorded.layers = LayersToRecord(recorded.info, request.layer);
  if (absl::Status status = Record(**model, *tokens, request, recorded); !status.ok())
    return status;
  return recorded;
}

}  // namespace longspan
