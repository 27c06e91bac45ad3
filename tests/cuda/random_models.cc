#include "tests/cuda/random_models.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using Json = nlohmann::json;

// The sizes that the families have in common.
struct Shape {
  int64_t layers, width, heads, inner, vocabulary, positions;
};

Shape ShapeOf(Shape base, ModelScale scale, int64_t shallow_layers) {
  if (scale == ModelScale::kBase) return base;
  base.layers = shallow_layers;
  base.vocabulary = 1000;
  base.positions = std::min<int64_t>(base.positions, 4098);
  if (scale == ModelScale::kShallow) return base;
  const int64_t head_size = base.width / base.heads;
  return {shallow_layers, 2 * head_size, 2, 3 * head_size, 64, 258};
}

void AddLinear(RandomModel& model, const std::string& name, int64_t out, int64_t in) {
  model.tensors[name + ".weight"] = {out, in};
  model.tensors[name + ".bias"] = {out};
}
void AddNorm(RandomModel& model, const std::string& name, int64_t width) {
  model.tensors[name + ".weight"] = {width};
  model.tensors[name + ".bias"] = {width};
}

// The keys and tensors of BERT and of those that share its names.
RandomModel BertLike(const std::string& model_type, const Shape& shape, int64_t types,
                     bool global_projections) {
  RandomModel model;
  model.config = {{"model_type", model_type},
                  {"vocab_size", shape.vocabulary},
                  {"hidden_size", shape.width},
                  {"num_hidden_layers", shape.layers},
                  {"num_attention_heads", shape.heads},
                  {"intermediate_size", shape.inner},
                  {"max_position_embeddings", shape.positions},
                  {"type_vocab_size", types},
                  {"hidden_act", "gelu"},
                  {"layer_norm_eps", 1e-5}};
  model.tensors["embeddings.word_embeddings.weight"] = {shape.vocabulary, shape.width};
  model.tensors["embeddings.position_embeddings.weight"] = {shape.positions, shape.width};
  model.tensors["embeddings.token_type_embeddings.weight"] = {types, shape.width};
  AddNorm(model, "embeddings.LayerNorm", shape.width);
  std::vector<std::string> projections = {"query", "key", "value"};
  if (global_projections)
    projections.insert(projections.end(), {"query_global", "key_global", "value_global"});
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = absl::StrCat("encoder.layer.", i, ".");
    for (const std::string& projection : projections)
      AddLinear(model, layer + "attention.self." + projection, shape.width, shape.width);
    AddLinear(model, layer + "attention.output.dense", shape.width, shape.width);
    AddNorm(model, layer + "attention.output.LayerNorm", shape.width);
    AddLinear(model, layer + "intermediate.dense", shape.inner, shape.width);
    AddLinear(model, layer + "output.dense", shape.width, shape.inner);
    AddNorm(model, layer + "output.LayerNorm", shape.width);
  }
  return model;
}

// The rows behind the pad row repeat after the table's end, so that one table serves texts of any
// length. Up to its end positions are those of transformers, which ignores the key.
RandomModel Longformer(ModelScale scale) {
  const Shape shape = ShapeOf({12, 768, 12, 3072, 50265, 65538}, scale, 2);
  RandomModel model = BertLike("longformer", shape, 1, /*global_projections=*/true);
  model.config["attention_window"] = scale == ModelScale::kTiny ? 16 : 512;
  model.config["pad_token_id"] = 1;
  model.config["longspan"] = {{"position_period", shape.positions - 3}};
  model.has_tokenizer = model.first_is_global = true;
  return model;
}

RandomModel MiniLm(ModelScale scale) {
  Shape shape = ShapeOf({6, 384, 12, 1536, 30522, 512}, scale, 2);
  RandomModel model = BertLike("bert", shape, 2, /*global_projections=*/false);
  model.config["pad_token_id"] = 0;
  model.has_tokenizer = true;
  return model;
}

RandomModel Roberta(ModelScale scale) {
  const Shape shape = ShapeOf({12, 768, 12, 3072, 50265, 16386}, scale, 2);
  RandomModel model = BertLike("roberta", shape, 1, /*global_projections=*/false);
  model.config["pad_token_id"] = 1;
  return model;
}

RandomModel BigBird(ModelScale scale) {
  const Shape shape = ShapeOf({12, 768, 12, 3072, 50358, 4096}, scale, 2);
  RandomModel model = BertLike("big_bird", shape, 2, /*global_projections=*/false);
  model.config["hidden_act"] = "gelu_new";
  model.config["attention_type"] = "block_sparse";
  model.config["block_size"] = scale == ModelScale::kTiny ? 8 : 64;
  model.config["num_random_blocks"] = scale == ModelScale::kTiny ? 1 : 3;
  model.config["pad_token_id"] = 0;
  model.config["use_bias"] = true;
  return model;
}

