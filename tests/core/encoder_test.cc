// Encoder: from a folder and token ids to vectors. Tiny models with formula weights (tests/golden/checkpoints.h); what the
// encoder gives is compared with values computed here from the model's own hidden states.
#include "core/encoder.h"

#include <ATen/core/Tensor.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/cost_model.h"
#include "core/memory.h"
#include "core/models/model.h"
#include "core/models/model_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/checkpoints.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr float kTolerance = 2e-6f;

std::vector<float> MeanOf(const std::vector<std::vector<float>>& rows, int64_t begin, int64_t end) {
  std::vector<float> mean(rows[0].size());
  for (size_t d = 0; d < mean.size(); ++d) {
    double sum = 0;
    for (int64_t t = begin; t < end; ++t) sum += rows[t][d];
    mean[d] = static_cast<float>(sum / static_cast<double>(end - begin));
  }
  return mean;
}

std::vector<float> UnitLength(std::vector<float> x) {
  double square = 0;
  for (float value : x) square += value * value;
  for (float& value : x) value = static_cast<float>(value / std::sqrt(square));
  return x;
}

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want, float tolerance = kTolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << "value " << i;
}

class EncoderTest : public testing::Test {
 protected:
  EncoderTest() : checkpoint_(0.4, kBertNorms), config_(LongformerConfigJson()) {
    AddBertWeights(checkpoint_, {}, /*global_projections=*/true);
  }
  void SetUp() override { Load(); }

  absl::Status TryLoad(const EncoderOptions& options = {}) {
    auto encoder = Encoder::Load(checkpoint_.Write(config_), options);
    if (!encoder.ok()) return encoder.status();
    encoder_ = *std::move(encoder);
    return absl::OkStatus();
  }
  void Load() {
    const absl::Status status = TryLoad();
    ASSERT_TRUE(status.ok()) << status;
  }
  // A file of the sentence-transformers layout around the model.
  void Write(const std::string& name, const nlohmann::json& json) { checkpoint_.folder().WriteText(name, json.dump()); }

  EncodedText Encode(const std::vector<int32_t>& ids, const EncodeOptions& options = {},
                     const std::vector<int32_t>& globals = {}) {
    TokenBatch batch;
    batch.Add({.token_ids = ids, .global_positions = globals});
    auto results = encoder_->Encode(batch, {&options, 1});
    EXPECT_TRUE(results[0].ok()) << results[0].status();
    return results[0].ok() ? *results[0] : EncodedText{};
  }
  // The token vectors as token_sink gives them.
  std::vector<std::vector<float>> TokenRows(const std::vector<int32_t>& ids) {
    std::vector<std::vector<float>> rows;
    EncodeOptions options{.document_vector = false};
    options.token_sink = [&](int64_t first, int64_t count, const float* values) {
      EXPECT_EQ(first, static_cast<int64_t>(rows.size()));
      for (int64_t i = 0; i < count; ++i) rows.emplace_back(values + i * 24, values + (i + 1) * 24);
    };
    Encode(ids, options);
    return rows;
  }

  FormulaCheckpoint checkpoint_;
  nlohmann::json config_;
  std::unique_ptr<Encoder> encoder_;
};

TEST_F(EncoderTest, Load_FillsModelInfo) {
  const ModelInfo& info = encoder_->info();
  EXPECT_EQ(info.architecture, "longformer");
  EXPECT_EQ(info.hidden_size, 24);
  EXPECT_EQ(info.token_dimensions, 24);
  EXPECT_EQ(info.output_dimensions, 24);
  EXPECT_EQ(info.max_tokens, 64);  // 66 rows, of which 0 and 1 serve no token
  EXPECT_EQ(info.layers[0].window, 2);
  EXPECT_EQ(info.layers[1].window, 4);
  EXPECT_TRUE(info.supports_global_attention);
  EXPECT_THAT(info.pooling, ElementsAre(PoolingMode::kMean));
  EXPECT_GT(info.num_parameters, 10000);
  EXPECT_EQ(info.weight_bytes, 4 * info.num_parameters);
}

TEST_F(EncoderTest, Load_TakesTheSmallerOfModelAndSequenceLimit) {
  Write("tokenizer_config.json", {{"model_max_length", 20}});
  Load();
  EXPECT_EQ(encoder_->info().max_tokens, 20);
  Write("tokenizer_config.json", {{"model_max_length", 4000}});
  Load();
  EXPECT_EQ(encoder_->info().max_tokens, 64);
}

