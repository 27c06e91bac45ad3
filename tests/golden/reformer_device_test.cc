// A Reformer on a backend: it gives what the CPU gives, whatever mix of texts it gets; what is
// uploaded when; which texts run together; and what is hashed.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/record_function.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "core/attention/attention_observer.h"
#include "core/models/reformer/hashing.h"
#include "tests/golden/mixed_reformer_text.h"
#include "tests/golden/placements.h"
#include "tests/golden/reformer_checkpoint.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Counts what it is asked for, and keeps what it was last asked to sort.
class WatchedBackend : public PortableBackend {
 public:
  WatchedBackend() : PortableBackend(at::Device(at::kCPU)) {}
  at::Tensor CopyToDevice(const at::Tensor& host) const override {
    ++uploads;
    return PortableBackend::CopyToDevice(host);
  }
  void PrepareChunks(ChunkRun& run) const override { ++prepared; }
  at::Tensor SortByBucket(const at::Tensor& exact, const ChunkRun& run) const override {
    last_sorted = exact.clone();
    sorted_rows.push_back(run.num_rows());
    return PortableBackend::SortByBucket(exact, run);
  }

  mutable int uploads = 0, prepared = 0;
  mutable at::Tensor last_sorted;
  mutable std::vector<int64_t> sorted_rows;  // of each call
};

nlohmann::json With(const nlohmann::json& changes) {
  nlohmann::json config = ReformerConfigJson();
  config.update(changes);
  return config;
}

TokenBatch BatchOf(const std::vector<MixedText>& texts) {
  TokenBatch batch;
  for (const MixedText& text : texts) batch.Add(text.view());
  return batch;
}

std::vector<float> RowsOf(const HiddenStates& states, const TokenBatch& batch, int32_t text) {
  const at::Tensor rows = states.Rows(text, 0, batch.length(text)).contiguous();
  return {rows.const_data_ptr<float>(), rows.const_data_ptr<float>() + rows.numel()};
}

double Difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(a[i] - b[i]);
    if (!(error <= worst)) worst = std::isnan(error) ? 1e9 : error;
  }
  return worst;
}

// Configs that bend each rule: one-sided and two-sided chunks, causal, factors and buckets by
// length, one kind of layer, chunk lengths that do not divide each other, a plain table of
// positions, either order of the axial ones.
const std::vector<nlohmann::json>& Configs() {
  static const std::vector<nlohmann::json> configs = {
      {{"num_hashes", 1}},
      {{"is_decoder", true}, {"num_buckets", nullptr}, {"num_hashes", 4}},
      {{"local_num_chunks_after", 1}, {"lsh_num_chunks_before", 2}, {"lsh_num_chunks_after", 1}},
      {{"num_buckets", {4, 6, 2}}, {"axial_pos_shape", {4, 16}}},
      {{"attn_layers", {"lsh", "lsh"}}, {"axial_pos_order", "column_major"}},
      {{"attn_layers", {"local", "local"}}, {"axial_pos_embds", false}},
      {{"lsh_attn_chunk_length", 6}, {"hidden_act", "gelu"}, {"num_buckets", nullptr}},
      {{"axial_pos_shape", {16, 8}}, {"axial_pos_order", "column_major"}},
  };
  return configs;
}

TEST(ReformerOnABackend, EqualsTheCpu_ForRandomMixes) {
  std::mt19937 random(17);
  for (const nlohmann::json& changes : Configs()) {
    SCOPED_TRACE(changes.dump());
    const WatchedBackend backend;
    const auto on_cpu = FormulaReformer(With(changes));
    const auto on_backend = FormulaReformer(With(changes), {DataType::kFloat32, &backend});
    ASSERT_TRUE(on_cpu && on_backend);
    for (int round = 0; round < 8; ++round) {
      std::vector<MixedText> texts;
      for (size_t i = 0; i < 1 + random() % 7; ++i)
        texts.push_back(RandomText(random, static_cast<int>(on_cpu->info().max_tokens)));
      const TokenBatch batch = BatchOf(texts);
      const auto got = on_backend->Forward(batch, {}), want = on_cpu->Forward(batch, {});
      ASSERT_TRUE(got.ok() && want.ok()) << got.status() << want.status();
      for (int32_t text = 0; text < batch.num_texts(); ++text) {
        EXPECT_LT(Difference(RowsOf(*got, batch, text), RowsOf(*want, batch, text)), 5e-5)
            << "text " << text << " of " << texts.size();
      }
    }
  }
}

