// Rules of the Reformer that no golden vector covers: batches, hashing per text, axial orders,
// limits, errors of loading.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <random>

#include "core/layers/linear.h"
#include "tests/core/compute_team.h"
#include "tests/golden/mixed_reformer_text.h"
#include "tests/golden/reformer_checkpoint.h"

namespace longspan {
namespace {

using testing::HasSubstr;

std::vector<float> Alone(const EncoderModel& model, const MixedText& text) {
  TokenBatch batch;
  batch.Add(text.view());
  return TokenVectors(model, batch, 0);
}

double Difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max<double>(worst, std::abs(a[i] - b[i]));
  return worst;
}

nlohmann::json With(const nlohmann::json& changes) {
  nlohmann::json config = ReformerConfigJson();
  config.update(changes);
  return config;
}

TEST(ReformerModel, InABatch_EqualsAlone_ForRandomMixes) {
  std::mt19937 random(11);
  for (const nlohmann::json& changes :
       {nlohmann::json::object(),
        {{"is_decoder", true}, {"num_buckets", nullptr}, {"num_hashes", 1}},
        {{"local_num_chunks_after", 1}, {"lsh_num_chunks_before", 2}}}) {
    const auto model = FormulaReformer(With(changes));
    ASSERT_NE(model, nullptr);
    for (int round = 0; round < 20; ++round) {
      std::vector<MixedText> texts;
      TokenBatch batch;
      for (size_t i = 0; i < 1 + random() % 6; ++i)
        texts.push_back(RandomText(random, 64)), batch.Add(texts.back().view());
      for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_LT(Difference(TokenVectors(*model, batch, static_cast<int32_t>(i)),
                             Alone(*model, texts[i])),
                  2e-5)
            << "text " << i << " of " << texts.size();
      }
    }
  }
}

// The size of the compute team decides how rows, windows and slots are cut into blocks. Results do
// not depend on it, but for rounding.
TEST(ReformerModel, AnyNumberOfThreads_GivesTheSame) {
  const auto model = FormulaReformer(ReformerConfigJson());
  std::mt19937 random(13);
  std::vector<MixedText> texts;
  TokenBatch batch;
  for (int i = 0; i < 12; ++i)
    texts.push_back(RandomText(random, 64)), batch.Add(texts.back().view());
  const int before = at::get_num_threads();
  for (int threads : {1, 2, 3, 7}) {
    at::set_num_threads(threads);
    for (int32_t i = 0; i < batch.num_texts(); ++i) {
      const std::vector<float> got = TokenVectors(*model, batch, i);
      at::set_num_threads(1);
      EXPECT_LT(Difference(got, Alone(*model, texts[i])), 2e-5)
          << "text " << i << ", " << threads << " threads";
      at::set_num_threads(threads);
    }
  }
  at::set_num_threads(before);
}

TEST(ReformerModel, TheSameTextGivesTheSameVector_WithoutASeedInTheConfig) {
  const auto model = FormulaReformer(With({{"hash_seed", nullptr}})),
             again = FormulaReformer(With({{"hash_seed", nullptr}}));
  const auto seeded = FormulaReformer(With({{"hash_seed", 0}}));
  const MixedText text{.ids = FormulaIds(0, 50, 1, 40)};
  EXPECT_EQ(Alone(*model, text), Alone(*model, text));
  EXPECT_EQ(Alone(*model, text), Alone(*again, text));
  EXPECT_EQ(Alone(*model, text), Alone(*seeded, text));
  EXPECT_EQ(model->info().hash_seed, 0u);
}

TEST(ReformerModel, HashesOfAText_EqualAConfigWithThem) {
  const auto model = FormulaReformer(ReformerConfigJson());
  const auto other = FormulaReformer(With({{"num_hashes", 5}, {"hash_seed", 77}}));
  const MixedText plain{.ids = FormulaIds(0, 50, 1, 40)};
  MixedText asked = plain;
  asked.lsh = {.num_hashes = 5, .hash_seed = 77};
  EXPECT_LT(Difference(Alone(*model, asked), Alone(*other, plain)), 1e-6);
  EXPECT_GT(Difference(Alone(*model, asked), Alone(*model, plain)), 1e-2);
  MixedText seed_only = plain;
  seed_only.lsh.hash_seed = 77;
  EXPECT_GT(Difference(Alone(*model, seed_only), Alone(*model, plain)), 1e-2);
}

