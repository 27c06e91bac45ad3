// `longspan-model quantize`: the quantised folder has a smaller file, and computes bit for bit what
// the source computes in int8.
#include "core/tools/quantize.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/backend/portable_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/encoder.h"
#include "core/layers/linear.h"
#include "core/models/model.h"
#include "core/weights/int8_weights.h"
#include "core/weights/safetensors_reader.h"
#include "tests/golden/formula_checkpoint.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// All token vectors of one text. They come from the model itself and not from Encoder, which
// refuses int8 on some processors; these run it too, slowly.
std::vector<float> TokenVectors(const EncoderModel& model) {
  const ModelInfo& info = model.info();
  std::vector<int32_t> ids, globals;
  for (int i = 0; i < 60; ++i)
    ids.push_back(static_cast<int32_t>(3 + i * 7 % (info.vocab_size - 4)));
  if (info.supports_global_attention) globals = {0, 5};
  TokenBatch batch;
  batch.Add({.token_ids = ids, .global_positions = globals});
  const c10::InferenceMode inference;
  const auto hidden = model.Forward(batch, {});
  EXPECT_TRUE(hidden.ok()) << hidden.status();
  const at::Tensor rows = hidden->Rows(0, 0, 60).contiguous();
  return {rows.const_data_ptr<float>(), rows.const_data_ptr<float>() + rows.numel()};
}

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadInt8(const std::string& path) {
  const auto folder = ModelFolder::Open(path);
  if (!folder.ok()) return folder.status();
  return LoadEncoderModel(*folder, DataType::kInt8);
}

class QuantizeModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::string source() const { return std::string(LONGSPAN_FIXTURES) + "/" + GetParam(); }
  std::string output() const { return folder_.path() + "/int8"; }
  TemporaryFolder folder_;
};

TEST_P(QuantizeModelTest, ComputesBitForBitWhatQuantisingAtLoadGives) {
  const auto made = QuantizeModel(source(), output());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_LT(made->bytes_after, made->bytes_before);
  const auto want = LoadInt8(source()), got = LoadInt8(output());
  ASSERT_TRUE(want.ok() && got.ok()) << want.status() << got.status();
  EXPECT_EQ((*got)->info().num_parameters, (*want)->info().num_parameters);
  EXPECT_EQ((*got)->info().weight_bytes, (*want)->info().weight_bytes);
  EXPECT_EQ(TokenVectors(**got), TokenVectors(**want));
}

