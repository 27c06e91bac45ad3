// Compares what is drawn with what attention does: a token is changed, and the rows that change
// must be those that see it.
#include "core/tools/attention_pattern.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/attention/lsh_attention.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "core/tools/pattern_panel.h"
#include "core/tools/pattern_recorder.h"
#include "core/weights/safetensors_reader.h"
#include "tests/golden/formula_checkpoint.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using Matrix = std::vector<std::vector<bool>>;

fs::path Fixture(const std::string& name) { return fs::path(LONGSPAN_FIXTURES) / name; }

// A fixture whose queries are zero. Every key that is seen then gets the same weight, so that none
// is too small to notice.
class EvenAttention {
 public:
  explicit EvenAttention(const std::string& fixture) {
    fs::copy(Fixture(fixture) / "config.json", fs::path(folder_.path()) / "config.json");
    const auto reader = SafetensorsReader::Open((Fixture(fixture) / "model.safetensors").string());
    EXPECT_TRUE(reader.ok()) << reader.status();
    auto tensors = (*reader)->tensors();
    std::map<std::string, std::vector<std::byte>> changed;
    for (auto& [name, tensor] : tensors) {
      const bool query = name.find(".query.") != std::string::npos ||
                         name.find(".query_global.") != std::string::npos;
      const bool packed = name.find(".Wqkv.") != std::string::npos;
      if (!query && !packed) continue;
      std::vector<std::byte>& bytes = changed[name];
      bytes.assign(tensor.data.begin(), tensor.data.end());
      std::fill_n(bytes.begin(), packed ? bytes.size() / 3 : bytes.size(), std::byte{0});
      tensor.data = bytes;
    }
    EXPECT_FALSE(changed.empty());
    EXPECT_TRUE(WriteSafetensors(folder_.path() + "/model.safetensors", tensors).ok());
  }
  const std::string& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

// The rows of one text after each layer, the embeddings first: layers + 1 of [tokens, width].
std::vector<at::Tensor> LayerOutputs(const EncoderModel& model, const std::vector<int32_t>& ids,
                                     const std::vector<int32_t>& globals) {
  std::vector<at::Tensor> outputs;
  ForwardOptions options;
  options.observe_layer = [&](int, const at::Tensor& hidden) { outputs.push_back(hidden.clone()); };
  TokenBatch batch;
  batch.Add({.token_ids = ids, .global_positions = globals});
  const c10::InferenceMode inference;
  EXPECT_TRUE(model.Forward(batch, options).ok());
  return outputs;
}

bool RowDiffers(const at::Tensor& a, const at::Tensor& b, int64_t row) {
  const at::Tensor x = a.select(0, row).contiguous(), y = b.select(0, row).contiguous();
  return std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) != 0;
}

std::vector<int32_t> Ids(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(3 + (i * 11 + i * i) % (vocab_size - 5)));
  return ids;
}

// Which rows depend on which tokens after one more layer: those of all rows that a row sees, and
// its own.
Matrix Compose(const AttentionPattern& sees, const Matrix& before) {
  const auto n = static_cast<size_t>(sees.rows());
  Matrix after = before;
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      if (!sees.sees(i, k)) continue;
      for (size_t j = 0; j < n; ++j) after[i][j] = after[i][j] || before[k][j];
    }
  }
  return after;
}

struct ModelCase {
  std::string fixture;
  int64_t tokens;
  std::vector<int32_t> globals;
};

class PatternOfModelTest : public ::testing::TestWithParam<ModelCase> {};