TEST(ReformerModel, MoreHashRoundsThan32BitsCount_AreRefused) {
  const auto model = FormulaReformer(ReformerConfigJson());
  const std::vector<int32_t> ids = FormulaIds(0, 60, 1, 40);
  TokenBatch batch;
  batch.Add({.token_ids = ids, .lsh = {.num_hashes = 1 << 30}});
  const absl::Status status = model->Forward(batch, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("num_hashes is 1073741824; a text of 60 tokens takes at most"));
}

// A plain table that holds what the axial factors give must give the same model. In column-major
// order position j takes E1[j mod l1] and E2[j / l1].
TEST(ReformerModel, AxialPositions_EqualAPlainTableInEitherOrder) {
  for (const std::string order : {"row_major", "column_major"}) {
    const nlohmann::json config = With({{"axial_pos_shape", {4, 16}}, {"axial_pos_order", order}});
    FormulaCheckpoint axial(0.6, {"layer_norm.weight"}), plain(0.6, {"layer_norm.weight"});
    AddReformerWeights(axial, config);
    const nlohmann::json plain_config = With({{"axial_pos_embds", false}});
    AddReformerWeights(plain, plain_config);
    std::vector<float>& table = plain.values("embeddings.position_embeddings.embedding.weight");
    for (int j = 0; j < 64; ++j) {
      const int first = order == "row_major" ? j / 16 : j % 4;
      const int second = order == "row_major" ? j % 16 : j / 4;
      std::copy_n(&axial.values("embeddings.position_embeddings.weights.0")[first * 4], 4,
                  &table[j * 16]);
      std::copy_n(&axial.values("embeddings.position_embeddings.weights.1")[second * 12], 12,
                  &table[j * 16 + 4]);
    }
    auto a = OpenReformer(axial.Write(config)), b = OpenReformer(plain.Write(plain_config));
    ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
    const MixedText text{.ids = FormulaIds(0, 61, 1, 40)};
    EXPECT_LT(Difference(Alone(**a, text), Alone(**b, text)), 1e-6) << order;
  }
}

TEST(ReformerModel, AxialOrders_Differ_AlsoWithASquareShape) {
  const auto row = FormulaReformer(ReformerConfigJson()),
             column = FormulaReformer(With({{"axial_pos_order", "column_major"}}));
  const MixedText text{.ids = FormulaIds(0, 61, 1, 40)};
  EXPECT_GT(Difference(Alone(*row, text), Alone(*column, text)), 1e-2);
}

TEST(ReformerModel, Info_CountsTheLimitInPaddedTokens) {
  const auto model = FormulaReformer(ReformerConfigJson());
  EXPECT_EQ(model->info().max_tokens, 64);
  EXPECT_EQ(model->info().length_multiple, 8);
  EXPECT_EQ(model->info().token_dimensions, 32);
  // Chunks of 4 and 12 ask for multiples of 12: 64 positions serve 60 tokens, and 61 would be
  // padded to 72.
  const auto other = FormulaReformer(With({{"lsh_attn_chunk_length", 12}}));
  EXPECT_EQ(other->info().length_multiple, 12);
  EXPECT_EQ(other->info().max_tokens, 60);
  // The least common multiple of 9 and 8 is 72, which does not fit at all. Only texts of one chunk
  // run.
  const auto none =
      FormulaReformer(With({{"lsh_attn_chunk_length", 9}, {"local_attn_chunk_length", 8}}));
  EXPECT_EQ(none->info().max_tokens, 8);
}

// The published code serves a padded length up to the smaller of max_position_embeddings and the
// product of the axial factors.
TEST(ReformerModel, Info_LimitIsTheSmallerOfPositionsAndAxialFactors) {
  EXPECT_EQ(FormulaReformer(With({{"axial_pos_shape", {8, 9}}}))->info().max_tokens, 64);
  const auto small_table = FormulaReformer(With({{"axial_pos_shape", {4, 8}}}));
  EXPECT_EQ(small_table->info().max_tokens, 32);
  // Its rows are those of a model whose max_position_embeddings is 32, so nothing but the limit
  // changes.
  const auto equal =
      FormulaReformer(With({{"axial_pos_shape", {4, 8}}, {"max_position_embeddings", 32}}));
  const MixedText text{.ids = FormulaIds(0, 29, 1, 40)};
  EXPECT_EQ(Alone(*small_table, text), Alone(*equal, text));
}