TEST_F(EncoderTest, Encode_PoolsByMeanWithoutSentenceLayout) {
  const std::vector<int32_t> ids = FormulaIds(0, 21, 3, 40);
  const auto rows = TokenRows(ids);
  ASSERT_EQ(rows.size(), 21u);
  ExpectNear(Encode(ids).vector, MeanOf(rows, 0, 21));
}

TEST_F(EncoderTest, Encode_SpansPromptAndPoolingOverride) {
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40);
  const auto rows = TokenRows(ids);
  EncodeOptions options{.spans = {{0, 30}, {3, 9}, {7, 8}}};
  const EncodedText text = Encode(ids, options);
  ASSERT_EQ(text.span_vectors.size(), 3u);
  ExpectNear(text.span_vectors[0], text.vector);
  ExpectNear(text.span_vectors[1], MeanOf(rows, 3, 9));
  ExpectNear(text.span_vectors[2], rows[7]);
  ExpectNear(Encode(ids, {.pooling_begin = 5}).vector, MeanOf(rows, 5, 30));
  ExpectNear(Encode(ids, {.pooling = PoolingMode::kCls}).vector, rows[0]);
  ExpectNear(Encode(ids, {.pooling = PoolingMode::kLastToken}).vector, rows[29]);
  EXPECT_THAT(Encode(ids, {.document_vector = false}).vector, IsEmpty());
}

TEST_F(EncoderTest, Encode_CutsThenNormalises) {
  const std::vector<int32_t> ids = FormulaIds(0, 21, 3, 40);
  std::vector<float> want = Encode(ids).vector;
  want.resize(6);
  ExpectNear(Encode(ids, {.dimensions = 6}).vector, want);
  ExpectNear(Encode(ids, {.normalize = true, .dimensions = 6}).vector, UnitLength(want));
}

TEST_F(EncoderTest, TokenSink_NormalisesRowsOnlyWhenAsked) {
  const std::vector<int32_t> ids = FormulaIds(0, 9, 3, 40);
  const auto rows = TokenRows(ids);
  int64_t seen = 0;
  EncodeOptions options{.normalize = true};
  options.token_sink = [&](int64_t first, int64_t count, const float* values) {
    for (int64_t i = 0; i < count; ++i, ++seen) {
      ExpectNear(std::vector<float>(values + i * 24, values + (i + 1) * 24), UnitLength(rows[first + i]));
    }
  };
  Encode(ids, options);
  EXPECT_EQ(seen, 9);
}