TEST(ReformerOnABackend, ObservedLayers_AreThoseOfTheCpu_InTheOrderOfTheBatch) {
  const WatchedBackend backend;
  const auto on_cpu = FormulaReformer(With({{"num_buckets", nullptr}}));
  const auto on_backend =
      FormulaReformer(With({{"num_buckets", nullptr}}), {DataType::kFloat32, &backend});
  const TokenBatch batch = BatchOf({{FormulaIds(0, 50, 1, 40)},
                                    {FormulaIds(1, 3, 1, 40)},
                                    {FormulaIds(2, 17, 1, 40)},
                                    {FormulaIds(3, 60, 1, 40)}});
  const auto layers_of = [&](const EncoderModel& model) {
    std::vector<std::vector<float>> layers;
    TokenVectors(model, batch, 0, {.observe_layer = [&](int, const at::Tensor& hidden) {
                   const at::Tensor dense = hidden.contiguous();
                   layers.emplace_back(dense.const_data_ptr<float>(),
                                       dense.const_data_ptr<float>() + dense.numel());
                 }});
    return layers;
  };
  const auto want = layers_of(*on_cpu), got = layers_of(*on_backend);
  ASSERT_EQ(got.size(), 5u);
  ASSERT_EQ(want.size(), 5u);
  for (size_t layer = 0; layer < 5; ++layer)
    EXPECT_LT(Difference(got[layer], want[layer]), 5e-5) << "layer " << layer;
}

// What the layers read is there before the first one, for both kinds of them.
TEST(ReformerOnABackend, LayersUploadNothing_ThatTheFirstHasNotUploaded) {
  const WatchedBackend backend;
  const auto model = FormulaReformer(ReformerConfigJson(), {DataType::kFloat32, &backend});
  const TokenBatch batch =
      BatchOf({{FormulaIds(0, 50, 1, 40)}, {FormulaIds(1, 3, 1, 40)}, {FormulaIds(2, 33, 1, 40)}});
  std::vector<int> uploads, prepared;
  ASSERT_TRUE(model
                  ->Forward(batch, {.observe_layer =
                                        [&](int, const at::Tensor&) {
                                          uploads.push_back(backend.uploads);
                                          prepared.push_back(backend.prepared);
                                        }})
                  .ok());
  EXPECT_GT(uploads[1], uploads[0]) << "what the layers read";
  EXPECT_THAT(uploads, ElementsAre(uploads[0], uploads[1], uploads[1], uploads[1], uploads[1]));
  EXPECT_THAT(prepared, ElementsAre(0, 2, 2, 2, 2)) << "a run of each kind";
}

