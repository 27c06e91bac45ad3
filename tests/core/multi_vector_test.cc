// A multi-vector model from folder and token ids to token vectors, compared with values that are
// computed here from the hidden rows of the same model without its modules. The comparison with
// sentence-transformers is tests/parity/compare_multi_vector.py.
#include "core/multi_vector.h"

#include <cmath>
#include <map>
#include <vector>

#include "core/kernels/key_mask.h"
#include "tests/core/encoder_fixture.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Rows = std::map<int64_t, std::vector<float>>;  // by token

constexpr int32_t kCls = 2, kSep = 3, kMask = 4, kDot = 5;

class MultiVectorTest : public testing::Test {
 protected:
  MultiVectorTest() : checkpoint_(0.4, kBertNorms) {
    AddBertWeights(checkpoint_, {}, /*global_projections=*/false);
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\n";
    for (char c = 'a'; c <= 'z'; ++c) vocabulary += std::string(1, c) + "\n";
    checkpoint_.folder().WriteText("vocab.txt", vocabulary);
    Write("modules.json",
          {Module("", "base.modules.transformer.Transformer"),
           Module("1_Dense", "base.modules.dense.Dense"),
           Module("2_Mask", "multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"),
           Module("3_Normalize", "base.modules.normalize.Normalize")});
    Write("config_sentence_transformers.json", {{"model_type", "MultiVectorEncoder"}});
    Write("1_Dense/config.json", {{"in_features", 24},
                                  {"out_features", 5},
                                  {"bias", false},
                                  {"activation_function", "torch.nn.modules.activation.Tanh"}});
    for (int i = 0; i < 5 * 24; ++i) weight_.push_back(std::sin(static_cast<float>(i)));
    const std::map<std::string, StoredTensor> dense = {
        {"linear.weight", {StoredType::kF32, {5, 24}, std::as_bytes(std::span(weight_))}}};
    EXPECT_TRUE(
        WriteSafetensors(checkpoint_.folder().path() + "/1_Dense/model.safetensors", dense).ok());
    Write("2_Mask/config.json", {{"skiplist_words", {".", "?"}}});  // "?" is no token
    Write("3_Normalize/config.json", {{"module_input_name", "token_embeddings"}});
    Expand("fixed", 12, false);
  }

  static nlohmann::json Module(const std::string& path, const std::string& type) {
    return {{"path", path}, {"name", path}, {"type", "sentence_transformers." + type}};
  }
  void Write(const std::string& name, const nlohmann::json& value) {
    checkpoint_.folder().WriteText(name, value.dump());
  }
  void Expand(const std::string& strategy, int64_t length, bool attend) {
    Write("sentence_bert_config.json",
          {{"query_expansion", {{"strategy", strategy}, {"length", length}, {"attend", attend}}}});
  }
  absl::StatusOr<std::unique_ptr<Encoder>> TryLoad(const std::string& model_type = "bert") {
    return Encoder::Load(checkpoint_.Write(BertConfigJson(model_type, {})), {});
  }
  std::unique_ptr<Encoder> Load() {
    auto encoder = TryLoad();
    EXPECT_TRUE(encoder.ok()) << encoder.status();
    return *std::move(encoder);
  }

  static Rows RowsOf(const Encoder& encoder, const std::vector<int32_t>& ids,
                     EncodeOptions options = {}, const std::vector<uint8_t>& mask = {}) {
    Rows rows;
    const int64_t width = encoder.info().token_dimensions;
    options.document_vector = false;
    options.token_sink = [&](int64_t first, int64_t count, const float* values) {
      for (int64_t i = 0; i < count; ++i)
        rows[first + i].assign(values + i * width, values + (i + 1) * width);
    };
    TokenBatch batch;
    batch.Add({.token_ids = ids, .attention_mask = mask});
    EXPECT_TRUE(encoder.Validate({.token_ids = ids, .attention_mask = mask}, options).ok());
    const auto results = encoder.Encode(batch, {&options, 1});
    EXPECT_TRUE(results[0].ok()) << results[0].status();
    return rows;
  }
  // The rows that the transformer alone gives.
  Rows HiddenRows(const std::vector<int32_t>& ids) {
    FormulaCheckpoint plain(0.4, kBertNorms);
    AddBertWeights(plain, {}, /*global_projections=*/false);
    const auto encoder = Encoder::Load(plain.Write(BertConfigJson("bert", {})), {});
    EXPECT_TRUE(encoder.ok()) << encoder.status();
    return RowsOf(**encoder, ids);
  }
  // tanh(W x), of length 1 where asked.
  std::vector<float> Projected(const std::vector<float>& row, bool normalize) const {
    std::vector<float> result;
    double squares = 0;
    for (int out = 0; out < 5; ++out) {
      double sum = 0;
      for (int in = 0; in < 24; ++in) sum += static_cast<double>(weight_[out * 24 + in]) * row[in];
      result.push_back(static_cast<float>(std::tanh(sum)));
      squares += result.back() * result.back();
    }
    for (float& value : result) value = normalize ? value / std::sqrt(squares) : value;
    return result;
  }

  FormulaCheckpoint checkpoint_;
  std::vector<float> weight_;
};