// modules.json with two poolings, a Dense with Tanh and a Normalize.
TEST_F(EncoderTest, SentenceFolder_PoolsThenDenseThenNormalises) {
  const std::vector<int32_t> ids = FormulaIds(0, 21, 3, 40);
  const auto rows = TokenRows(ids);
  Write("modules.json",
        {{{"idx", 0}, {"name", "0"}, {"path", ""}, {"type", "sentence_transformers.models.Transformer"}},
         {{"idx", 1}, {"name", "1"}, {"path", "1_Pooling"}, {"type", "sentence_transformers.models.Pooling"}},
         {{"idx", 2}, {"name", "2"}, {"path", "2_Dense"}, {"type", "sentence_transformers.models.Dense"}},
         {{"idx", 3}, {"name", "3"}, {"path", "3_Normalize"}, {"type", "sentence_transformers.models.Normalize"}}});
  Write("1_Pooling/config.json",
        {{"word_embedding_dimension", 24}, {"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}});
  Write("2_Dense/config.json",
        {{"in_features", 48}, {"out_features", 5}, {"bias", true}, {"activation_function", "torch.nn.modules.activation.Tanh"}});
  FormulaCheckpoint dense(0.4, {});
  dense.AddLinear("linear", 5, 48);
  const std::string dense_file = dense.Write(nlohmann::json::object()) + "/model.safetensors";
  std::filesystem::copy_file(dense_file, checkpoint_.folder().path() + "/2_Dense/model.safetensors");
  Load();
  EXPECT_EQ(encoder_->info().output_dimensions, 5);
  EXPECT_TRUE(encoder_->info().normalize);

  std::vector<float> pooled = rows[0];
  const std::vector<float> mean = MeanOf(rows, 0, 21);
  pooled.insert(pooled.end(), mean.begin(), mean.end());
  std::vector<float> want;
  for (int64_t o = 0; o < 5; ++o) {
    double sum = dense.values("linear.bias")[o];
    for (int64_t i = 0; i < 48; ++i) sum += dense.values("linear.weight")[o * 48 + i] * pooled[i];
    want.push_back(static_cast<float>(std::tanh(sum)));
  }
  ExpectNear(Encode(ids).vector, UnitLength(want));
  ExpectNear(Encode(ids, {.normalize = false}).vector, want);
  std::vector<float> cut(want.begin(), want.begin() + 3);
  ExpectNear(Encode(ids, {.dimensions = 3}).vector, UnitLength(cut));
  // A pooling that is named leaves the model's Dense out.
  ExpectNear(Encode(ids, {.pooling = PoolingMode::kMean, .normalize = false}).vector, mean);
  const absl::Status spans = encoder_->Validate({.token_ids = ids}, {.spans = {{0, 3}}});
  EXPECT_EQ(spans.code(), absl::StatusCode::kFailedPrecondition) << spans;
  EXPECT_TRUE(encoder_->Validate({.token_ids = ids}, {.pooling = PoolingMode::kMean, .spans = {{0, 3}}}).ok());

  // The folder's own cut comes behind its Normalize; only a caller who asks for it gets unit length again.
  Write("config_sentence_transformers.json", {{"truncate_dim", 3}});
  Load();
  EXPECT_EQ(encoder_->info().output_dimensions, 3);
  const std::vector<float> unit = UnitLength(want);
  ExpectNear(Encode(ids).vector, {unit.begin(), unit.begin() + 3});
  ExpectNear(Encode(ids, {.normalize = true}).vector, UnitLength(cut));
  ExpectNear(Encode(ids, {.normalize = false}).vector, cut);
}

TEST_F(EncoderTest, Encode_RandomMixes_EqualAlone) {
  std::mt19937 random(7);
  for (int round = 0; round < 5; ++round) {
    TokenBatch batch;
    std::vector<std::vector<int32_t>> ids, globals;
    for (int text = 0; text < 12; ++text) {
      ids.push_back(FormulaIds(text, 1 + static_cast<int64_t>(random() % 64), 3, 40));
      globals.emplace_back();
      for (int32_t t = 0; t < static_cast<int32_t>(ids.back().size()); ++t) {
        if (text % 3 == 0 && random() % 9 == 0) globals.back().push_back(t);
      }
      batch.Add({.token_ids = ids.back(), .global_positions = globals.back()});
    }
    const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(12));
    for (int text = 0; text < 12; ++text) {
      ASSERT_TRUE(results[text].ok()) << results[text].status();
      ExpectNear(results[text]->vector, Encode(ids[text], {}, globals[text]).vector);
    }
  }
}

TEST_F(EncoderTest, DroppedText_IsCancelledAndLeavesTheOthersAlone) {
  TokenBatch batch;
  std::vector<std::vector<int32_t>> ids;
  for (int text = 0; text < 3; ++text) ids.push_back(FormulaIds(text, 10 + 9 * text, 3, 40));
  batch.Add({.token_ids = ids[0]});
  batch.Add({.token_ids = ids[1], .global_positions = std::vector<int32_t>{0, 4}});
  batch.Add({.token_ids = ids[2], .global_positions = std::vector<int32_t>{3}});
  int asked = 0;  // text 1 is dropped before the second layer, not before the first
  EncodeControl control{.is_dropped = [&](int32_t text) { return text == 1 && ++asked > 1; }};
  const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(3), control);
  EXPECT_EQ(results[1].status().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(results[0].ok() && results[2].ok());
  ExpectNear(results[0]->vector, Encode(ids[0]).vector);
  ExpectNear(results[2]->vector, Encode(ids[2], {}, {3}).vector);
}

TEST_F(EncoderTest, AllDropped_StopsBeforeTheNextLayer) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  for (int text = 0; text < 2; ++text) batch.Add({.token_ids = ids});
  int asked = 0;
  EncodeControl control{.is_dropped = [&](int32_t) {
    ++asked;
    return true;
  }};
  for (const auto& result : encoder_->Encode(batch, std::vector<EncodeOptions>(2), control)) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  }
  EXPECT_EQ(asked, 2);  // once a text before the first layer, never again
}

