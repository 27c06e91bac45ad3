// What `longspan-model convert` makes. Short texts give exactly what the dense source gives. Long
// ones give what a Longformer gives whose repeating positions are written out in its table. The
// real embedded model is compared with its published original.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "core/checkpoint/model_folder.h"
#include "core/encoder.h"
#include "core/tokenizer/tokenizer.h"
#include "core/tools/convert.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

namespace fs = std::filesystem;

std::vector<float> TokenVectors(const Encoder& encoder, const std::vector<int32_t>& ids,
                                const std::vector<int32_t>& globals) {
  std::vector<float> values;
  EncodeOptions options;
  options.document_vector = false;
  options.token_sink = [&](int64_t, int64_t count, const float* block) {
    values.insert(values.end(), block, block + count * encoder.info().token_dimensions);
  };
  const TokenBatch::Text text = {.token_ids = ids, .global_positions = globals};
  EXPECT_TRUE(encoder.Validate(text, options).ok()) << encoder.Validate(text, options);
  TokenBatch batch;
  batch.Add(text);
  const auto results = encoder.Encode(batch, std::span(&options, 1));
  EXPECT_TRUE(results[0].ok()) << results[0].status();
  return values;
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  const double dot = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  const double aa = std::inner_product(a.begin(), a.end(), a.begin(), 0.0),
               bb = std::inner_product(b.begin(), b.end(), b.begin(), 0.0);
  return dot / std::sqrt(aa * bb);
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  return largest;
}

std::vector<int32_t> RandomIds(int64_t count, int32_t vocabulary) {
  std::vector<int32_t> ids(count);
  uint32_t state = 12345;
  for (int32_t& id : ids)
    id = 1 + static_cast<int32_t>((state = state * 1664525u + 1013904223u) >> 8) % (vocabulary - 1);
  return ids;
}