TEST(ReformerModel, LocalOnlyModel_HasNoHashing) {
  const auto model = FormulaReformer(With({{"attn_layers", {"local", "local"}}}));
  EXPECT_FALSE(model->info().supports_hashing);
  EXPECT_EQ(model->info().length_multiple, 4);
  EXPECT_EQ(Alone(*model, {.ids = FormulaIds(0, 30, 1, 40)}).size(), 30u * 32);
}

TEST(ReformerModel, DroppedTexts_LeaveTheOthersAlone_AndAllDroppedIsCancelled) {
  const auto model = FormulaReformer(ReformerConfigJson());
  std::mt19937 random(12);
  std::vector<MixedText> texts;
  TokenBatch batch;
  for (int i = 0; i < 4; ++i)
    texts.push_back(RandomText(random, 64)), batch.Add(texts.back().view());
  int calls = 0;
  const ForwardOptions drop_second = {
      .is_dropped = [&](int32_t text) { return text == 1 && ++calls > 2; }};
  for (int32_t i : {0, 2, 3}) {
    calls = 0;
    EXPECT_LT(Difference(TokenVectors(*model, batch, i, drop_second), Alone(*model, texts[i])),
              2e-5)
        << i;
    EXPECT_GT(calls, 2);
  }
  EXPECT_EQ(model->Forward(batch, {.is_dropped = [](int32_t) { return true; }}).status().code(),
            absl::StatusCode::kCancelled);
}

// Random weights of this size are far larger than trained ones, so the bound is wide.
TEST(ReformerModel, BFloat16AndInt8_StayClose) {
  const MixedText text{.ids = FormulaIds(0, 61, 1, 40)};
  const std::vector<float> want = Alone(*FormulaReformer(ReformerConfigJson()), text);
  for (const auto& [dtype, least] :
       {std::pair{DataType::kBFloat16, 0.99}, {DataType::kInt8, 0.95}}) {
    if (!CheckDataTypeSupported(dtype).ok()) continue;
    const std::vector<float> got = Alone(*FormulaReformer(ReformerConfigJson(), dtype), text);
    double dot = 0, want_square = 0, got_square = 0;
    for (size_t i = 0; i < want.size(); ++i)
      dot += want[i] * got[i], want_square += want[i] * want[i], got_square += got[i] * got[i];
    EXPECT_GT(dot / std::sqrt(want_square * got_square), least) << DataTypeName(dtype);
  }
}

// Errors of loading.

std::string LoadError(const nlohmann::json& config) {
  FormulaCheckpoint checkpoint(0.6, {"layer_norm.weight"});
  AddReformerWeights(checkpoint, ReformerConfigJson());
  return std::string(OpenReformer(checkpoint.Write(config)).status().message());
}