// Below the encoder: the model itself does no layer more once the last text is dropped.
TEST_F(EncoderTest, Forward_StopsBetweenLayersWhenAllAreDropped) {
  const auto folder = ModelFolder::Open(checkpoint_.folder().path());
  const auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  ASSERT_TRUE(model.ok()) << model.status();
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  batch.Add({.token_ids = ids});
  int last_layer = -1;
  ForwardOptions options;
  options.is_dropped = [&](int32_t) { return last_layer >= 1; };  // dropped while the first of two layers ran
  options.observe_layer = [&](int layer, const at::Tensor&) { last_layer = layer; };
  EXPECT_EQ((*model)->Forward(batch, options).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(last_layer, 1);
}

TEST_F(EncoderTest, NotANumber_IsInternal) {
  checkpoint_.values("encoder.layer.1.output.LayerNorm.bias")[3] = std::numeric_limits<float>::quiet_NaN();
  Load();
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  batch.Add({.token_ids = ids});
  const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(1));
  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(results[0].status().message()), HasSubstr("NaN"));
}

TEST_F(EncoderTest, OptionsThatDoNotMatchTheBatch_AreRefused) {
  TokenBatch batch;
  const std::vector<int32_t> ids = {3, 4};
  batch.Add({.token_ids = ids});
  EXPECT_EQ(encoder_->Encode(batch, {})[0].status().code(), absl::StatusCode::kInvalidArgument);
}

// A converted model: any length by repeated positions.
class ConvertedEncoderTest : public EncoderTest {
 protected:
  void SetUp() override {
    config_["longspan"] = {{"dense_up_to", 16}, {"position_period", 15}, {"default_global_attention", "cls"}};
    Load();
  }
};

TEST_F(ConvertedEncoderTest, Info_SaysHowTextsAreTreated) {
  const ModelInfo& info = encoder_->info();
  EXPECT_EQ(info.max_tokens, 0);
  EXPECT_EQ(info.dense_up_to, 16);
  EXPECT_EQ(info.default_global_attention, GlobalAttention::kCls);
  EXPECT_THAT(ResolveGlobalPositions(info, std::nullopt, {}, 16), IsEmpty());
  EXPECT_THAT(ResolveGlobalPositions(info, std::nullopt, {}, 17), ElementsAre(0));
  EXPECT_THAT(ResolveGlobalPositions(info, GlobalAttention::kCls, {}, 3), ElementsAre(0));
  EXPECT_THAT(ResolveGlobalPositions(info, GlobalAttention::kNone, {}, 99), IsEmpty());
  const std::vector<int32_t> positions = {2, 5};
  EXPECT_THAT(ResolveGlobalPositions(info, GlobalAttention::kPositions, positions, 99), ElementsAre(2, 5));
}

TEST_F(ConvertedEncoderTest, ShortTexts_SeeAllOfThemselves) {
  const std::vector<int32_t> ids16 = FormulaIds(0, 16, 3, 40), ids17 = FormulaIds(0, 17, 3, 40);
  const std::vector<float> dense16 = Encode(ids16).vector, banded17 = Encode(ids17).vector;
  config_.erase("longspan");
  config_["attention_window"] = 128;  // sees everything
  Load();
  ExpectNear(dense16, Encode(ids16).vector);
  const std::vector<float> full17 = Encode(ids17).vector;
  EXPECT_GT(std::abs(banded17[0] - full17[0]) + std::abs(banded17[1] - full17[1]), 1e-3f);
}

// With a period of 15 and tokens that repeat likewise, what lies beyond a window's reach of both ends repeats too.
TEST_F(ConvertedEncoderTest, Positions_RepeatForEver) {
  std::vector<int32_t> ids = {7};
  for (int i = 0; i < 150; ++i) ids.push_back(10 + i % 15);
  const auto rows = TokenRows(ids);
  ASSERT_EQ(rows.size(), 151u);
  ExpectNear(rows[40], rows[55]);
  ExpectNear(rows[40], rows[100]);
  EXPECT_GT(std::abs(rows[40][0] - rows[41][0]), 1e-3f);
}

