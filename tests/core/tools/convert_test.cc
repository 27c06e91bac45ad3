#include "core/tools/convert.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/checkpoint/model_folder.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConvertToWindowedTest : public ::testing::Test {
 protected:
  ConvertToWindowedTest()
      : output_(fs::path(::testing::TempDir()) / ("convert_" + std::to_string(::getpid()))) {
    fs::remove_all(output_);
  }
  ~ConvertToWindowedTest() override { fs::remove_all(output_); }

  static std::string Fixture(const std::string& name) {
    return std::string(LONGSPAN_FIXTURES) + "/" + name;
  }
  static std::vector<float> Row(const StoredTensor& table, int64_t row) {
    std::vector<float> values(table.shape[1]);
    std::memcpy(values.data(), table.data.data() + row * values.size() * sizeof(float),
                values.size() * sizeof(float));
    return values;
  }
  fs::path output_;
};

TEST_F(ConvertToWindowedTest, BertPositionsMoveBehindThePadRowAndRepeatByPeriod) {
  ASSERT_TRUE(ConvertToWindowed(Fixture("bert"), output_, {.window = 8}).ok());
  const auto source = SafetensorsReader::Open(Fixture("bert") + "/model.safetensors");
  const auto made = SafetensorsReader::Open(output_ / "model.safetensors");
  ASSERT_TRUE(source.ok() && made.ok());
  const StoredTensor& before = (*source)->tensors().at("embeddings.position_embeddings.weight");
  const StoredTensor& after = (*made)->tensors().at("embeddings.position_embeddings.weight");
  const auto folder = ModelFolder::Open(output_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  const int64_t pad = folder->config().at("pad_token_id");
  ASSERT_EQ(after.shape[0], before.shape[0] + pad + 1);
  for (int64_t row = 0; row < before.shape[0]; ++row)
    EXPECT_EQ(Row(after, row + pad + 1), Row(before, row));
  EXPECT_EQ(folder->model_type(), "longformer");
  EXPECT_EQ(folder->config().at("longspan").at("dense_up_to"), before.shape[0]);
  EXPECT_EQ(folder->config().at("longspan").at("position_period"), before.shape[0] - 1);
  EXPECT_EQ(folder->config().at("attention_window").at(0), 8);
}

TEST_F(ConvertToWindowedTest, RobertaPositionsStayAndPrefixAndHeadGo) {
  ASSERT_TRUE(ConvertToWindowed(Fixture("roberta"), output_, {}).ok());
  const auto made = SafetensorsReader::Open(output_ / "model.safetensors");
  ASSERT_TRUE(made.ok());
  const auto folder = ModelFolder::Open(output_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  const StoredTensor& positions = (*made)->tensors().at("embeddings.position_embeddings.weight");
  EXPECT_EQ(folder->config().at("longspan").at("dense_up_to"),
            positions.shape[0] - folder->config().at("pad_token_id").get<int64_t>() - 1);
  for (const auto& [name, tensor] : (*made)->tensors()) {
    EXPECT_THAT(name, ::testing::Not(::testing::AnyOf(HasSubstr("lm_head"), HasSubstr("roberta."))))
        << name;
  }
}

TEST_F(ConvertToWindowedTest, GlobalProjectionsAreCopiesOfTheLocalOnes) {
  ASSERT_TRUE(ConvertToWindowed(Fixture("bert"), output_, {}).ok());
  const auto made = SafetensorsReader::Open(output_ / "model.safetensors");
  ASSERT_TRUE(made.ok());
  int compared = 0;
  for (const auto& [name, local] : (*made)->tensors()) {
    for (const std::string projection : {"query", "key", "value"}) {
      const size_t at = name.find(".self." + projection + ".");
      if (at == std::string::npos) continue;
      std::string global = name;
      global.insert(at + 6 + projection.size(), "_global");
      const StoredTensor& copy = (*made)->tensors().at(global);
      ASSERT_EQ(copy.shape, local.shape);
      EXPECT_EQ(std::memcmp(copy.data.data(), local.data.data(), local.data.size()), 0) << name;
      ++compared;
    }
  }
  EXPECT_GE(compared, 6);
}

TEST_F(ConvertToWindowedTest, PadIdsCountAsPositionsForBertAlone) {
  ASSERT_TRUE(ConvertToWindowed(Fixture("bert"), output_, {}).ok());
  EXPECT_EQ(ModelFolder::Open(output_)->config().at("longspan").at("positions_skip_pad"), false);
  fs::remove_all(output_);
  ASSERT_TRUE(ConvertToWindowed(Fixture("roberta"), output_, {}).ok());
  EXPECT_EQ(ModelFolder::Open(output_)->config().at("longspan").at("positions_skip_pad"), true);
}

// The transformer may lie in a folder of its own, which modules.json names. It is converted there,
// and nothing of the old one stays.
TEST_F(ConvertToWindowedTest, ATransformerInItsOwnFolderIsConvertedThere) {
  const fs::path source = output_.string() + "_source";
  fs::remove_all(source);
  fs::create_directories(source / "0_Transformer");
  fs::create_directories(source / "1_Pooling");
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy(Fixture("bert") + "/" + file, source / "0_Transformer" / file);
  std::ofstream(source / "modules.json") << R"([
    {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])";
  std::ofstream(source / "1_Pooling" / "config.json")
      << R"({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true})";
  const absl::Status status = ConvertToWindowed(source, output_, {});
  fs::remove_all(source);
  ASSERT_TRUE(status.ok()) << status;
  const auto folder = ModelFolder::Open(output_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->model_type(), "longformer");
  EXPECT_THAT(folder->weight_files(),
              ElementsAre((output_ / "0_Transformer" / "model.safetensors").string()));
  EXPECT_FALSE(fs::exists(output_ / "config.json"));
}

TEST_F(ConvertToWindowedTest, RefusesWhatItCannotConvert) {
  const auto longformer = ConvertToWindowed(Fixture("longformer-long"), output_, {});
  EXPECT_EQ(longformer.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(longformer.message()), HasSubstr("bert, roberta and xlm-roberta"));
  EXPECT_THAT(std::string(ConvertToWindowed(Fixture("bert"), output_, {.window = 7}).message()),
              HasSubstr("window is 7"));
  EXPECT_THAT(
      std::string(ConvertToWindowed(Fixture("bert"), output_, {.default_global_attention = "all"})
                      .message()),
      HasSubstr("cls, none"));
  fs::create_directories(output_);
  std::ofstream(output_ / "precious.txt") << "keep";
  EXPECT_EQ(ConvertToWindowed(Fixture("bert"), output_, {}).code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace longspan