void AddModernBertLayer(RandomModel& model, const Shape& shape, int64_t i) {
  const std::string layer = absl::StrCat("layers.", i, ".");
  if (i > 0) model.tensors[layer + "attn_norm.weight"] = {shape.width};
  model.tensors[layer + "attn.Wqkv.weight"] = {3 * shape.width, shape.width};
  model.tensors[layer + "attn.Wo.weight"] = {shape.width, shape.width};
  model.tensors[layer + "mlp_norm.weight"] = {shape.width};
  model.tensors[layer + "mlp.Wi.weight"] = {2 * shape.inner, shape.width};
  model.tensors[layer + "mlp.Wo.weight"] = {shape.width, shape.inner};
}

RandomModel ModernBert(ModelScale scale) {
  const Shape shape = ShapeOf({22, 768, 12, 1152, 50368, 8192}, scale, 4);
  RandomModel model;
  Json layer_types = Json::array();
  for (int64_t i = 0; i < shape.layers; ++i)
    layer_types.push_back(i % 3 == 0 ? "full_attention" : "sliding_attention");
  const Json full = {{"rope_theta", 160000.0}, {"rope_type", "default"}};
  const Json sliding = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  model.config = {{"model_type", "modernbert"},
                  {"vocab_size", shape.vocabulary},
                  {"hidden_size", shape.width},
                  {"num_hidden_layers", shape.layers},
                  {"num_attention_heads", shape.heads},
                  {"intermediate_size", shape.inner},
                  {"max_position_embeddings", shape.positions},
                  {"hidden_activation", "gelu"},
                  {"norm_eps", 1e-5},
                  {"norm_bias", false},
                  {"attention_bias", false},
                  {"mlp_bias", false},
                  {"local_attention", scale == ModelScale::kTiny ? 16 : 128},
                  {"layer_types", layer_types},
                  {"rope_parameters", {{"full_attention", full}, {"sliding_attention", sliding}}},
                  {"pad_token_id", 0},
                  {"bos_token_id", 1},
                  {"eos_token_id", 2},
                  {"cls_token_id", 1},
                  {"sep_token_id", 2}};
  model.tensors["embeddings.tok_embeddings.weight"] = {shape.vocabulary, shape.width};
  model.tensors["embeddings.norm.weight"] = {shape.width};
  for (int64_t i = 0; i < shape.layers; ++i) AddModernBertLayer(model, shape, i);
  model.tensors["final_norm.weight"] = {shape.width};
  return model;
}

// The encoder of LED. transformers draws the decoder, which has one small layer and is not called.
RandomModel Led(ModelScale scale) {
  const Shape shape = ShapeOf({6, 768, 12, 3072, 50265, 16384}, scale, 2);
  RandomModel model;
  model.config = {{"model_type", "led"},
                  {"vocab_size", shape.vocabulary},
                  {"d_model", shape.width},
                  {"encoder_layers", shape.layers},
                  {"encoder_attention_heads", shape.heads},
                  {"encoder_ffn_dim", shape.inner},
                  {"max_encoder_position_embeddings", shape.positions},
                  {"decoder_layers", 1},
                  {"decoder_attention_heads", 1},
                  {"decoder_ffn_dim", 16},
                  {"max_decoder_position_embeddings", 16},
                  {"activation_function", "gelu"},
                  {"attention_window", scale == ModelScale::kTiny ? 16 : 1024},
                  {"pad_token_id", 1}};
  model.first_is_global = true;
  model.tensors["shared.weight"] = {shape.vocabulary, shape.width};
  model.tensors["encoder.embed_positions.weight"] = {shape.positions, shape.width};
  AddNorm(model, "encoder.layernorm_embedding", shape.width);
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = absl::StrCat("encoder.layers.", i, ".");
    for (const char* projection :
         {"query", "key", "value", "query_global", "key_global", "value_global"})
      AddLinear(model, absl::StrCat(layer, "self_attn.longformer_self_attn.", projection),
                shape.width, shape.width);
    AddLinear(model, layer + "self_attn.output", shape.width, shape.width);
    AddNorm(model, layer + "self_attn_layer_norm", shape.width);
    AddLinear(model, layer + "fc1", shape.inner, shape.width);
    AddLinear(model, layer + "fc2", shape.width, shape.inner);
    AddNorm(model, layer + "final_layer_norm", shape.width);
  }
  return model;
}