TEST(ReformerConfig, BadValues_AreNamedWithWhatIsAllowed) {
  EXPECT_THAT(
      LoadError(With({{"axial_pos_shape", {2, 4, 8}}})),
      HasSubstr("\"axial_pos_shape\" is [2,4,8]; allowed: a list of two positive integers"));
  EXPECT_THAT(LoadError(With({{"axial_pos_embds_dim", {4, 11}}})),
              HasSubstr("\"axial_pos_embds_dim\" is [4, 11]; allowed: two widths whose sum is the "
                        "hidden_size of 16"));
  EXPECT_THAT(LoadError(With({{"axial_pos_order", "diagonal"}})), HasSubstr("axial_pos_order"));
  EXPECT_THAT(
      LoadError(With({{"attn_layers", {"local", "dense"}}})),
      HasSubstr(
          "\"attn_layers\" is [\"local\",\"dense\"]; allowed: a list of \"local\" and \"lsh\""));
  EXPECT_THAT(LoadError(With({{"attn_layers", nlohmann::json::array()}})),
              HasSubstr("attn_layers"));
  EXPECT_THAT(LoadError(With({{"num_buckets", 5}})),
              HasSubstr("\"num_buckets\" is 5; allowed: null, an even number"));
  EXPECT_THAT(LoadError(With({{"num_buckets", {4, 3}}})), HasSubstr("\"num_buckets\" is [4,3]"));
  EXPECT_THAT(LoadError(With({{"num_buckets", {8192, 8192}}})), HasSubstr("num_buckets"));
  EXPECT_THAT(LoadError(With({{"num_buckets", "many"}})), HasSubstr("num_buckets"));
  EXPECT_THAT(LoadError(With({{"hash_seed", -1}})), HasSubstr("hash_seed"));
  EXPECT_THAT(LoadError(With({{"num_hashes", 0}})), HasSubstr("num_hashes"));
  EXPECT_THAT(LoadError(With({{"lsh_attn_chunk_length", 0}})), HasSubstr("lsh_attn_chunk_length"));
  EXPECT_THAT(LoadError(With({{"pad_token_id", 40}})), HasSubstr("pad_token_id"));
  EXPECT_THAT(LoadError(With({{"hidden_act", "snake"}})), HasSubstr("hidden_act"));
}

TEST(ReformerWeights, TaskPrefixHeadsAndOldBuffers_AreRead) {
  FormulaCheckpoint checkpoint(0.6, {"layer_norm.weight"});
  AddReformerWeights(checkpoint, ReformerConfigJson());
  checkpoint.Add("encoder.layers.0.attention.self_attention.mask_value_float32", {1});
  checkpoint.Add("encoder.layers.1.attention.self_attention.self_mask_value_float16", {1});
  auto model = OpenReformer(checkpoint.Write(ReformerConfigJson(), "reformer."));
  ASSERT_TRUE(model.ok()) << model.status();
  const MixedText text{.ids = FormulaIds(0, 61, 1, 40)};
  EXPECT_EQ(Alone(**model, text), Alone(*FormulaReformer(ReformerConfigJson()), text));
}

TEST(ReformerWeights, AxialFactorsOfAnotherShapeThanTheConfigs_AreNamed) {
  FormulaCheckpoint checkpoint(0.6, {"layer_norm.weight"});
  AddReformerWeights(checkpoint, ReformerConfigJson());
  EXPECT_THAT(
      std::string(
          OpenReformer(checkpoint.Write(With({{"axial_pos_shape", {8, 9}}}))).status().message()),
      HasSubstr("\"embeddings.position_embeddings.weights.1\" has shape [1, 8, 12], the config "
                "asks for [1, 9, 12]"));
}

TEST(ReformerWeights, MissingExtraOrMisshapen_AreNamed) {
  const auto error = [](const std::function<void(FormulaCheckpoint&)>& change) {
    FormulaCheckpoint checkpoint(0.6, {"layer_norm.weight"});
    AddReformerWeights(checkpoint, ReformerConfigJson());
    change(checkpoint);
    return std::string(OpenReformer(checkpoint.Write(ReformerConfigJson())).status().message());
  };
  for (const char* name : {"encoder.layers.1.attention.self_attention.query_key.weight",
                           "encoder.layers.0.attention.self_attention.key.weight",
                           "encoder.layer_norm.bias", "embeddings.position_embeddings.weights.1",
                           "encoder.layers.3.attention.output.dense.weight"}) {
    EXPECT_THAT(error([&](FormulaCheckpoint& checkpoint) { checkpoint.Remove(name); }),
                HasSubstr(name));
  }
  EXPECT_THAT(error([](FormulaCheckpoint& checkpoint) {
                checkpoint.Add("encoder.layers.3.extra.weight", {2});
              }),
              HasSubstr("encoder.layers.3.extra.weight"));
  EXPECT_THAT(error([](FormulaCheckpoint& checkpoint) {
                checkpoint.Remove("encoder.layers.1.attention.self_attention.value.weight");
                checkpoint.Add("encoder.layers.1.attention.self_attention.value.weight", {8, 16});
              }),
              HasSubstr("encoder.layers.1.attention.self_attention.value.weight"));
}

}  // namespace
}  // namespace longspan