TEST_P(PatternOfModelTest, TheRowsThatSeeATokenAreThoseThatChangeWithIt) {
  const ModelCase& param = GetParam();
  const EvenAttention model_folder(param.fixture);
  const auto folder = ModelFolder::Open(model_folder.path());
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelInfo& info = (*model)->info();
  std::vector<int32_t> ids = Ids(param.tokens, info.vocab_size);
  const std::vector<at::Tensor> base = LayerOutputs(**model, ids, param.globals);

  std::vector<std::vector<at::Tensor>> changed;  // by token
  for (int64_t token = 0; token < param.tokens; ++token) {
    std::vector<int32_t> other = ids;
    other[token] = other[token] + 1;
    changed.push_back(LayerOutputs(**model, other, param.globals));
  }
  Matrix depends(param.tokens, std::vector<bool>(param.tokens, false));
  for (int64_t i = 0; i < param.tokens; ++i) depends[i][i] = true;
  for (int layer = 0; layer < static_cast<int>(info.layers.size()); ++layer) {
    PatternRequest request{
        .model_dir = model_folder.path(), .tokens = param.tokens, .layer = layer};
    if (info.supports_global_attention) request.globals = param.globals;
    const auto recorded = RecordPatterns(request);
    ASSERT_TRUE(recorded.ok()) << recorded.status();
    // Another token gives another order here. PatternOfReformer is about these layers.
    if (info.layers[layer].kind == AttentionKind::kLsh) break;
    depends = Compose(recorded->layers[0].pattern, depends);
    for (int64_t i = 0; i < param.tokens; ++i) {
      for (int64_t j = 0; j < param.tokens; ++j) {
        ASSERT_EQ(RowDiffers(base[layer + 1], changed[j][layer + 1], i), depends[i][j])
            << param.fixture << " layer " << layer << " query " << i << " key " << j;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Fixtures, PatternOfModelTest,
    ::testing::Values(ModelCase{"longformer-windows", 50, {}},
                      ModelCase{"longformer-windows", 50, {0, 8, 49}}, ModelCase{"led", 40, {3}},
                      ModelCase{"modernbert", 40, {}}, ModelCase{"bert", 20, {}},
                      ModelCase{"bigbird", 62, {}}, ModelCase{"bigbird", 40, {}},
                      ModelCase{"reformer-local", 50, {}}, ModelCase{"reformer-local", 5, {}},
                      ModelCase{"reformer-local", 12, {}}, ModelCase{"reformer-causal", 44, {}},
                      ModelCase{"reformer-mixed", 44, {}}),
    [](const auto& info) {
      std::string name = info.param.fixture + "_" + std::to_string(info.param.tokens) + "_" +
                         std::to_string(info.param.globals.size());
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// Drives one head of LSH attention over one text, as a layer does. The values are unit vectors, so
// that column j of the result is the weight of key j.
class LshProbe {
 public:
  LshProbe(const ChunkShape& shape, int length, int num_hashes, std::span<const uint8_t> mask,
           uint32_t seed)
      : length_(length), rotations_(DrawLshRotations(seed, 1, kWidth, num_hashes, {4, 6})) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.6f);
    for (int i = 0; i < length * kWidth; ++i) qk_.push_back(normal(random));
    const bool hashed = length > shape.chunk_length;
    attention_.emplace(
        shape, at::kFloat, kWidth, 1,
        std::vector<LshAttention::Text>{{{0, length}, hashed ? &rotations_ : nullptr}}, mask,
        length);
    TakeValues(0);
    attention_->Sort(1);
  }
  const LshAttention& attention() const { return *attention_; }

  // The weights of the keys, [length, length]; rows are queries.
  std::vector<float> Weights() {
    std::vector<float> weights(length_ * length_);
    for (int first = 0; first < length_; first += kWidth) {
      TakeValues(first);
      const std::vector<float> out = Attend();
      for (int i = 0; i < length_; ++i) {
        for (int j = first; j < std::min(length_, first + kWidth); ++j)
          weights[i * length_ + j] = out[i * kWidth + j - first];
      }
    }
    return weights;
  }

 private:
  static constexpr int kWidth = 8;

  void TakeValues(int first) {
    const at::Tensor qk = at::from_blob(qk_.data(), {length_, kWidth}, at::kFloat).clone();
    const at::Tensor v = at::zeros_like(qk);
    for (int i = first; i < std::min(length_, first + kWidth); ++i)
      v.mutable_data_ptr<float>()[i * kWidth + i - first] = 1.0f;
    attention_->Take(0, 0, 0, qk, v);  // hashes again, to the same buckets
  }

  std::vector<float> Attend() {
    std::vector<float> sum(length_ * kWidth), maximum(length_), weight(length_);
    const kernels::LshMergeState state{sum.data(), maximum.data(), weight.data(), kWidth};
    for (int32_t round = 0; round < attention_->num_rounds(); ++round) {
      for (const LshAttention::Block& block : attention_->blocks(round)) {
        at::Tensor part = at::empty({block.num_slots, kWidth}, at::kFloat);
        std::vector<float> lse(block.num_slots);
        attention_->Attend(0, block, part, lse.data());
        kernels::LshMergeRound(state, part.const_data_ptr<float>(), lse.data(),
                               attention_->row_begin(block), attention_->slots(0, block),
                               block.num_slots, round == 0);
      }
    }
    kernels::LshMergeFinish(state, 0, length_);
    return sum;
  }

  int length_;
  LshRotations rotations_;
  std::vector<float> qk_;
  std::optional<LshAttention> attention_;
};

TEST(PatternOfLshAttention, TheKeysThatARowSeesAreThoseWhoseValuesItTakes) {
  uint32_t seed = 1;
  for (int rounds : {1, 2, 3}) {
    for (const ChunkShape& shape :
         {ChunkShape{4, 1, 0, false}, ChunkShape{4, 1, 0, true}, ChunkShape{8, 0, 0, true},
          ChunkShape{4, 1, 1, false}, ChunkShape{16, 2, 0, false}}) {
      for (int length : {1, 4, 32, 48}) {
        if (length > shape.chunk_length && length % shape.chunk_length != 0) continue;
        for (bool with_mask : {false, true}) {
          std::vector<uint8_t> mask(length, 1);
          for (int i = 0; i < length; ++i) mask[i] = i % 5 != 3;
          LshProbe probe(shape, length, rounds,
                         with_mask ? std::span<const uint8_t>(mask) : std::span<const uint8_t>(),
                         ++seed);
          PatternRecorder recorder(length, {true}, /*head=*/0);
          probe.attention().Observe(0, 0, recorder);
          const PatternRecorder::Layer layer = recorder.TakeLayer(0);
          const std::vector<float> weights = probe.Weights();
          for (int i = 0; i < length; ++i) {
            for (int j = 0; j < length; ++j) {
              ASSERT_EQ(weights[i * length + j] > 0, layer.pattern.sees(i, j))
                  << "query " << i << " key " << j << " of " << length << " chunk "
                  << shape.chunk_length << " causal " << shape.causal << " rounds " << rounds
                  << " mask " << with_mask << " weight " << weights[i * length + j];
            }
          }
        }
      }
    }
  }
}

// The sorted picture is the same pattern with its rows and columns in another order, and with its
// cells spread over the rounds.
TEST(PatternOfLshAttention, SortedOrderHoldsTheSamePairs) {
  LshProbe probe({4, 1, 0, false}, 40, 3, {}, 7);
  PatternRecorder recorder(40, {true}, 0);
  probe.attention().Observe(0, 0, recorder);
  const PatternRecorder::Layer layer = recorder.TakeLayer(0);
  ASSERT_TRUE(layer.sorting.has_value());
  const LshSorting& sorting = *layer.sorting;
  ASSERT_EQ(sorting.pattern.rows(), 120);
  Matrix seen(40, std::vector<bool>(40, false));
  for (int i = 0; i < 120; ++i) {
    EXPECT_TRUE(i % 40 == 0 || sorting.buckets[i] >= sorting.buckets[i - 1])
        << "slots of a round are sorted by bucket";
    for (int j = 0; j < 120; ++j) {
      if (!sorting.pattern.sees(i, j)) continue;
      seen[sorting.slots[i]][sorting.slots[j]] = true;
      const bool same_bucket = i / 40 == j / 40 && sorting.buckets[i] == sorting.buckets[j];
      EXPECT_EQ(sorting.pattern.sight(i, j), same_bucket ? Sight::kNear : Sight::kBeside);
    }
  }
  for (int i = 0; i < 40; ++i) {
    for (int j = 0; j < 40; ++j) EXPECT_EQ(seen[i][j], layer.pattern.sees(i, j)) << i << " " << j;
  }
}

// In the model itself a token is exchanged for one that hashes to the same buckets. The order then
// stays, and only rows that see the token in some head may change.
TEST(PatternOfReformer, OnlyRowsThatSeeATokenChangeWithIt) {
  const std::string path = Fixture("reformer-lsh").string();
  const auto folder = ModelFolder::Open(path);
  ASSERT_TRUE(folder.ok());
  const auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  ASSERT_TRUE(model.ok());
  constexpr int kTokens = 48;
  const auto record = [&](const std::vector<int32_t>& ids) {
    std::vector<PatternRecorder::Layer> heads;
    for (int head = 0; head < 2; ++head) {
      PatternRecorder recorder(kTokens, {true, false}, head);
      ForwardOptions options;
      options.observe_attention = &recorder;
      options.observe_layer = [&](int layer, const at::Tensor&) {
        layer > 0 ? recorder.NextLayer() : void();
      };
      TokenBatch batch;
      batch.Add({.token_ids = ids});
      const c10::InferenceMode inference;
      EXPECT_TRUE((*model)->Forward(batch, options).ok());
      heads.push_back(recorder.TakeLayer(0));
    }
    return heads;
  };
  const std::vector<int32_t> ids = Ids(kTokens, 60);
  const auto base_heads = record(ids);
  const at::Tensor base = LayerOutputs(**model, ids, {})[1];
  int exchanged = 0, changed = 0;
  for (int token = 0; token < kTokens; ++token) {
    for (int32_t id = 1; id < 60; ++id) {
      std::vector<int32_t> other = ids;
      other[token] = id;
      if (id == ids[token]) continue;
      const auto heads = record(other);
      if (heads[0].sorting->slots != base_heads[0].sorting->slots ||
          heads[1].sorting->slots != base_heads[1].sorting->slots)
        continue;
      ++exchanged;
      const at::Tensor hidden = LayerOutputs(**model, other, {})[1];
      for (int row = 0; row < kTokens; ++row) {
        const bool sees = row == token || base_heads[0].pattern.sees(row, token) ||
                          base_heads[1].pattern.sees(row, token);
        const bool differs = RowDiffers(base, hidden, row);
        ASSERT_TRUE(sees || !differs) << "row " << row << " does not see token " << token;
        changed += differs && row != token;
      }
      break;
    }
  }
  EXPECT_GE(exchanged, 10);
  EXPECT_GE(changed, 5 * exchanged) << "tokens are seen by others";
}

TEST(RecordPatterns, KeysOfBlockZeroCountAsOftenAsThePublishedModelCountsThem) {
  const auto recorded = RecordPatterns({.model_dir = Fixture("bigbird").string(), .tokens = 64});
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  ASSERT_EQ(recorded->layers.size(), 1u);
  EXPECT_EQ(recorded->layers[0].layers, (std::vector<int>{0, 1}));
  const AttentionPattern& pattern = recorded->layers[0].pattern;
  EXPECT_EQ(pattern.times(20, 2), 4);
  EXPECT_EQ(pattern.sight(20, 2), Sight::kGlobalKey);
  EXPECT_EQ(pattern.times(20, 62), 1);
  EXPECT_EQ(pattern.sight(20, 62), Sight::kGlobalKey);
  EXPECT_EQ(pattern.sight(20, 24), Sight::kNear);
  EXPECT_EQ(pattern.sight(20, 28), Sight::kHidden);
  EXPECT_EQ(pattern.times(2, 2), 1);
  EXPECT_EQ(pattern.sight(2, 40), Sight::kGlobalQuery);
}

TEST(RecordPatterns, ConvertedModelIsDenseUpToItsBoundAndWindowedAbove) {
  const auto dense = RecordPatterns({.model_dir = LONGSPAN_EMBEDDED_MODEL, .tokens = 512});
  const auto windowed = RecordPatterns({.model_dir = LONGSPAN_EMBEDDED_MODEL, .tokens = 513});
  ASSERT_TRUE(dense.ok() && windowed.ok()) << dense.status() << windowed.status();
  EXPECT_EQ(dense->layers[0].pattern.sight(511, 0), Sight::kNear);
  EXPECT_EQ(dense->layers[0].pattern.sight(511, 1), Sight::kNear);
  EXPECT_EQ(windowed->globals, (std::vector<int32_t>{0}));
  EXPECT_EQ(windowed->layers[0].pattern.sight(511, 0), Sight::kGlobalKey);
  EXPECT_EQ(windowed->layers[0].pattern.sight(511, 511 - 128), Sight::kNear);
  EXPECT_EQ(windowed->layers[0].pattern.sight(511, 511 - 129), Sight::kHidden);
  EXPECT_EQ(windowed->layers[0].pattern.sight(0, 512), Sight::kGlobalQuery);
  EXPECT_THAT(MakePanels(*dense)[0].words,
              ::testing::Contains(HasSubstr("texts up to 512 tokens")));
  EXPECT_THAT(MakePanels(*windowed)[0].words,
              ::testing::Contains(HasSubstr("128 tokens on each side")));
}

TEST(RecordPatterns, AnLshLayerHasTwoPanelsAndEachKindOfLayerOne) {
  const auto recorded =
      RecordPatterns({.model_dir = Fixture("reformer-mixed").string(), .tokens = 48});
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  const std::vector<PatternPanel> panels = MakePanels(*recorded);
  ASSERT_EQ(panels.size(), 3u);
  EXPECT_THAT(panels[0].title, HasSubstr("local chunks, layers 0, 2"));
  EXPECT_THAT(panels[1].title, HasSubstr("LSH, text order, layers 1, 3"));
  EXPECT_THAT(panels[2].title, HasSubstr("LSH, sorted"));
  EXPECT_EQ(panels[2].pattern->rows(), 3 * 48);
}

// The rectangles cover the matrix cell by cell.
TEST(CellRuns, CoverTheCellsThatAreSeenAndNoOther) {
  for (const std::string fixture : {"bigbird", "longformer-windows", "reformer-mixed"}) {
    const auto recorded = RecordPatterns({.model_dir = Fixture(fixture).string(), .tokens = 61});
    ASSERT_TRUE(recorded.ok()) << recorded.status();
    for (const PatternPanel& panel : MakePanels(*recorded)) {
      const int64_t n = panel.pattern->rows();
      std::vector<int> covered(n * n);
      for (const auto& [color, runs] : CellRuns(panel)) {
        for (const Drawing::Cells::Run& run : runs) {
          for (int64_t row = run.row; row < run.row + run.rows; ++row) {
            for (int64_t column = run.column; column < run.column + run.columns; ++column) {
              ++covered[row * n + column];
              const SightStyle& style = StyleOf(panel.pattern->sight(row, column));
              EXPECT_TRUE(color == style.color || color == style.often);
            }
          }
        }
      }
      for (int64_t row = 0; row < n; ++row) {
        for (int64_t column = 0; column < n; ++column) {
          ASSERT_EQ(covered[row * n + column],
                    panel.pattern->sight(row, column) == Sight::kHidden ? 0 : 1)
              << panel.title;
        }
      }
    }
  }
}

TEST(RecordPatterns, TextIsReadByTheModelsTokenizer) {
  const TemporaryFolder folder;
  folder.WriteText("text.txt", "This is an example sentence");
  const std::string text = folder.path() + "/text.txt";
  const auto recorded = RecordPatterns({.model_dir = LONGSPAN_EMBEDDED_MODEL, .text_file = text});
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  EXPECT_THAT(recorded->token_texts,
              ::testing::ElementsAre("[CLS]", "this", "is", "an", "example", "sentence", "[SEP]"));
  const auto first =
      RecordPatterns({.model_dir = LONGSPAN_EMBEDDED_MODEL, .tokens = 3, .text_file = text});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->tokens, 3);
}

TEST(RecordPatterns, ErrorsSayWhatGotAndAllowed) {
  const std::string longformer = Fixture("longformer-windows").string();
  const auto message = [](const PatternRequest& request) {
    return std::string(RecordPatterns(request).status().message());
  };
  EXPECT_EQ(message({.model_dir = longformer, .tokens = 102}), "tokens is 102; allowed: 1 to 101");
  EXPECT_EQ(message({.model_dir = longformer, .tokens = 0}), "tokens is 0; allowed: 1 to 101");
  EXPECT_EQ(message({.model_dir = LONGSPAN_EMBEDDED_MODEL, .tokens = 5000}),
            "tokens is 5000; allowed: 1 to 4096");
  EXPECT_EQ(message({.model_dir = longformer, .tokens = 20, .globals = {{3, 20}}}),
            "global is 20; allowed: 0 to 19");
  EXPECT_EQ(message({.model_dir = longformer, .layer = 3}), "layer is 3; allowed: 0 to 2");
  EXPECT_EQ(message({.model_dir = longformer, .head = 2}), "head is 2; allowed: 0 to 1");
  EXPECT_EQ(message({.model_dir = Fixture("reformer-lsh").string(), .num_hashes = 9}),
            "num-hashes is 9; allowed: 1 to 8");
  EXPECT_THAT(message({.model_dir = longformer, .num_hashes = 2}),
              HasSubstr("longformer has no hash rounds"));
  EXPECT_THAT(message({.model_dir = Fixture("bert").string(), .globals = {{0}}}),
              HasSubstr("bert has no global attention"));
  EXPECT_THAT(message({.model_dir = longformer, .text_file = "/nowhere.txt"}),
              HasSubstr("/nowhere.txt cannot be read"));
  EXPECT_THAT(message({.model_dir = longformer, .text_file = LONGSPAN_SOURCE_DIR "/LICENSE"}),
              HasSubstr("has no tokenizer"));
  EXPECT_THAT(message({.model_dir = LONGSPAN_EMBEDDED_MODEL, .text_file = "/"}),
              HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace longspan