TEST_F(ConvertedEncoderTest, OutOfMemory_IsResourceExhausted_AndThePassLater_Works) {
  std::vector<int32_t> ids(60000, 9);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  TrimMemory();
  SetMemoryBudget(GetMemoryStats().live_bytes + (4 << 20));
  const auto refused = encoder_->Encode(batch, std::vector<EncodeOptions>(1));
  SetMemoryBudget(0);
  EXPECT_EQ(refused[0].status().code(), absl::StatusCode::kResourceExhausted) << refused[0].status();
  EXPECT_EQ(Encode(ids).vector.size(), 24u);
}

TEST_F(ConvertedEncoderTest, WarmUp_TellsThatTheLargestBatchDoesNotFit) {
  ASSERT_TRUE(encoder_->WarmUp().ok());
  TrimMemory();
  SetMemoryBudget(GetMemoryStats().live_bytes + (4 << 20));
  const absl::Status small = encoder_->WarmUp();
  const absl::Status large = encoder_->WarmUp(60000);
  SetMemoryBudget(0);
  EXPECT_TRUE(small.ok()) << small;
  EXPECT_EQ(large.code(), absl::StatusCode::kResourceExhausted) << large;
  EXPECT_TRUE(encoder_->WarmUp(60000).ok());
}

// A long pass asks inside its layers too: whoever answers may run other passes there, and one that nobody wants ends there.
TEST_F(ConvertedEncoderTest, LongPass_PausesInsideItsLayers_AndIsTheSame) {
  const std::vector<int32_t> ids(40000, 9);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  const std::vector<float> expected = Encode(ids).vector;
  const std::vector<int32_t> short_ids = FormulaIds(1, 30, 3, 40);
  const std::vector<float> short_expected = Encode(short_ids).vector;
  int asked = 0;
  const EncodeControl control{.is_dropped = [&](int32_t) {
    ++asked;
    ExpectNear(Encode(short_ids).vector, short_expected);  // another pass inside this one
    return false;
  }};
  const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(1), control);
  ASSERT_TRUE(results[0].ok()) << results[0].status();
  ExpectNear(results[0]->vector, expected);
  EXPECT_GT(asked, 2 * 2 * (40000 / 2048));  // two layers, each with the blocks of its projections and of its feed-forward
}

TEST_F(ConvertedEncoderTest, LongPass_DroppedInsideALayer_DoesNoMore) {
  const std::vector<int32_t> ids(40000, 9);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  for (const int last :
       {1, 2, 10, 19, 20, 21, 22, 30, 40}) {  // in the projections, in the attention, in the feed-forward, in layer two
    int asked = 0;
    const EncodeControl control{.is_dropped = [&](int32_t) { return ++asked > last; }};
    EXPECT_EQ(encoder_->Encode(batch, std::vector<EncodeOptions>(1), control)[0].status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(asked, last + 1);
  }
}

TEST_F(ConvertedEncoderTest, WarmUp_CalibratesTheCostModel) {
  const double before = encoder_->cost_model().TextSeconds(1000);
  ASSERT_TRUE(encoder_->WarmUp().ok());
  const double after = encoder_->cost_model().TextSeconds(1000);
  EXPECT_NE(before, after);
  EXPECT_GT(after, 0);
  EXPECT_LT(after, 10);
}

struct BadInput {
  std::string name;
  std::vector<int32_t> ids;
  std::vector<int32_t> globals;
  std::vector<uint8_t> mask;
  LshOptions lsh;
  EncodeOptions options;
  absl::StatusCode code;
  std::string text;
};

TEST_F(EncoderTest, Validate_SaysWhatGotAllowed) {
  using absl::StatusCode;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  std::vector<int32_t> wild = ids;
  wild[4] = 40;
  const std::vector<BadInput> inputs = {
      {.name = "empty", .ids = {}, .code = StatusCode::kInvalidArgument, .text = "no tokens"},
      {.name = "long",
       .ids = FormulaIds(0, 65, 3, 40),
       .code = StatusCode::kInvalidArgument,
       .text = "has 65 tokens; this model takes at most 64"},
      {.name = "id", .ids = wild, .code = StatusCode::kInvalidArgument, .text = "token_ids[4] is 40; allowed: 0 to 39"},
      {.name = "negative id", .ids = {-1}, .code = StatusCode::kInvalidArgument, .text = "token_ids[0] is -1"},
      {.name = "global",
       .ids = ids,
       .globals = {2, 10},
       .code = StatusCode::kInvalidArgument,
       .text = "global_positions[1] is 10"},
      {.name = "order", .ids = ids, .globals = {2, 2}, .code = StatusCode::kInvalidArgument, .text = "ascending, each once"},
      {.name = "mask",
       .ids = ids,
       .mask = {1},
       .code = StatusCode::kInvalidArgument,
       .text = "attention_mask has 1 values for 10"},
      {.name = "zero mask", .ids = {3}, .mask = {0}, .code = StatusCode::kInvalidArgument, .text = "0 everywhere"},
      {.name = "hashes", .ids = ids, .lsh = {.num_hashes = 2}, .code = StatusCode::kFailedPrecondition, .text = "no LSH"},
      {.name = "span",
       .ids = ids,
       .options = {.spans = {{0, 4}, {4, 4}}},
       .code = StatusCode::kInvalidArgument,
       .text = "spans[1] is [4, 4)"},
      {.name = "span end",
       .ids = ids,
       .options = {.spans = {{0, 11}}},
       .code = StatusCode::kInvalidArgument,
       .text = "inside [0, 10)"},
      {.name = "dimensions",
       .ids = ids,
       .options = {.dimensions = 25},
       .code = StatusCode::kInvalidArgument,
       .text = "dimensions is 25; allowed: 1 to 24"},
      {.name = "prompt",
       .ids = ids,
       .options = {.pooling_begin = 10},
       .code = StatusCode::kInvalidArgument,
       .text = "pooling_begin is 10; allowed: 0 to 9"},
  };
  for (const BadInput& input : inputs) {
    const absl::Status status = encoder_->Validate(
        {.token_ids = input.ids, .global_positions = input.globals, .attention_mask = input.mask, .lsh = input.lsh},
        input.options);
    EXPECT_EQ(status.code(), input.code) << input.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(input.text)) << input.name;
  }
  EXPECT_TRUE(encoder_->Validate({.token_ids = ids, .global_positions = std::vector<int32_t>{0, 9}}, {.dimensions = 24}).ok());
}