class ConvertedModelTest : public ::testing::Test {
 protected:
  ConvertedModelTest()
      : root_(fs::path(::testing::TempDir()) / ("converted_" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
  }
  ~ConvertedModelTest() override { fs::remove_all(root_); }

  // A Longformer folder of the converted weights. Its table has a row for each of `positions`,
  // repeated as the period says, and its config has no object "longspan".
  fs::path WriteOutTiledTable(const fs::path& converted, int64_t positions) {
    const fs::path folder = root_ / "written_out";
    fs::create_directories(folder);
    nlohmann::json config = nlohmann::json::parse(std::ifstream(converted / "config.json"));
    const int64_t pad = config.at("pad_token_id");
    const int64_t period = config.at("longspan").at("position_period");
    config.erase("longspan");
    config["max_position_embeddings"] = pad + 1 + positions;
    std::ofstream(folder / "config.json") << config;

    const auto reader = SafetensorsReader::Open(converted / "model.safetensors");
    auto tensors = (*reader)->tensors();
    StoredTensor& table = tensors.at("embeddings.position_embeddings.weight");
    const size_t row_bytes = table.data.size() / table.shape[0];
    std::vector<std::byte> tiled((pad + 1 + positions) * row_bytes);
    std::memcpy(tiled.data(), table.data.data(), (pad + 1) * row_bytes);
    for (int64_t i = 0; i < positions; ++i) {
      const int64_t row = i == 0 ? 0 : 1 + (i - 1) % period;
      std::memcpy(tiled.data() + (pad + 1 + i) * row_bytes,
                  table.data.data() + (pad + 1 + row) * row_bytes, row_bytes);
    }
    table.data = tiled;
    table.shape[0] = pad + 1 + positions;
    EXPECT_TRUE(WriteSafetensors((folder / "model.safetensors").string(), tensors).ok());
    return folder;
  }

  // A copy of a fixture under another model_type of the same layout.
  fs::path RenamedModelType(const std::string& fixture, const std::string& model_type) {
    const fs::path folder = root_ / model_type;
    fs::create_directories(root_);
    fs::copy(fs::path(LONGSPAN_FIXTURES) / fixture, folder);
    nlohmann::json config = nlohmann::json::parse(std::ifstream(folder / "config.json"));
    config["model_type"] = model_type;
    std::ofstream(folder / "config.json") << config;
    return folder;
  }
  fs::path root_;
};

TEST_F(ConvertedModelTest, TextsThatFitAreTheSourceModelAndLongOnesTheTiledLongformer) {
  for (const std::string source : {"bert", "roberta"}) {
    const std::string dense_dir = std::string(LONGSPAN_FIXTURES) + "/" + source;
    const fs::path converted_dir = root_ / source;
    ASSERT_TRUE(ConvertToWindowed(dense_dir, converted_dir.string(), {.window = 8}).ok());
    const auto dense = Encoder::Load(dense_dir), converted = Encoder::Load(converted_dir.string());
    const auto tiled = Encoder::Load(WriteOutTiledTable(converted_dir, 400).string());
    ASSERT_TRUE(dense.ok() && converted.ok() && tiled.ok())
        << dense.status() << converted.status() << tiled.status();
    const ModelInfo& info = (*converted)->info();
    ASSERT_EQ(info.max_tokens, 0) << "the position table must not bound the length";

    for (int64_t length : {int64_t{1}, int64_t{2}, int64_t{9}, info.dense_up_to}) {
      std::vector<int32_t> ids = RandomIds(length, info.vocab_size);
      const auto globals = ResolveGlobalPositions(info, std::nullopt, {}, length);
      EXPECT_TRUE(globals.empty());
      EXPECT_LE(LargestDifference(TokenVectors(**converted, ids, globals),
                                  TokenVectors(**dense, ids, {})),
                1e-5)
          << source << length;
    }
    for (int64_t length : {info.dense_up_to + 1, 3 * info.dense_up_to + 2}) {
      std::vector<int32_t> ids = RandomIds(length, info.vocab_size);
      const auto globals = ResolveGlobalPositions(info, std::nullopt, {}, length);
      EXPECT_THAT(globals, ::testing::ElementsAre(0));
      EXPECT_LE(LargestDifference(TokenVectors(**converted, ids, globals),
                                  TokenVectors(**tiled, ids, globals)),
                1e-5)
          << source << length;
    }
  }
}

// A pad id may stand inside a text and be read. BERT numbers it like any token, while RoBERTa gives
// it the pad row and does not count it. The converted model must follow its source.
TEST_F(ConvertedModelTest, PadIdsInsideATextTakeTheSourcesPositions) {
  for (const std::string source : {"bert", "roberta", "xlm-roberta"}) {
    fs::path dense_dir = fs::path(LONGSPAN_FIXTURES) / source;
    if (source == "xlm-roberta") dense_dir = RenamedModelType("roberta", source);
    const fs::path converted_dir = root_ / (source + "_converted");
    ASSERT_TRUE(ConvertToWindowed(dense_dir.string(), converted_dir.string(), {.window = 8}).ok());
    const auto dense = Encoder::Load(dense_dir.string()),
               converted = Encoder::Load(converted_dir.string());
    ASSERT_TRUE(dense.ok() && converted.ok()) << dense.status() << converted.status();
    const ModelInfo& info = (*converted)->info();
    for (int64_t length : {int64_t{3}, int64_t{11}, info.dense_up_to}) {
      std::vector<int32_t> ids = RandomIds(length, info.vocab_size);
      for (int64_t at : {int64_t{0}, length / 2, length / 2 + 1})
        ids[std::min(at, length - 1)] = info.pad_token_id;
      EXPECT_LE(
          LargestDifference(TokenVectors(**converted, ids, {}), TokenVectors(**dense, ids, {})),
          1e-5)
          << source << length;
    }
  }
}

TEST(EmbeddedModel, EqualsItsPublishedOriginalOnTextsThatFit) {
  const auto dense = Encoder::Load(LONGSPAN_DENSE_MODEL),
             embedded = Encoder::Load(LONGSPAN_EMBEDDED_MODEL);
  const auto tokenizer = Tokenizer::Load(LONGSPAN_EMBEDDED_MODEL);
  ASSERT_TRUE(dense.ok() && embedded.ok() && tokenizer.ok())
      << dense.status() << embedded.status() << tokenizer.status();
  std::ifstream in(std::string(LONGSPAN_SOURCE_DIR) + "/LICENSE");
  const std::string licence((std::istreambuf_iterator<char>(in)), {});
  for (size_t bytes : {size_t{1}, size_t{40}, size_t{400}, size_t{2400}}) {
    const auto tokens = (*tokenizer)->Encode(licence.substr(1000, bytes));
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    ASSERT_LE(tokens->ids.size(), 512u);
    TokenBatch batch;
    batch.Add({.token_ids = tokens->ids});
    const EncodeOptions options;
    const auto want = (*dense)->Encode(batch, std::span(&options, 1)),
               got = (*embedded)->Encode(batch, std::span(&options, 1));
    ASSERT_TRUE(want[0].ok() && got[0].ok()) << want[0].status() << got[0].status();
    EXPECT_GE(Cosine(want[0]->vector, got[0]->vector), 0.99999) << tokens->ids.size() << " tokens";
  }
}

// The published model's values, made with transformers 5.23: mean pooling over all tokens, then L2.
TEST(EmbeddedModel, KnownSentenceGivesThePublishedVector) {
  const auto embedded = Encoder::Load(LONGSPAN_EMBEDDED_MODEL);
  const auto tokenizer = Tokenizer::Load(LONGSPAN_EMBEDDED_MODEL);
  ASSERT_TRUE(embedded.ok() && tokenizer.ok());
  const auto tokens = (*tokenizer)->Encode("This is an example sentence");
  ASSERT_TRUE(tokens.ok());
  EXPECT_THAT(tokens->ids, ::testing::ElementsAre(101, 2023, 2003, 2019, 2742, 6251, 102));
  TokenBatch batch;
  batch.Add({.token_ids = tokens->ids});
  const EncodeOptions options;
  const auto got = (*embedded)->Encode(batch, std::span(&options, 1));
  ASSERT_TRUE(got[0].ok()) << got[0].status();
  ASSERT_EQ(got[0]->vector.size(), 384u);
  const float want[] = {0.0676569f, 0.0634960f, 0.0487131f, 0.0793049f,
                        0.0374480f, 0.0026528f, 0.0393749f, -0.0070985f};
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(got[0]->vector[i], want[i], 2e-6) << i;
}

}  // namespace
}  // namespace longspan
