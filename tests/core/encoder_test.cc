// Encoder: from a folder and token ids to vectors. Its results are compared with values that are
// computed here from the model's own hidden states.
#include "core/encoder.h"

#include <ATen/core/Tensor.h>

#include <cmath>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "tests/core/encoder_fixture.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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
      ExpectNear(std::vector<float>(values + i * 24, values + (i + 1) * 24),
                 UnitLength(rows[first + i]));
    }
  };
  Encode(ids, options);
  EXPECT_EQ(seen, 9);
}

// modules.json with two poolings, a Dense with Tanh and a Normalize.
TEST_F(EncoderTest, SentenceFolder_PoolsThenDenseThenNormalises) {
  const std::vector<int32_t> ids = FormulaIds(0, 21, 3, 40);
  const auto rows = TokenRows(ids);
  Write("modules.json", {{{"idx", 0},
                          {"name", "0"},
                          {"path", ""},
                          {"type", "sentence_transformers.models.Transformer"}},
                         {{"idx", 1},
                          {"name", "1"},
                          {"path", "1_Pooling"},
                          {"type", "sentence_transformers.models.Pooling"}},
                         {{"idx", 2},
                          {"name", "2"},
                          {"path", "2_Dense"},
                          {"type", "sentence_transformers.models.Dense"}},
                         {{"idx", 3},
                          {"name", "3"},
                          {"path", "3_Normalize"},
                          {"type", "sentence_transformers.models.Normalize"}}});
  Write("1_Pooling/config.json", {{"word_embedding_dimension", 24},
                                  {"pooling_mode_cls_token", true},
                                  {"pooling_mode_mean_tokens", true}});
  Write("2_Dense/config.json", {{"in_features", 48},
                                {"out_features", 5},
                                {"bias", true},
                                {"activation_function", "torch.nn.modules.activation.Tanh"}});
  FormulaCheckpoint dense(0.4, {});
  dense.AddLinear("linear", 5, 48);
  const std::string dense_file = dense.Write(nlohmann::json::object()) + "/model.safetensors";
  std::filesystem::copy_file(dense_file,
                             checkpoint_.folder().path() + "/2_Dense/model.safetensors");
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
  EXPECT_TRUE(
      encoder_->Validate({.token_ids = ids}, {.pooling = PoolingMode::kMean, .spans = {{0, 3}}})
          .ok());

  // The folder's own cut comes behind its Normalize, so the vector has unit length again only for a
  // caller who asks for it.
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
  int asked = 0;  // text 1 is dropped before the second layer and not before the first
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
  EXPECT_EQ(asked, 2);  // once for each text before the first layer, and never again
}

// Two layers: one seam before the first, one between them, one after the last.
TEST_F(EncoderTest, AtSeam_IsCalledBeforeTheFirstLayerAndAfterEach_AndBeforeTheQuestions) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  for (int text = 0; text < 2; ++text) batch.Add({.token_ids = ids});
  std::string calls;
  EncodeControl control;
  control.at_seam = [&] { calls += " seam"; };
  control.is_dropped = [&](int32_t text) {
    calls += " " + std::to_string(text);
    return false;
  };
  for (const auto& result : encoder_->Encode(batch, std::vector<EncodeOptions>(2), control))
    EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(calls, " seam 0 1 seam 0 1 seam 0 1");
}

TEST_F(EncoderTest, AtSeam_IsCalledOnceMore_WhenAPassFails) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  batch.Add({.token_ids = ids});
  int seams = 0;
  EncodeOptions options;
  options.token_sink = [](int64_t, int64_t, const float*) { throw std::bad_alloc(); };
  const EncodeControl control{.at_seam = [&] { ++seams; }};
  EXPECT_EQ(encoder_->Encode(batch, {&options, 1}, control)[0].status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(seams, 4) << "three of a whole pass, and one where it failed";
}

// Pooling many spans pauses too: whoever waits for another text is let in, and a text that nobody
// waits for any more ends there.
TEST_F(EncoderTest, AtSeam_IsCalledWhileManySpansArePooled) {
  const std::vector<int32_t> ids = FormulaIds(0, 40, 3, 40);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  EncodeOptions options{.document_vector = false};
  for (int64_t i = 0; i < 200'000; ++i) options.spans.push_back({i % 40, 40});
  int seams = 0;
  int last = 1 << 20;
  const EncodeControl control{.at_seam = [&] { ++seams; },
                              .is_dropped = [&](int32_t) { return seams >= last; }};
  EXPECT_TRUE(encoder_->Encode(batch, {&options, 1}, control)[0].ok());
  EXPECT_GE(seams, 3 + 2) << "200,000 spans";
  last = 3 + 1;
  seams = 0;
  EXPECT_EQ(encoder_->Encode(batch, {&options, 1}, control)[0].status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(seams, last);
}

// Spans that begin behind the text's first rows, without a document vector: what lies in front of
// them is not read.
TEST_F(EncoderTest, SpansWithoutADocument_AreThoseOfTheRows) {
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40);
  const std::vector<std::vector<float>> rows = TokenRows(ids);
  EncodeOptions options{.pooling = PoolingMode::kMean, .normalize = false};
  options.document_vector = false;
  for (int64_t i = 5; i < 25; ++i) options.spans.push_back({i, std::min<int64_t>(i + 1 + i % 7, 30)});
  const EncodedText encoded = Encode(ids, options);
  ASSERT_EQ(encoded.span_vectors.size(), options.spans.size());
  for (size_t s = 0; s < options.spans.size(); ++s) {
    std::vector<float> want(24);
    for (int64_t t = options.spans[s].begin; t < options.spans[s].end; ++t)
      for (size_t d = 0; d < 24; ++d)
        want[d] += rows[static_cast<size_t>(t)][d] / static_cast<float>(options.spans[s].size());
    ExpectNear(encoded.span_vectors[s], want, 1e-5F);
  }
}

// One level below the encoder: the model runs no further layer once the last text is dropped.
TEST_F(EncoderTest, Forward_StopsBetweenLayersWhenAllAreDropped) {
  const auto folder = ModelFolder::Open(checkpoint_.folder().path());
  const auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  ASSERT_TRUE(model.ok()) << model.status();
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  batch.Add({.token_ids = ids});
  int last_layer = -1;
  ForwardOptions options;
  // The text is dropped while the first of two layers runs.
  options.is_dropped = [&](int32_t) { return last_layer >= 1; };
  options.observe_layer = [&](int layer, const at::Tensor&) { last_layer = layer; };
  EXPECT_EQ((*model)->Forward(batch, options).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(last_layer, 1);
}

TEST_F(EncoderTest, NotANumber_IsInternal) {
  // Finite weights, beyond which the products with normalised rows overflow.
  for (float& value : checkpoint_.values("encoder.layer.1.output.LayerNorm.weight"))
    value = std::numeric_limits<float>::max();
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

}  // namespace
}  // namespace longspan
