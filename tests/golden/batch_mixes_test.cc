// A text in a batch gives what it gives alone. Checked for every family with random mixes: of
// lengths (one token, around windows, chunks and blocks, the longest), of masks with holes, of
// global tokens and of hash rounds. Also where some texts of the batch leave half way.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/layers/linear.h"
#include "core/models/model.h"
#include "gtest/gtest.h"
#include "tests/golden/batch_tolerance.h"
#include "tests/golden/placements.h"

namespace longspan {
namespace {

float MaxError(const at::Tensor& got, const at::Tensor& want) {
  EXPECT_EQ(got.numel(), want.numel());
  float worst = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    const float error = std::abs(got.const_data_ptr<float>()[i] - want.const_data_ptr<float>()[i]);
    if (!(error <= worst)) worst = error;  // NaN counts
  }
  return worst;
}

struct RandomText {
  std::vector<int32_t> ids, globals;
  std::vector<uint8_t> mask;
  LshOptions lsh;
  TokenBatch::Text view() const { return {ids, globals, mask, lsh}; }
};

class BatchMixesTest : public testing::TestWithParam<std::tuple<std::string, Where>> {
 protected:
  void SetUp() override {
    const auto& [family, where] = GetParam();
    if (const absl::Status supported = where.Supported(); !supported.ok())
      GTEST_SKIP() << supported;
    const auto folder = ModelFolder::Open(std::string(LONGSPAN_FIXTURES) + "/" + family);
    ASSERT_TRUE(folder.ok()) << folder.status();
    auto model = LoadEncoderModel(*folder, where.placement());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }

  // Half of the time a length at or beside one token, the longest text, or a length where some
  // layer's pattern changes. Else any length.
  int64_t RandomLength() {
    const ModelInfo& info = model_->info();
    std::vector<int64_t> edges = {1, 2, info.max_tokens, info.length_multiple, info.dense_up_to};
    for (const LayerAttention& layer : info.layers)
      edges.insert(edges.end(), {2 * layer.window, layer.chunk_length});
    int64_t length = 1 + Below(info.max_tokens);
    if (Below(2) == 0) length = edges[Below(static_cast<int64_t>(edges.size()))] + Below(3) - 1;
    return std::clamp<int64_t>(length, 1, info.max_tokens);
  }

  RandomText Draw() {
    const ModelInfo& info = model_->info();
    RandomText text;
    const int64_t n = RandomLength();
    for (int64_t i = 0; i < n; ++i) {
      const auto id = static_cast<int32_t>(Below(info.vocab_size));
      text.ids.push_back(id == info.pad_token_id ? (id + 1) % static_cast<int32_t>(info.vocab_size)
                                                 : id);
    }
    if (Below(3) == 0) {
      for (int64_t i = 0; i < n; ++i) text.mask.push_back(i == 0 || Below(5) != 0);
    }
    // Of so many tokens one is global, on average; 1 = every token, 0 = none.
    const int64_t one_in = info.supports_global_attention ? 1 + Below(30) : 0;
    for (int32_t i = 0; i < n && one_in > 0 && Below(4) != 0; ++i) {
      if (Below(one_in) == 0) text.globals.push_back(i);
    }
    if (info.supports_hashing && Below(2) == 0)
      text.lsh = {.num_hashes = 1 + static_cast<int32_t>(Below(8)), .hash_seed = Below(3)};
    return text;
  }

  at::Tensor Alone(const RandomText& text) const {
    TokenBatch batch;
    batch.Add(text.view());
    const auto states = model_->Forward(batch, {});
    EXPECT_TRUE(states.ok()) << states.status();
    return states->Rows(0, 0, batch.length(0)).contiguous();
  }

  void ExpectRows(const HiddenStates& states, const TokenBatch& batch, int32_t text,
                  const RandomText& want) const {
    const at::Tensor rows = states.Rows(text, 0, batch.length(text)), alone = Alone(want);
    const float error = MaxError(rows.contiguous(), alone);
    EXPECT_LE(error, std::get<1>(GetParam()).on_backend ? InABatchOnABackend(model_->info())
                                                        : InABatchTolerance(model_->info()))
        << "text " << text << " of " << want.ids.size() << " tokens, " << want.globals.size()
        << " globals" << (want.mask.empty() ? "" : ", with holes");
  }