// The names of LibTorch's operators that this thread calls while it lives.
class CalledOperators {
 public:
  CalledOperators() {
    names_.clear();
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& call)
                                       -> std::unique_ptr<at::ObserverContext> {
          names_.insert(call.name());
          return nullptr;
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~CalledOperators() { at::removeCallback(handle_); }
  CalledOperators(const CalledOperators&) = delete;
  CalledOperators& operator=(const CalledOperators&) = delete;
  const std::set<std::string>& names() const { return names_; }

 private:
  static inline std::set<std::string> names_;
  at::CallbackHandle handle_ = 0;
};

// On a card each of these copies something to the host, and waits for all that was asked before.
TEST(ReformerOnABackend, APass_ReadsNothingBack) {
  const WatchedBackend backend;
  const auto model =
      FormulaReformer(With({{"is_decoder", true}, {"num_buckets", nullptr}, {"num_hashes", 2}}),
                      {DataType::kBFloat16, &backend});
  std::vector<MixedText> texts = {{FormulaIds(0, 50, 1, 40), std::vector<uint8_t>(50, 1)},
                                  {FormulaIds(1, 3, 1, 40)},
                                  {FormulaIds(2, 33, 1, 40)}};
  texts[0].mask[7] = 0;
  const CalledOperators called;
  int layer = 0;
  ASSERT_TRUE(model
                  ->Forward(BatchOf(texts),
                            {.is_dropped = [&](int32_t text) { return text == 2 && layer >= 2; },
                             .observe_layer = [&](int done, const at::Tensor&) { layer = done; }})
                  .ok());
  EXPECT_TRUE(called.names().contains("aten::sort")) << "they must be seen";
  EXPECT_TRUE(called.names().contains("aten::logsumexp"));
  for (const char* name :
       {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal",
        "aten::nonzero", "aten::masked_select", "aten::repeat_interleave", "aten::_unique2",
        "aten::bincount", "aten::allclose"}) {
    EXPECT_FALSE(called.names().contains(name)) << name;
  }
}

TEST(ReformerOnABackend, RotationsAreKeptFromPassToPass) {
  const WatchedBackend backend;
  const auto model = FormulaReformer(ReformerConfigJson(), {DataType::kFloat32, &backend});
  const TokenBatch batch = BatchOf({{FormulaIds(0, 50, 1, 40)}});
  const auto uploads_of_a_pass = [&] {
    const int before = backend.uploads;
    EXPECT_TRUE(model->Forward(batch, {}).ok());
    return backend.uploads - before;
  };
  const int first = uploads_of_a_pass();
  EXPECT_EQ(uploads_of_a_pass(), first - 1);
}

// Texts of two lengths, and so of two numbers of buckets, in turn; one more of one chunk, and one
// with a seed of its own.
TEST(ReformerOnABackend, TextsThatAreHashedAlike_RunTogether) {
  const WatchedBackend backend;
  const nlohmann::json config = With({{"num_buckets", nullptr}, {"attn_layers", {"lsh"}}});
  const auto model = FormulaReformer(config, {DataType::kFloat32, &backend});
  std::vector<MixedText> texts;
  for (const int length : {60, 16, 58, 5, 15, 64, 16})
    texts.push_back({FormulaIds(length, length, 1, 40)});
  texts.back().lsh.hash_seed = 7;
  const TokenBatch batch = BatchOf(texts);
  const auto states = model->Forward(batch, {});
  ASSERT_TRUE(states.ok()) << states.status();
  // Ordered by seed: {4 buckets: 5, 16, 15 tokens}, {16 buckets: 60, 58, 64}, {seed 7: 16}.
  EXPECT_THAT(backend.sorted_rows, ElementsAre(5 + 16 + 16, 3 * 64, 16));
  EXPECT_THAT(
      (std::vector<int64_t>{states->text_begin(3), states->text_begin(1), states->text_begin(4),
                            states->text_begin(0), states->text_begin(2), states->text_begin(5),
                            states->text_begin(6)}),
      ElementsAre(0, 5, 21, 37, 101, 165, 229));
}

// With bfloat16 rows about one token in a hundred would change its bucket.
TEST(ReformerOnABackend, HashesFloat32Rows_InEveryType) {
  for (const DataType dtype : {DataType::kBFloat16, DataType::kFloat16, DataType::kInt8}) {
    const WatchedBackend exact_backend, backend;
    const nlohmann::json config = With({{"attn_layers", {"lsh"}}});
    const auto exact = FormulaReformer(config, {DataType::kFloat32, &exact_backend});
    const auto model = FormulaReformer(config, {dtype, &backend});
    const TokenBatch batch = BatchOf({{FormulaIds(0, 61, 1, 40)}});
    ASSERT_TRUE(exact->Forward(batch, {}).ok() && model->Forward(batch, {}).ok());
    EXPECT_EQ(backend.last_sorted.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(backend.last_sorted, exact_backend.last_sorted))
        << "nothing before the first hash is rounded";
  }
}

TEST(ReformerOnABackend, WhoStays_EqualsAlone_WhenOthersLeave) {
  const WatchedBackend backend;
  const auto model =
      FormulaReformer(With({{"num_buckets", nullptr}}), {DataType::kFloat32, &backend});
  std::mt19937 random(23);
  for (int round = 0; round < 10; ++round) {
    std::vector<MixedText> texts;
    for (int i = 0; i < 6; ++i) texts.push_back(RandomText(random, 64));
    const TokenBatch batch = BatchOf(texts);
    std::vector<int> leaves;  // before which layer; 4 = it stays
    for (int i = 0; i < 6; ++i) leaves.push_back(i == 2 ? 4 : static_cast<int>(random() % 6));
    int layer = 0;
    const ForwardOptions options = {
        .is_dropped = [&](int32_t text) { return leaves[text] <= layer; },
        .observe_layer =
            [&](int done, const at::Tensor& hidden) {
              layer = done;
              int64_t rows = 0;
              for (int32_t text = 0; text < batch.num_texts(); ++text)
                rows += done == 0 || leaves[text] >= done ? batch.length(text) : 0;
              EXPECT_EQ(hidden.size(0), rows) << "rows leave with their texts";
            }};
    const auto states = model->Forward(batch, options);
    ASSERT_TRUE(states.ok()) << states.status();
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      if (leaves[text] < 4) continue;
      const std::vector<float> alone = TokenVectors(*model, BatchOf({texts[text]}), 0);
      EXPECT_LT(Difference(RowsOf(*states, batch, text), alone), 2e-5) << text;
    }
  }
  const TokenBatch batch = BatchOf({{FormulaIds(0, 50, 1, 40)}});
  EXPECT_EQ(model->Forward(batch, {.is_dropped = [](int32_t) { return true; }}).status().code(),
            absl::StatusCode::kCancelled);
}