TEST_F(MultiVectorTest, Load_FillsModelInfo) {
  const auto encoder = Load();
  const ModelInfo& info = encoder->info();
  EXPECT_EQ(info.token_dimensions, 5);
  EXPECT_EQ(info.output_dimensions, 0);
  EXPECT_TRUE(info.pooling.empty());
  EXPECT_TRUE(info.normalize);
  ASSERT_TRUE(info.multi_vector.has_value());
  EXPECT_THAT(info.multi_vector->skipped_ids, ElementsAre(kDot));
  ASSERT_TRUE(info.multi_vector->expansion.has_value());
  EXPECT_EQ(info.multi_vector->expansion->token_id, kMask);
  EXPECT_EQ(info.multi_vector->expansion->length, 12);
  EXPECT_TRUE(encoder->WarmUp(32).ok());
}

TEST_F(MultiVectorTest, Rows_AreProjectedAndNormalised) {
  const std::vector<int32_t> ids = {kCls, 10, 11, 12, kSep};
  const auto encoder = Load();
  const Rows hidden = HiddenRows(ids), rows = RowsOf(*encoder, ids);
  ASSERT_EQ(rows.size(), 5u);
  for (const auto& [token, row] : rows) ExpectNear(row, Projected(hidden.at(token), true));
  const Rows raw = RowsOf(*encoder, ids, {.normalize = false});
  for (const auto& [token, row] : raw) ExpectNear(row, Projected(hidden.at(token), false));
}

TEST_F(MultiVectorTest, Rows_OfSkippedTokensAreLeftOut_OfDocumentsAlone) {
  const std::vector<int32_t> ids = {kCls, 10, kDot, kDot, 12, kDot, kSep};
  const auto encoder = Load();
  const Rows document = RowsOf(*encoder, ids);
  const Rows query = RowsOf(*encoder, ids, {.text_role = TextRole::kQuery});
  EXPECT_EQ(query.size(), 7u);
  ASSERT_EQ(document.size(), 4u);
  for (const int64_t token : {0, 1, 4, 6}) EXPECT_EQ(document.at(token), query.at(token));
}

TEST_F(MultiVectorTest, UnattendedTokens_ChangeNoTokenOfTheText_AndSeeItAlone) {
  const std::vector<int32_t> ids = {kCls, 10, 11, kSep};
  const auto encoder = Load();
  const EncodeOptions as_query{.text_role = TextRole::kQuery};
  const Rows alone = RowsOf(*encoder, ids, as_query);
  std::vector<int32_t> expanded = ids, types;
  std::vector<uint8_t> mask;
  ExpandQuery(encoder->info(), TextRole::kQuery, &expanded, &types, &mask);
  ASSERT_EQ(expanded.size(), 12u);
  EXPECT_EQ(expanded.back(), kMask);
  EXPECT_EQ(mask, std::vector<uint8_t>({1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2}));
  const Rows rows = RowsOf(*encoder, expanded, as_query, mask);
  ASSERT_EQ(rows.size(), 12u);
  for (int64_t token = 0; token < 4; ++token) ExpectNear(rows.at(token), alone.at(token));
  // The last token's row is the same without the ones between.
  for (size_t i = 4; i < 11; ++i) mask[i] = kernels::kNotRead;
  ExpectNear(RowsOf(*encoder, expanded, as_query, mask).at(11), rows.at(11));
  EXPECT_NE(rows.at(10), rows.at(11));  // their positions differ
}

TEST_F(MultiVectorTest, AttendedTokens_AreTokensLikeAny) {
  Expand("min", 6, true);
  const auto encoder = Load();
  std::vector<int32_t> ids = {kCls, 10, 11, kSep}, types = {0, 0, 0, 0};
  std::vector<uint8_t> mask;
  ExpandQuery(encoder->info(), TextRole::kQuery, &ids, &types, &mask);
  EXPECT_THAT(ids, ElementsAre(kCls, 10, 11, kSep, kMask, kMask));
  EXPECT_THAT(types, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_TRUE(mask.empty());
  ExpandQuery(encoder->info(), TextRole::kQuery, &ids, &types, &mask);  // it is long enough
  ExpandQuery(encoder->info(), TextRole::kDocument, &ids, &types, &mask);
  EXPECT_EQ(ids.size(), 6u);
}

TEST_F(MultiVectorTest, TextVectorsAreRefused) {
  const auto encoder = Load();
  const std::vector<int32_t> ids = {kCls, 10, kSep};
  for (const EncodeOptions& options :
       {EncodeOptions{}, EncodeOptions{.pooling = PoolingMode::kMean, .document_vector = false},
        EncodeOptions{.document_vector = false, .spans = {{0, 1}}}}) {
    const absl::Status status = encoder->Validate({.token_ids = ids}, options);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("multi-vector model"));
  }
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  const EncodeOptions document;
  EXPECT_EQ(encoder->Encode(batch, {&document, 1})[0].status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(MultiVectorTest, Load_RefusesExpansionsThatCannotBe) {
  Expand("fixed", 67, false);  // the table has 66 positions
  EXPECT_THAT(std::string(TryLoad().status().message()),
              testing::AllOf(HasSubstr("67"), HasSubstr("66")));
  Write("sentence_bert_config.json",
        {{"query_expansion", {{"strategy", "min"}, {"length", 9}, {"token", "xyzzy"}}}});
  EXPECT_THAT(std::string(TryLoad().status().message()), HasSubstr("xyzzy"));
  Expand("fixed", 12, false);
  std::filesystem::remove(checkpoint_.folder().path() + "/vocab.txt");
  EXPECT_EQ(TryLoad().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace longspan