TEST_F(EncoderTest, BadConfigs_NameKeyValueAndWhatIsAllowed) {
  struct BadConfig {
    nlohmann::json edit;
    std::string text;
  };
  const std::vector<BadConfig> configs = {
      {{{"attention_window", 7}}, "\"attention_window\" is 7; allowed: even"},
      {{{"attention_window", {4, 0}}}, "\"attention_window[1]\" is 0; allowed: an integer from 2"},
      {{{"attention_window", {4, 8, 8}}}, "a list of 3; allowed: a number, or a list of 2"},
      {{{"attention_window", "wide"}}, "\"attention_window\" is \"wide\""},
      {{{"num_attention_heads", 5}}, "\"hidden_size\" is 24; allowed: multiples of the 5"},
      {{{"hidden_size", -1}}, "\"hidden_size\" is -1; allowed: an integer from 1"},
      {{{"hidden_size", 24.5}}, "\"hidden_size\" is 24.5"},
      {{{"hidden_act", "geglu"}}, "geglu"},
      {{{"layer_norm_eps", 0}}, "\"layer_norm_eps\" is 0; allowed: a number above 0"},
      {{{"pad_token_id", 65}}, "\"pad_token_id\" is 65; allowed: an integer from 0 to 64"},
      {{{"vocab_size", 41}}, "embeddings.word_embeddings.weight"},
      {{{"num_hidden_layers", 3}, {"attention_window", 4}}, "encoder.layer.2"},
      {{{"num_hidden_layers", 1}, {"attention_window", 4}}, "encoder.layer.1"},
      {{{"longspan", {{"position_period", 64}}}}, "\"longspan.position_period\" is 64; allowed: 0 to 63"},
      {{{"longspan", {{"default_global_attention", "all"}}}},
       "\"longspan.default_global_attention\" is \"all\"; allowed: \"none\", \"cls\""},
      {{{"longspan", 3}}, "\"longspan\" is 3; allowed: an object"},
      {{{"model_type", "t5"}}, "model_type is \"t5\"; known: longformer"},
  };
  const nlohmann::json good = config_;
  for (const BadConfig& bad : configs) {
    config_ = good;
    config_.update(bad.edit);
    const absl::Status status = TryLoad();
    EXPECT_FALSE(status.ok()) << bad.edit;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.text)) << bad.edit;
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << "one line";
  }
}

}  // namespace
}  // namespace longspan