TEST(ReformerOnABackend, AttentionIsObservedOnTheCpuAlone) {
  class Nobody : public AttentionObserver {
    void OnRowTasks(std::span<const kernels::RowTask>, std::span<const uint8_t>) override {}
    void OnGlobalRows(std::span<const int64_t>, int64_t, int64_t,
                      std::span<const uint8_t>) override {}
    void OnLocalChunks(const kernels::ChunkAttentionParams&) override {}
    void OnLshChunks(int64_t, const kernels::ChunkAttentionParams&, const LshOrder*) override {}
  } nobody;
  const WatchedBackend backend;
  const auto model = FormulaReformer(ReformerConfigJson(), {DataType::kFloat32, &backend});
  const TokenBatch batch = BatchOf({{FormulaIds(0, 50, 1, 40)}});
  try {
    (void)model->Forward(batch, {.observe_attention = &nobody});
    FAIL() << "it must throw";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("attention is observed on the CPU alone"));
  }
}

TEST(ReformerOnABackend, WeightBytes_CountTheLinearLayersInTheStorageType) {
  const WatchedBackend backend;
  const auto full = FormulaReformer(ReformerConfigJson(), {DataType::kFloat32, &backend});
  const auto half = FormulaReformer(ReformerConfigJson(), {DataType::kBFloat16, &backend});
  EXPECT_EQ(full->info().weight_bytes, 4 * full->info().num_parameters);
  // Two local layers of four 16 x 16 matrices, two LSH layers of two, and 4 x 2 of 16 x 24.
  const int64_t linear = 2 * 4 * 256 + 2 * 2 * 256 + 4 * 2 * 384;
  EXPECT_EQ(half->info().weight_bytes, full->info().weight_bytes - 2 * linear);
}

ReformerConfig ParsedConfig(const nlohmann::json& changes) {
  const auto config = ParseReformerConfig(With(changes), "config.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

TEST(DeviceRotationCache, GivesWhatTheCpuDraws_AndDrawsItOnce) {
  const WatchedBackend backend;
  const ReformerConfig config = ParsedConfig(nlohmann::json::object());
  DeviceRotationCache cache(config, backend);
  const TextHashing hashing{.seed = 3, .num_rounds = 5, .factors = {4, 6}};
  const auto rotations = cache.For(hashing);
  ASSERT_EQ(rotations->values.sizes(), (std::vector<int64_t>{2, 8, 25}));
  EXPECT_TRUE(
      at::equal(rotations->values, DrawLshRotations(3, 2, 8, 5, {4, 6}).values.narrow(2, 0, 25)));
  EXPECT_EQ(cache.For(hashing), rotations);
  EXPECT_NE(cache.For({.seed = 4, .num_rounds = 5, .factors = {4, 6}}), rotations);
  EXPECT_EQ(backend.uploads, 2);
}

// A caller may ask for any seed: what is kept has a limit, and what was asked for last stays.
TEST(DeviceRotationCache, KeepsSoManyBytes_TheLastAskedFor) {
  const WatchedBackend backend;
  const ReformerConfig config = ParsedConfig(nlohmann::json::object());
  DeviceRotationCache cache(config, backend);
  // 2 heads of 8, 256 rounds of 1,024 columns: 16 MiB each, so four of them are kept.
  const auto hashing = [](uint64_t seed) {
    return TextHashing{.seed = seed, .num_rounds = 256, .factors = {2048}};
  };
  const auto first = cache.For(hashing(0));
  EXPECT_EQ(first->values.nbytes(), size_t{16} << 20);
  for (uint64_t seed = 1; seed < 4; ++seed) cache.For(hashing(seed));
  EXPECT_EQ(cache.num_kept(), 4);
  EXPECT_EQ(cache.For(hashing(0)), first);
  cache.For(hashing(4));  // 1 was asked for longest ago
  EXPECT_EQ(cache.num_kept(), 4);
  EXPECT_EQ(cache.For(hashing(0)), first);
  const int uploads = backend.uploads;
  cache.For(hashing(1));
  EXPECT_EQ(backend.uploads, uploads + 1);
}

}  // namespace
}  // namespace longspan