  std::unique_ptr<EncoderModel> model_;
  std::mt19937 random_{2024};
};

TEST_P(BatchMixesTest, InABatch_EqualsAlone_ForRandomMixes) {
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    std::vector<RandomText> texts;
    TokenBatch batch;
    for (int64_t i = 2 + Below(9); i > 0; --i) {
      // One time in four the same text again, so that equal lengths stand together too.
      texts.push_back(texts.empty() || Below(4) != 0 ? Draw() : texts.back());
      batch.Add(texts.back().view());
    }
    const auto states = model_->Forward(batch, {});
    ASSERT_TRUE(states.ok()) << states.status();
    for (int32_t text = 0; text < batch.num_texts(); ++text)
      ExpectRows(*states, batch, text, texts[text]);
  }
}

// There are so many rows here that each thread takes whole blocks of them (row_blocks.h).
TEST_P(BatchMixesTest, ManyShortTexts_EqualAlone) {
  std::vector<RandomText> texts;
  TokenBatch batch;
  while (batch.num_texts() < 400 && batch.cu_seqlens().back() < 3000) {
    texts.push_back(Draw());
    if (texts.back().ids.size() > 500) texts.back().ids.resize(1 + Below(500));
    if (!texts.back().mask.empty()) texts.back().mask.resize(texts.back().ids.size());
    texts.back().globals.clear();
    batch.Add(texts.back().view());
  }
  const auto states = model_->Forward(batch, {});
  ASSERT_TRUE(states.ok()) << states.status();
  for (int32_t text = 0; text < batch.num_texts(); text += 1 + batch.num_texts() / 40)
    ExpectRows(*states, batch, text, texts[text]);
}

TEST_P(BatchMixesTest, WhoStays_EqualsAlone_WhenOthersLeaveBetweenLayers) {
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    std::vector<RandomText> texts;
    TokenBatch batch;
    std::vector<int64_t> leaves;  // before which layer a text is dropped; beyond the last: stays
    const auto num_layers = static_cast<int64_t>(model_->info().layers.size());
    for (int64_t i = 0; i < 6; ++i) {
      texts.push_back(Draw());
      batch.Add(texts.back().view());
      leaves.push_back(i == 0 ? num_layers : Below(num_layers + 2));
    }
    int64_t layer = 0;
    ForwardOptions options;
    options.observe_layer = [&](int done, const at::Tensor&) { layer = done; };
    options.is_dropped = [&](int32_t text) { return leaves[text] <= layer; };
    const auto states = model_->Forward(batch, options);
    ASSERT_TRUE(states.ok()) << states.status();
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      if (leaves[text] >= num_layers) ExpectRows(*states, batch, text, texts[text]);
    }
  }
}

std::string Name(const testing::TestParamInfo<std::tuple<std::string, Where>>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param).name();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    AllFamilies, BatchMixesTest,
    testing::Combine(testing::Values("longformer-windows", "longformer-mlm", "longformer-long",
                                     "bert", "roberta", "led", "modernbert", "bigbird",
                                     "reformer-local", "reformer-lsh", "reformer-mixed",
                                     "reformer-causal", "reformer-auto"),
                     testing::Values(Where{DataType::kFloat32})),
    Name);

INSTANTIATE_TEST_SUITE_P(
    PortableBackend, BatchMixesTest,
    testing::Combine(testing::Values("longformer-windows", "longformer-mlm", "longformer-long",
                                     "bert", "roberta", "led", "modernbert", "bigbird",
                                     "reformer-local", "reformer-lsh", "reformer-mixed",
                                     "reformer-causal", "reformer-auto"),
                     testing::Values(Where{DataType::kFloat32, /*on_backend=*/true})),
    Name);

// LSH layers are left out in int8: the last bit of a float32 sum, which depends on how rows are cut
// into blocks, decides between two steps of 8 bits, and in the next LSH layer those may be two
// buckets (docs/exactness.md).
INSTANTIATE_TEST_SUITE_P(Int8, BatchMixesTest,
                         testing::Combine(testing::Values("longformer-windows", "longformer-mlm",
                                                          "longformer-long", "bert", "roberta",
                                                          "led", "modernbert", "bigbird",
                                                          "reformer-local"),
                                          testing::Values(Where{DataType::kInt8})),
                         Name);

}  // namespace
}  // namespace longspan
