// Compares the models on every fixture folder with the published code's outputs: the largest
// absolute error on the rows that are read is at most 2e-5. This holds with the padding dropped,
// and with the padding kept under an attention mask. The hidden states of the case "odd" say which
// layer differs first. Each family also runs through the portable backend, which is the composition
// that a card runs.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "core/token_batch.h"
#include "core/weights/safetensors_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/batch_tolerance.h"
#include "tests/golden/fixture_cases.h"
#include "tests/golden/placements.h"

namespace longspan {
namespace {

constexpr float kTolerance = 2e-5f;

class Fixture {
 public:
  explicit Fixture(const std::string& name)
      : path_(std::string(LONGSPAN_FIXTURES) + "/" + name), cases_(ReadFixtureCases(path_)) {
    auto expected = SafetensorsReader::Open(path_ + "/expected.safetensors");
    EXPECT_TRUE(expected.ok()) << expected.status();
    expected_ = *std::move(expected);
  }
  const std::vector<FixtureCase>& cases() const { return cases_; }
  std::unique_ptr<EncoderModel> LoadModel(const Backend* backend) const {
    const auto folder = ModelFolder::Open(path_);
    EXPECT_TRUE(folder.ok()) << folder.status();
    auto model = LoadEncoderModel(*folder, {DataType::kFloat32, backend});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }
  bool Has(const std::string& tensor) const { return expected_->tensors().contains(tensor); }
  // Row `t` of text `b` of an expected tensor [B, L, W].
  std::span<const float> Row(const std::string& tensor, int64_t b, int64_t t) const {
    const StoredTensor& stored = expected_->tensors().at(tensor);
    const int64_t length = stored.shape[1], width = stored.shape[2];
    const auto* values = reinterpret_cast<const float*>(stored.data.data());
    return {values + (b * length + t) * width, static_cast<size_t>(width)};
  }

 private:
  std::string path_;
  const std::vector<FixtureCase> cases_;
  std::unique_ptr<SafetensorsReader> expected_;
};

float MaxError(const float* got, std::span<const float> want) {
  float worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const float error = std::abs(got[i] - want[i]);
    if (!(error <= worst)) worst = error;  // NaN counts
  }
  return worst;
}

// The texts of a case, packed without their padding, or with it and with the mask.
TokenBatch Pack(const FixtureCase& c, bool keep_padding) {
  TokenBatch batch;
  for (size_t text = 0; text < c.num_texts(); ++text) batch.Add(c.Text(text, keep_padding));
  return batch;
}

void ExpectCase(const Fixture& fixture, const FixtureCase& c, const EncoderModel& model,
                bool keep_padding) {
  SCOPED_TRACE(c.name + (keep_padding ? " (padding kept)" : " (padding dropped)"));
  const TokenBatch batch = Pack(c, keep_padding);
  // Of the first text, where the file has the hidden states.
  std::map<int, float> layer_error;
  ForwardOptions options;
  options.observe_layer = [&](int layer, const at::Tensor& hidden) {
    const std::string tensor = c.name + ".hidden." + std::to_string(layer);
    if (!fixture.Has(tensor)) return;
    const at::Tensor rows = hidden.contiguous();
    if (rows.size(1) != static_cast<int64_t>(fixture.Row(tensor, 0, 0).size())) return;
    for (int64_t t = 0; t < batch.length(0); ++t) {
      layer_error[layer] =
          std::max(layer_error[layer],
                   MaxError(rows.data_ptr<float>() + t * rows.size(1), fixture.Row(tensor, 0, t)));
    }
  };
  const auto hidden = model.Forward(batch, options);
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  float worst = 0;
  for (int32_t b = 0; b < batch.num_texts(); ++b) {
    const at::Tensor rows = hidden->Rows(b, 0, batch.length(b)).contiguous();
    for (int64_t t = 0; t < batch.length(b); ++t) {
      if (c.attention_mask[b][t] != 0)
        worst = std::max(
            worst, MaxError(rows.data_ptr<float>() + t * rows.size(1), fixture.Row(c.name, b, t)));
    }
  }
  EXPECT_LE(worst, kTolerance) << "max abs error by layer (0 = embeddings): "
                               << testing::PrintToString(layer_error);
  // ModernBERT's last hidden state is after the final norm in the published code, and before it
  // here. The output was compared above.
  const int last = static_cast<int>(model.info().layers.size());
  for (const auto& [layer, error] : layer_error) {
    if (layer == last) continue;
    EXPECT_LE(error, kTolerance) << "layer " << layer;
  }
}

// A family, on the kernels of the CPU or through the portable backend.
class FixturesTest : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  const Backend* backend() const { return Where{.on_backend = std::get<1>(GetParam())}.backend(); }
};

TEST_P(FixturesTest, Forward_EqualsReference) {
  const Fixture fixture(std::get<0>(GetParam()));
  const std::unique_ptr<EncoderModel> model = fixture.LoadModel(backend());
  ASSERT_NE(model, nullptr);
  for (const FixtureCase& c : fixture.cases()) {
    ExpectCase(fixture, c, *model, /*keep_padding=*/false);
    ExpectCase(fixture, c, *model, /*keep_padding=*/true);
  }
}

// Compares all texts of all cases in one batch, in order and then reversed, with each text alone.
TEST_P(FixturesTest, Forward_InABatch_EqualsAlone) {
  const Fixture fixture(std::get<0>(GetParam()));
  const std::unique_ptr<EncoderModel> model = fixture.LoadModel(backend());
  ASSERT_NE(model, nullptr);
  std::vector<TokenBatch::Text> texts;
  for (const FixtureCase& c : fixture.cases()) {
    for (size_t text = 0; text < c.num_texts(); ++text)
      texts.push_back(c.Text(text, /*keep_padding=*/false));
  }
  std::vector<TokenBatch::Text> mixed = texts;
  mixed.insert(mixed.end(), texts.rbegin(), texts.rend());
  TokenBatch batch;
  for (const TokenBatch::Text& text : mixed) batch.Add(text);
  const auto together = model->Forward(batch, {});
  ASSERT_TRUE(together.ok()) << together.status();
  for (size_t i = 0; i < mixed.size(); ++i) {
    TokenBatch single;
    single.Add(mixed[i]);
    const auto alone = model->Forward(single, {});
    ASSERT_TRUE(alone.ok()) << alone.status();
    const at::Tensor got =
        together->Rows(static_cast<int32_t>(i), 0, batch.length(static_cast<int32_t>(i)))
            .contiguous();
    const at::Tensor want = alone->Rows(0, 0, single.length(0)).contiguous();
    ASSERT_EQ(got.numel(), want.numel());
    const float error = MaxError(got.data_ptr<float>(),
                                 {want.data_ptr<float>(), static_cast<size_t>(want.numel())});
    EXPECT_LE(error, backend() != nullptr ? InABatchOnABackend(model->info())
                                          : InABatchTolerance(model->info()))
        << "text " << i << " of " << single.length(0) << " tokens";
  }
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, FixturesTest,
                         testing::Combine(testing::Values("longformer-windows", "longformer-mlm",
                                                          "longformer-long", "bert", "roberta",
                                                          "led", "modernbert", "bigbird"),
                                          testing::Bool()),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param) +
                                              (std::get<1>(info.param) ? "_portable_backend" : "");
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace longspan