void AddReformerLayer(RandomModel& model, int64_t i, bool lsh, int64_t width, int64_t inner,
                      int64_t feed_forward) {
  const std::string layer = absl::StrCat("encoder.layers.", i, ".");
  AddNorm(model, layer + "attention.layer_norm", width);
  for (const char* projection : {"query", "key", "query_key", "value"}) {
    const std::string name = projection;
    if (name != "value" && lsh != (name == "query_key")) continue;
    model.tensors[layer + "attention.self_attention." + name + ".weight"] = {inner, width};
  }
  model.tensors[layer + "attention.output.dense.weight"] = {width, inner};
  AddNorm(model, layer + "feed_forward.layer_norm", width);
  AddLinear(model, layer + "feed_forward.dense.dense", feed_forward, width);
  AddLinear(model, layer + "feed_forward.output.dense", width, feed_forward);
}

struct ReformerKind {
  int64_t heads, head_size, chunk, chunks_after, hashes;
  bool causal;
};

RandomModel Reformer(ModelScale scale, const ReformerKind& kind) {
  const bool tiny = scale == ModelScale::kTiny;
  const int64_t layers = scale == ModelScale::kBase ? 6 : 2;
  const int64_t width = tiny ? 64 : 256, feed_forward = tiny ? 96 : 512, vocabulary = 320;
  const int64_t rows = tiny ? 16 : 512, columns = tiny ? 16 : 1024;
  const int64_t chunk = tiny ? 16 : kind.chunk;
  RandomModel model;
  Json kinds = Json::array();
  for (int64_t i = 0; i < layers; ++i) kinds.push_back(i % 2 == 0 ? "local" : "lsh");
  model.config = {{"model_type", "reformer"},
                  {"attn_layers", kinds},
                  {"num_hidden_layers", layers},
                  {"vocab_size", vocabulary},
                  {"hidden_size", width},
                  {"num_attention_heads", kind.heads},
                  {"attention_head_size", kind.head_size},
                  {"feed_forward_size", feed_forward},
                  {"hidden_act", "relu"},
                  {"layer_norm_eps", 1e-12},
                  {"axial_pos_embds", true},
                  {"axial_pos_shape", {rows, columns}},
                  {"axial_pos_embds_dim", {width / 4, width - width / 4}},
                  {"max_position_embeddings", rows * columns},
                  {"local_attn_chunk_length", chunk},
                  {"local_num_chunks_before", 1},
                  {"local_num_chunks_after", kind.chunks_after},
                  {"lsh_attn_chunk_length", chunk},
                  {"lsh_num_chunks_before", 1},
                  {"lsh_num_chunks_after", kind.chunks_after},
                  {"num_buckets", tiny ? Json({4, 4}) : Json({64, 128})},
                  {"num_hashes", kind.hashes},
                  {"hash_seed", 0},
                  {"is_decoder", kind.causal},
                  {"pad_token_id", 0}};
  model.tensors["embeddings.word_embeddings.weight"] = {vocabulary, width};
  model.tensors["embeddings.position_embeddings.weights.0"] = {rows, 1, width / 4};
  model.tensors["embeddings.position_embeddings.weights.1"] = {1, columns, width - width / 4};
  for (int64_t i = 0; i < layers; ++i)
    AddReformerLayer(model, i, i % 2 == 1, width, kind.heads * kind.head_size, feed_forward);
  AddNorm(model, "encoder.layer_norm", 2 * width);
  return model;
}

RandomModel CrimeAndPunishment(ModelScale scale) {
  return Reformer(scale, {2, 64, 64, 0, 1, /*causal=*/true});
}
// Other sizes of heads, for which kernels are compiled apart.
RandomModel NarrowReformer(ModelScale scale) {
  return Reformer(scale, {3, 32, 32, 1, 2, /*causal=*/false});
}
RandomModel WideReformer(ModelScale scale) {
  return Reformer(scale, {1, 128, 64, 0, 3, /*causal=*/false});
}

struct Family {
  const char* name;
  RandomModel (*make)(ModelScale scale);
};
constexpr Family kFamilies[] = {{"longformer-base", Longformer},
                                {"minilm-l6", MiniLm},
                                {"modernbert-base", ModernBert},
                                {"reformer-crime-and-punishment", CrimeAndPunishment},
                                {"roberta-base", Roberta},
                                {"bigbird-base", BigBird},
                                {"led-base", Led},
                                {"reformer-heads-of-32", NarrowReformer},
                                {"reformer-heads-of-128", WideReformer}};

}  // namespace

const std::vector<std::string>& RandomModelNames() {
  static const auto& names = *new std::vector<std::string>([] {
    std::vector<std::string> all;
    for (const Family& family : kFamilies) all.emplace_back(family.name);
    return all;
  }());
  return names;
}

RandomModel MakeRandomModel(const std::string& name, ModelScale scale) {
  for (const Family& family : kFamilies) {
    if (name != family.name) continue;
    RandomModel model = family.make(scale);
    model.name = name;
    return model;
  }
  return {};
}

}  // namespace longspan
