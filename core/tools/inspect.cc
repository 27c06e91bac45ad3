#include "core/tools/inspect.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/backend/open_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/cost_model.h"
#include "core/encoder.h"

namespace longspan {
namespace {

using nlohmann::json;

// The lengths that are reported: the longest texts of published Longformers and of the two
// published Reformers.
constexpr std::array<int64_t, 3> kLengths = {4096, 65536, 524288};

constexpr int64_t kEverything = -1;

// What one layer adds to the reach on each side, in the middle of a text.
Reach LayerReach(const LayerAttention& layer, bool is_causal) {
  Reach reach;
  switch (layer.kind) {
    case AttentionKind::kSlidingWindow:
      reach = {layer.window, layer.window};
      break;
    case AttentionKind::kLocalChunk:
      // The first token of a chunk sees whole chunks before it, the last one whole chunks after it.
      reach = {(layer.chunks_before + 1) * layer.chunk_length - 1,
               (layer.chunks_after + 1) * layer.chunk_length - 1};
      break;
    case AttentionKind::kBlockSparse:
      // The first token of a block sees the whole block before it, the last one the whole block
      // after it.
      reach = {2 * layer.chunk_length - 1, 2 * layer.chunk_length - 1, true};
      break;
    case AttentionKind::kDense:
    case AttentionKind::kLsh:
      reach = {kEverything, kEverything};
      break;
  }
  if (is_causal) reach.after = 0;
  return reach;
}

int64_t AddReach(int64_t so_far, int64_t more) {
  return so_far == kEverything || more == kEverything ? kEverything : so_far + more;
}

std::string LayerText(const json& layer) {
  std::string text = layer.at("kind");
  if (layer.contains("window"))
    absl::StrAppend(&text, " ", layer["window"].get<int64_t>(), " each side");
  if (layer.contains("chunk_length")) {
    absl::StrAppend(&text, " of ", layer["chunk_length"].get<int64_t>());
    if (layer.contains("chunks_before")) {
      absl::StrAppend(&text, ", ", layer["chunks_before"].get<int64_t>(), " before, ",
                      layer["chunks_after"].get<int64_t>(), " after");
    }
  }
  return text;
}

json LayerJson(const LayerAttention& layer, const Reach& reach, const ModelInfo& info) {
  json result = {{"kind", AttentionKindName(layer.kind)}};
  if (layer.kind == AttentionKind::kSlidingWindow) result["window"] = layer.window;
  if (layer.chunk_length > 0) result["chunk_length"] = layer.chunk_length;
  if (layer.kind == AttentionKind::kLsh || layer.kind == AttentionKind::kLocalChunk) {
    result["chunks_before"] = layer.chunks_before;
    result["chunks_after"] = layer.chunks_after;
  }
  if (layer.kind == AttentionKind::kBlockSparse) result["random_blocks"] = layer.random_blocks;
  result["keys_seen"] = KeysSeen(layer, info);
  result["reach"] = {{"before", reach.before}, {"after", reach.after}, {"ends", reach.ends}};
  return result;
}

json LengthsJson(const ModelInfo& info, const CostModel& cost, bool measured) {
  json lengths = json::array();
  std::vector<int64_t> all(kLengths.begin(), kLengths.end());
  if (info.max_tokens != 0 && info.max_tokens < kLengths.front())
    all.insert(all.begin(), info.max_tokens);
  for (int64_t tokens : all) {
    if (info.max_tokens != 0 && tokens > info.max_tokens) {
      lengths.push_back({{"tokens", tokens}, {"allowed", false}});
      continue;
    }
    const std::array<TextShape, 1> batch = {tokens};
    json row = {{"tokens", tokens},
                {"allowed", true},
                {"activation_bytes", cost.BatchBytes(batch)},
                {"total_bytes", cost.BatchBytes(batch) + info.weight_bytes},
                {"gflop", (cost.LinearFlop(tokens) + cost.AttentionFlop(tokens)) / 1e9}};
    if (measured) row["predicted_tokens_per_second"] = tokens / cost.BatchSeconds(batch);
    lengths.push_back(row);
  }
  return lengths;
}

// What is a multi-vector model's own; null for the others.
json MultiVectorJson(const ModelInfo& info) {
  if (!info.multi_vector.has_value()) return nullptr;
  const MultiVector& own = *info.multi_vector;
  json result = {{"query_length", own.query_length},
                 {"document_length", own.document_length},
                 {"skipped_tokens", own.skipped_ids.size()},
                 {"expansion", nullptr}};
  if (!own.expansion.has_value()) return result;
  result["expansion"] = {{"length", own.expansion->length},
                         {"is_fixed", own.expansion->is_fixed},
                         {"is_attended", own.expansion->is_attended},
                         {"token_id", own.expansion->token_id}};
  return result;
}

std::string MultiVectorText(const json& own) {
  const json& expansion = own.at("expansion");
  std::string text = "vectors of tokens alone (EncodeTokens)";
  if (!expansion.is_null()) {
    absl::StrAppend(&text, "; queries are filled up to ", expansion.at("length").get<int64_t>(),
                    " tokens");
  }
  return absl::StrCat(text, "; ", own.at("skipped_tokens").get<int64_t>(),
                      " tokens are on the skip list");
}

std::string ReachText(const json& reach) {
  const int64_t before = reach.at("before"), after = reach.at("after");
  const auto side = [](int64_t tokens) {
    return tokens == kEverything ? std::string("all") : std::to_string(tokens);
  };
  if (before == kEverything && (after == kEverything || after == 0))
    return after == 0 ? "all before" : "all";
  return absl::StrCat(side(before), " before, ", side(after), " after",
                      reach.at("ends").get<bool>() ? ", both end blocks" : "");
}

}  // namespace

std::vector<Reach> ReceptiveField(const ModelInfo& info) {
  std::vector<Reach> field;
  Reach total;
  for (const LayerAttention& layer : info.layers) {
    const Reach reach = LayerReach(layer, info.is_causal);
    // After one BigBird layer the end blocks depend on all of the text, so whoever sees them next
    // does too.
    const bool all = total.ends && reach.ends;
    total = {all ? kEverything : AddReach(total.before, reach.before),
             all ? kEverything : AddReach(total.after, reach.after), total.ends || reach.ends};
    if (total.before == kEverything) total.ends = false;
    field.push_back(total);
  }
  return field;
}

int64_t KeysSeen(const LayerAttention& layer, const ModelInfo& info) {
  const int64_t in_chunks = layer.chunk_length * (layer.chunks_before + 1 + layer.chunks_after);
  switch (layer.kind) {
    case AttentionKind::kSlidingWindow:
      return 2 * layer.window + 1;
    case AttentionKind::kBlockSparse:
      return 5 * layer.chunk_length;  // the first, three neighbours, the last
    case AttentionKind::kLocalChunk:
      return in_chunks;
    case AttentionKind::kLsh:
      return in_chunks * std::max(1, info.num_hashes);
    case AttentionKind::kDense:
      return kEverything;
  }
  return kEverything;
}

int64_t AxialBytesSaved(const json& config) {
  if (config.value("model_type", "") != "reformer" || !config.value("axial_pos_embds", true))
    return 0;
  const auto shape = config.value("axial_pos_shape", std::vector<int64_t>{64, 64});
  const auto widths = config.value("axial_pos_embds_dim", std::vector<int64_t>{64, 192});
  int64_t positions = 1, width = 0, factors = 0;
  for (size_t i = 0; i < std::min(shape.size(), widths.size()); ++i) {
    positions *= shape[i];
    width += widths[i];
    factors += shape[i] * widths[i];
  }
  return (positions * width - factors) * static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<json> InspectModel(const std::string& model_dir, const std::string& dtype,
                                  bool measure, const std::string& device) {
  const auto folder = ModelFolder::Open(model_dir);
  if (!folder.ok()) return folder.status();
  const auto backend = OpenBackend(device);
  if (!backend.ok()) return backend.status();
  const auto resolved = ResolveDataType(dtype, *folder, backend->get());
  if (!resolved.ok()) return resolved.status();
  EncoderOptions options;
  options.dtype = *resolved;
  options.backend = *backend;
  const auto encoder = Encoder::Load(*folder, options);
  if (!encoder.ok()) return encoder.status();
  if (measure) {
    if (absl::Status status = (*encoder)->WarmUp(); !status.ok()) return status;
  }
  const ModelInfo& info = (*encoder)->info();
  json pooling = json::array(), layers = json::array();
  for (PoolingMode mode : info.pooling) pooling.push_back(PoolingModeName(mode));
  const std::vector<Reach> field = ReceptiveField(info);
  for (size_t i = 0; i < info.layers.size(); ++i)
    layers.push_back(LayerJson(info.layers[i], field[i], info));
  json result = {{"model", info.name},
                 {"architecture", info.architecture},
                 {"dtype", DataTypeName(info.dtype)},
                 {"device", info.device},
                 {"parameters", info.num_parameters},
                 {"weight_bytes", info.weight_bytes},
                 {"hidden_size", info.hidden_size},
                 {"heads", info.num_heads},
                 {"head_size", info.head_size},
                 {"intermediate_size", info.intermediate_size},
                 {"vocab_size", info.vocab_size},
                 {"token_dimensions", info.token_dimensions},
                 {"output_dimensions", info.output_dimensions},
                 {"pooling", pooling},
                 {"normalize", info.normalize},
                 {"multi_vector", MultiVectorJson(info)},
                 {"max_tokens", info.max_tokens},
                 {"dense_up_to", info.dense_up_to},
                 {"warnings", folder->warnings()},
                 {"layers", layers},
                 {"lengths", LengthsJson(info, (*encoder)->cost_model(), measure)}};
  if (const int64_t saved = AxialBytesSaved(folder->config()); saved > 0)
    result["axial_bytes_saved"] = saved;
  return result;
}

std::string InspectionText(const json& inspection) {
  std::ostringstream out;
  const auto line = [&out](std::string_view name, const std::string& value) {
    out << absl::StreamFormat("%-14s %s\n", std::string(name), value);
  };
  const auto number = [&inspection](const char* key) { return inspection.at(key).get<int64_t>(); };
  line("model", inspection.at("model"));
  line("architecture", absl::StrCat(inspection.at("architecture").get<std::string>(), ", ",
                                    inspection.at("dtype").get<std::string>(), " on ",
                                    inspection.at("device").get<std::string>()));
  line("parameters", absl::StrFormat("%.1f million, %.1f MiB in memory", number("parameters") / 1e6,
                                     number("weight_bytes") / 1048576.0));
  line("shape", absl::StrCat(number("hidden_size"), " wide, ", number("heads"), " heads of ",
                             number("head_size"), ", feed-forward ", number("intermediate_size"),
                             ", vocabulary ", number("vocab_size")));
  line("vectors",
       absl::StrCat(number("output_dimensions"), " dimensions a text, ", number("token_dimensions"),
                    " a token; pooling ", inspection.at("pooling").dump(),
                    inspection.at("normalize").get<bool>() ? ", normalised" : ""));
  if (const json& own = inspection.at("multi_vector"); !own.is_null())
    line("multi-vector", MultiVectorText(own));
  line("longest text", number("max_tokens") == 0 ? "bounded by memory and limits only"
                                                 : absl::StrCat(number("max_tokens"), " tokens"));
  if (number("dense_up_to") > 0)
    line("dense",
         absl::StrCat("texts up to ", number("dense_up_to"), " tokens get full attention"));
  if (inspection.contains("axial_bytes_saved")) {
    line("axial", absl::StrFormat("position factors save %.1f MiB against a full table",
                                  number("axial_bytes_saved") / 1048576.0));
  }
  for (const json& warning : inspection.value("warnings", json::array())) line("warning", warning);
  int index = 0;
  for (const json& layer : inspection.at("layers")) {
    const int64_t keys = layer.at("keys_seen");
    line(absl::StrCat("layer ", index++),
         absl::StrFormat("%-40s sees %-6s reach %s", LayerText(layer),
                         keys == kEverything ? "all," : absl::StrCat(keys, ","),
                         ReachText(layer.at("reach"))));
  }
  bool predicted = false;
  for (const json& length : inspection.at("lengths")) {
    if (!length.at("allowed").get<bool>()) {
      line(absl::StrCat(length.at("tokens").get<int64_t>(), " tokens"),
           "more than this model takes");
      continue;
    }
    std::string text = absl::StrFormat(
        "%.0f MiB of activations, %.0f MiB with the weights, %.1f GFLOP",
        length.at("activation_bytes").get<double>() / 1048576.0,
        length.at("total_bytes").get<double>() / 1048576.0, length.at("gflop").get<double>());
    if (length.contains("predicted_tokens_per_second")) {
      absl::StrAppend(&text,
                      absl::StrFormat(", %.0f tokens/s predicted",
                                      length.at("predicted_tokens_per_second").get<double>()));
      predicted = true;
    }
    line(absl::StrCat(length.at("tokens").get<int64_t>(), " tokens"), text);
  }
  if (predicted)
    line("predicted",
         "by the cost model, calibrated just now by warm-up passes of this model on this machine");
  return out.str();
}

}  // namespace longspan