INSTANTIATE_TEST_SUITE_P(Families, QuantizeModelTest,
                         ::testing::Values("bert", "roberta", "longformer-windows",
                                           "longformer-mlm", "led", "bigbird", "modernbert",
                                           "reformer-local", "reformer-lsh", "reformer-mixed"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Every linear weight of the layers is int8, so no name was forgotten.
TEST(QuantizeModel, AllLinearWeightsOfTheEmbeddedModelAreInt8) {
  const TemporaryFolder folder;
  const std::string output = folder.path() + "/int8";
  const auto made = QuantizeModel(LONGSPAN_EMBEDDED_MODEL, output);
  ASSERT_TRUE(made.ok()) << made.status();
  // Six layers with query, key, value, attention output, intermediate and output each.
  EXPECT_EQ(made->num_quantized, 6 * 6);
  const auto reader = SafetensorsReader::Open(output + "/model.safetensors");
  ASSERT_TRUE(reader.ok());
  for (const auto& [name, tensor] : (*reader)->tensors()) {
    const bool matrix = name.find("encoder.layer.") == 0 && tensor.shape.size() == 2 &&
                        name.find("_global") == std::string::npos;
    EXPECT_EQ(tensor.type == StoredType::kI8, matrix) << name;
  }
  EXPECT_TRUE(fs::exists(output + "/tokenizer.json") && fs::exists(output + "/modules.json"));
}

TEST(QuantizeModel, QuantisedFoldersAreRefusedInOtherTypesAndTakenByAuto) {
  const TemporaryFolder folder;
  const std::string output = folder.path() + "/int8",
                    source = std::string(LONGSPAN_FIXTURES) + "/bert";
  ASSERT_TRUE(QuantizeModel(source, output).ok());
  const auto model = ModelFolder::Open(output), dense = ModelFolder::Open(source);
  ASSERT_TRUE(model.ok() && dense.ok());
  const auto float32 = Encoder::Load(*model, {.dtype = DataType::kFloat32});
  EXPECT_EQ(float32.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(float32.status().message()),
              HasSubstr("holds int8 weights; dtype is float32; allowed: int8"));
  EXPECT_EQ(*ResolveDataType("auto", *model), DataType::kInt8);
  const PortableBackend card{at::Device(at::kCPU)};
  EXPECT_EQ(*ResolveDataType("auto", *model, &card), DataType::kInt8);
  EXPECT_EQ(*ResolveDataType("auto", *dense, &card), DataType::kBFloat16);
  EXPECT_EQ(*ResolveDataType("auto", *dense), FastestAccurateDataType());
  EXPECT_EQ(*ResolveDataType("int8", *dense), DataType::kInt8);
  EXPECT_THAT(std::string(ResolveDataType("fp8", *dense).status().message()),
              HasSubstr("allowed: float32, bfloat16, int8, auto"));
  EXPECT_THAT(std::string(QuantizeModel(output, folder.path() + "/again").status().message()),
              HasSubstr("holds int8 weights already"));
}

// A file from a stranger may hold any of these.
TEST(QuantizeModel, DamagedInt8WeightsAreRefused) {
  const TemporaryFolder folder;
  const std::string output = folder.path() + "/int8";
  ASSERT_TRUE(QuantizeModel(std::string(LONGSPAN_FIXTURES) + "/bert", output).ok());
  const std::string file = output + "/model.safetensors";
  const std::string weight = "encoder.layer.0.output.dense.weight";
  const std::string scale = weight + "_scale";
  const auto reader = SafetensorsReader::Open(file);
  ASSERT_TRUE(reader.ok());
  const auto& whole = (*reader)->tensors();
  const std::string prefix = whole.contains(weight) ? "" : "bert.";
  const auto load = [&](const std::map<std::string, StoredTensor>& tensors) {
    EXPECT_TRUE(WriteSafetensors(folder.path() + "/part", tensors).ok());
    fs::create_directories(folder.path() + "/damaged");
    fs::copy(output + "/config.json", folder.path() + "/damaged/config.json",
             fs::copy_options::overwrite_existing);
    fs::rename(folder.path() + "/part", folder.path() + "/damaged/model.safetensors");
    return std::string(LoadInt8(folder.path() + "/damaged").status().message());
  };
  auto tensors = whole;
  tensors.erase(prefix + scale);
  EXPECT_THAT(load(tensors), HasSubstr("is int8 and has no scales"));

  tensors = whole;
  tensors.erase(prefix + weight);
  EXPECT_THAT(load(tensors), HasSubstr("is missing"));

  tensors = whole;
  std::vector<float> scales(tensors[prefix + scale].shape[0], 1.0f);
  tensors[prefix + scale].data = std::as_bytes(std::span(scales));
  for (float wrong : {0.0f, -1.0f, NAN, INFINITY}) {
    scales[1] = wrong;
    EXPECT_THAT(load(tensors), HasSubstr("scales are positive and finite"));
  }
  tensors = whole;
  tensors[prefix + scale].shape = {1, tensors[prefix + scale].shape[0]};
  EXPECT_THAT(load(tensors), HasSubstr("must be F32 with one value for each"));

  tensors = whole;
  std::vector<std::byte> values(tensors[prefix + weight].data.begin(),
                                tensors[prefix + weight].data.end());
  values[5] = std::byte{0x80};
  tensors[prefix + weight].data = values;
  EXPECT_THAT(load(tensors), HasSubstr("holds -128"));

  // A weight that is read in float32 may not be int8.
  tensors = whole;
  StoredTensor& table = tensors[prefix + "embeddings.word_embeddings.weight"];
  const std::vector<std::byte> zeros(table.num_elements());
  table.type = StoredType::kI8;
  table.data = zeros;
  EXPECT_THAT(load(tensors), HasSubstr("has dtype I8"));
}

// Quantising what was restored gives the same channel again, for scales of every size.
TEST(RestoreInt8Channel, TheLargestValueGivesItsScaleBack) {
  uint32_t state = 1;
  for (int i = 0; i < 200000; ++i) {
    state = state * 1664525u + 1013904223u;
    const float largest = std::ldexp(1.0f + static_cast<float>(state >> 9) / 8388608.0f,
                                     static_cast<int>(state % 60) - 40);
    const float scale = largest / 127.0f;
    const std::vector<int8_t> values = {127, -127, 3, 0};
    std::vector<float> restored(4);
    RestoreInt8Channel(values, scale, restored.data());
    ASSERT_EQ(restored[0] / 127.0f, scale) << largest;
    ASSERT_EQ(restored[1], -restored[0]);
    ASSERT_EQ(restored[2], 3 * scale);
  }
}

}  // namespace
}  // namespace longspan
