#include "core/weights/weight_map.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <list>

#include "tests/core/header_example.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WeightMapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "weight_map_test." + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A float32 tensor 0, 1, 2, ...; its bytes live as long as the test.
  StoredTensor Counting(const std::vector<int64_t>& shape, StoredType type = StoredType::kF32) {
    size_t n = 1;
    for (const int64_t size : shape) n *= static_cast<size_t>(size);
    std::vector<std::byte>& bytes =
        buffers_.emplace_back(n * static_cast<size_t>(StoredTypeBytes(type)));
    for (size_t i = 0; i < n && type == StoredType::kF32; ++i) {
      const auto value = static_cast<float>(i);
      std::memcpy(bytes.data() + 4 * i, &value, 4);
    }
    return {type, shape, bytes};
  }
  std::string Write(const std::string& file, const std::map<std::string, StoredTensor>& tensors) {
    const std::string path = folder_ + "/" + file;
    EXPECT_TRUE(WriteSafetensors(path, tensors).ok());
    return path;
  }
  std::string Message(const WeightMap& weights) { return std::string(weights.Finish().message()); }

  std::string folder_;
  std::list<std::vector<std::byte>> buffers_;
};

TEST_F(WeightMapTest, Take_GivesContiguousFloatsThatOutliveTheFile) {
  const std::string path = Write("m.safetensors", {{"a.weight", Counting({2, 3})}});
  at::Tensor taken;
  {
    auto weights = WeightMap::Open({path}, {});
    ASSERT_TRUE(weights.ok()) << weights.status();
    taken = weights->Take("a.weight", {2, -1});
    EXPECT_TRUE(weights->Finish().ok());
    EXPECT_EQ(weights->num_parameters(), 6);
  }
  std::filesystem::remove(path);
  ASSERT_TRUE(taken.defined());
  EXPECT_TRUE(taken.is_contiguous());
  EXPECT_EQ(taken.sizes(), at::IntArrayRef({2, 3}));
  EXPECT_THAT(std::vector<float>(taken.data_ptr<float>(), taken.data_ptr<float>() + 6),
              ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(WeightMapTest, Open_StripsTheFirstPrefixThatOccursAndLeavesOtherNamesAlone) {
  const std::string path =
      Write("m.safetensors", {{"roberta.a", Counting({1})}, {"lm_head.bias", Counting({1})}});
  auto weights =
      WeightMap::Open({path}, {.prefixes = {"longformer.", "roberta."}, .ignored = {"lm_head.*"}});
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_TRUE(weights->Contains("a"));
  EXPECT_TRUE(weights->Contains("lm_head.bias"));
  EXPECT_FALSE(weights->Contains("roberta.a"));
  EXPECT_TRUE(weights->Take("a", {1}).defined());
  EXPECT_TRUE(weights->Finish().ok()) << weights->Finish();
}

TEST_F(WeightMapTest, Open_RefusesTwoWeightsThatBecomeOneName) {
  const std::string path =
      Write("m.safetensors", {{"bert.a", Counting({1})}, {"a", Counting({1})}});
  const auto weights = WeightMap::Open({path}, {.prefixes = {"bert."}});
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(weights.status().message()),
              AllOf(HasSubstr("\"a\""), HasSubstr("bert.a")));
}

TEST_F(WeightMapTest, Open_RefusesAWeightThatTwoShardsHold) {
  const std::string first = Write("1.safetensors", {{"a", Counting({1})}}),
                    second = Write("2.safetensors", {{"a", Counting({1})}});
  EXPECT_THAT(std::string(WeightMap::Open({first, second}, {}).status().message()),
              HasSubstr("two weights are called \"a\""));
}

TEST_F(WeightMapTest, Open_RenamesGammaAndBetaOfLayerNorm) {
  const std::string path = Write("m.safetensors", {{"bert.x.LayerNorm.gamma", Counting({2})},
                                                   {"bert.x.LayerNorm.beta", Counting({2})}});
  auto weights = WeightMap::Open({path}, {.prefixes = {"bert."}});
  ASSERT_TRUE(weights.ok());
  EXPECT_TRUE(weights->Contains("x.LayerNorm.weight"));
  EXPECT_TRUE(weights->Contains("x.LayerNorm.bias"));
}

TEST_F(WeightMapTest, Finish_NamesAMissingWeightAndTheShapeTheModelNeeds) {
  auto weights = WeightMap::Open({Write("m.safetensors", {{"a", Counting({1})}})}, {});
  EXPECT_FALSE(weights->Take("b.weight", {7, 9}).defined());
  EXPECT_FALSE(weights->Take("c.weight", {1}).defined());
  EXPECT_THAT(Message(*weights), AllOf(HasSubstr("\"b.weight\" is missing"), HasSubstr("[7, 9]"),
                                       HasSubstr("m.safetensors")));
}

TEST_F(WeightMapTest, Finish_NamesAWrongShapeBothWays) {
  auto weights = WeightMap::Open({Write("m.safetensors", {{"a", Counting({2, 3})}})}, {});
  EXPECT_FALSE(weights->Take("a", {3, -1}).defined());
  EXPECT_THAT(Message(*weights), AllOf(HasSubstr("[2, 3]"), HasSubstr("[3, *]")));
}

TEST_F(WeightMapTest, Finish_RefusesARankThatDiffers) {
  auto weights = WeightMap::Open({Write("m.safetensors", {{"a", Counting({2, 3})}})}, {});
  EXPECT_FALSE(weights->Take("a", {-1}).defined());
  EXPECT_FALSE(weights->Finish().ok());
}

TEST_F(WeightMapTest, Finish_RefusesAnIntegerWeight) {
  auto weights =
      WeightMap::Open({Write("m.safetensors", {{"a", Counting({2}, StoredType::kI64)}})}, {});
  EXPECT_FALSE(weights->Take("a", {2}).defined());
  EXPECT_THAT(Message(*weights), HasSubstr("I64"));
}

// A value that no finite float32 holds, in each of the types that a weight may be stored in.
TEST_F(WeightMapTest, Finish_NamesAWeightThatHoldsNaNOrInf_AndWhere) {
  struct Case {
    StoredType type;
    std::vector<unsigned char> bytes;  // of one value, the lowest first
    std::string text;
  };
  const std::vector<Case> cases = {
      {StoredType::kF32, {0, 0, 0xC0, 0x7F}, "NaN"},
      {StoredType::kF32, {1, 0, 0x80, 0xFF}, "NaN"},
      {StoredType::kF32, {0, 0, 0x80, 0x7F}, "Inf"},
      {StoredType::kF32, {0, 0, 0x80, 0xFF}, "-Inf"},
      {StoredType::kBF16, {0x80, 0x7F}, "Inf"},
      {StoredType::kBF16, {0xC0, 0xFF}, "NaN"},
      {StoredType::kF16, {0, 0x7C}, "Inf"},
      {StoredType::kF16, {0, 0xFE}, "NaN"},
      {StoredType::kF64, {0, 0, 0, 0, 0, 0, 0xF8, 0x7F}, "NaN"},
      {StoredType::kF64, {0x9C, 0x75, 0, 0x88, 0x3C, 0xE4, 0x37, 0x7E}, "Inf"},  // 1e300
  };
  for (const Case& test : cases) {
    StoredTensor table = Counting({3000, 4}, test.type);
    auto* data = const_cast<std::byte*>(table.data.data());
    std::memcpy(data + (2500 * 4 + 3) * test.bytes.size(), test.bytes.data(), test.bytes.size());
    auto weights = WeightMap::Open({Write("m.safetensors", {{"words.weight", table}})}, {});
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_FALSE(weights->Take("words.weight", {3000, 4}).defined());
    EXPECT_THAT(Message(*weights),
                AllOf(HasSubstr(folder_ + "/m.safetensors"), HasSubstr("\"words.weight\""),
                      HasSubstr("holds " + test.text + " at [2500, 3]")));
  }
}

TEST_F(WeightMapTest, Take_GivesTheLargestFiniteFloats) {
  StoredTensor table = Counting({2});
  const float most[2] = {3.4028235e38F, -3.4028235e38F};
  std::memcpy(const_cast<std::byte*>(table.data.data()), most, sizeof(most));
  auto weights = WeightMap::Open({Write("m.safetensors", {{"a", table}})}, {});
  EXPECT_TRUE(weights->Take("a", {2}).defined());
  EXPECT_TRUE(weights->Finish().ok()) << weights->Finish();
}

TEST_F(WeightMapTest, Finish_LeavesLayersAloneFromTheNumberThatIsGiven) {
  const std::string path = Write("m.safetensors", {{"enc.layer.0.w", Counting({2})},
                                                   {"enc.layer.1.w", Counting({2})},
                                                   {"enc.layer.11.w", Counting({2})},
                                                   {"other.layer.5.w", Counting({2})}});
  const WeightMap::Rules rules = {.ignored = {"other.*"}, .layers = "enc.layer."};
  auto weights = WeightMap::Open({path}, rules);
  EXPECT_EQ(weights->num_layers(), 12);
  weights->Take("enc.layer.0.w", {2});
  EXPECT_THAT(Message(*weights), HasSubstr("2 weights that this architecture does not have"));
  weights->IgnoreLayersFrom(2);
  EXPECT_THAT(Message(*weights), AllOf(HasSubstr("1 weights"), HasSubstr("enc.layer.1.w")));
  weights->IgnoreLayersFrom(1);
  EXPECT_TRUE(weights->Finish().ok()) << weights->Finish();
  EXPECT_EQ(WeightMap::Open({path}, {})->num_layers(), 0) << "without Rules::layers";
}

TEST_F(WeightMapTest, Finish_NamesWeightsThatAreLeftOver) {
  std::map<std::string, StoredTensor> tensors = {{"a", Counting({1})}};
  for (int i = 0; i < 7; ++i) tensors["extra." + std::to_string(i)] = Counting({1});
  auto weights = WeightMap::Open({Write("m.safetensors", tensors)}, {});
  weights->Take("a", {1});
  EXPECT_THAT(Message(*weights),
              AllOf(HasSubstr("7 weights"), HasSubstr("\"extra.0\""), HasSubstr("...")));
}

TEST_F(WeightMapTest, Finish_IgnoresByPatternWithSeveralStars) {
  const std::map<std::string, StoredTensor> tensors = {
      {"encoder.layers.3.attention.self_attention.mask_value_float16", Counting({1})},
      {"embeddings.position_ids", Counting({1}, StoredType::kI64)}};
  const std::string path = Write("m.safetensors", tensors);
  const auto finish = [&](std::vector<std::string> ignored) {
    return WeightMap::Open({path}, {.ignored = std::move(ignored)})->Finish().ok();
  };
  EXPECT_TRUE(finish({"embeddings.position_ids", "encoder.layers.*.mask_value_*"}));
  EXPECT_TRUE(finish({"*"}));
  EXPECT_FALSE(finish({"embeddings.position_ids", "encoder.layers.*.mask_value"}));
  EXPECT_FALSE(finish({"embeddings.position_ids", "layers.*.mask_value_*"}));
}

TEST_F(WeightMapTest, TakeOptional_IsSilentWhenAbsentAndStrictWhenPresent) {
  auto weights = WeightMap::Open({Write("m.safetensors", {{"a", Counting({2})}})}, {});
  EXPECT_FALSE(weights->TakeOptional("pooler.bias", {1}).defined());
  EXPECT_FALSE(weights->TakeOptional("a", {3}).defined());
  EXPECT_THAT(Message(*weights), HasSubstr("\"a\" has shape [2]"));
}

TEST_F(WeightMapTest, Take_OfATiedWeightCountsItsParametersOnce) {
  auto weights = WeightMap::Open({Write("m.safetensors", {{"a", Counting({5})}})}, {});
  EXPECT_TRUE(weights->Take("a", {5}).defined());
  EXPECT_TRUE(weights->Take("a", {5}).equal(weights->Take("a", {5})));
  EXPECT_EQ(weights->num_parameters(), 5);
}

TEST_F(WeightMapTest, Open_ReadsEveryFixture) {
  for (const auto& entry : std::filesystem::directory_iterator(LONGSPAN_FIXTURES)) {
    if (!std::filesystem::exists(entry.path() / "config.json"))
      continue;  // tokenizers/ is no model
    const auto weights = WeightMap::Open({entry.path() / "model.safetensors"}, {});
    EXPECT_TRUE(weights.ok()) << weights.status();
  }
}

// Resident bytes of this process, and the part of them that are pages of files.
int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST_F(WeightMapTest, Take_DoesNotKeepTheFileResidentBesideTheCopy) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer's own memory grows with what is read";
#endif
  constexpr int64_t kTensors = 8, kElements = 4 << 20;  // 8 x 16 MiB
  std::map<std::string, StoredTensor> tensors;
  const StoredTensor shared = Counting({kElements});
  for (int64_t i = 0; i < kTensors; ++i) tensors[std::to_string(i)] = shared;
  const std::string path = Write("m.safetensors", tensors);

  auto weights = WeightMap::Open({path}, {});
  std::vector<at::Tensor> taken;
  const int64_t before = ResidentBytes();
  for (int64_t i = 0; i < kTensors; ++i)
    taken.push_back(weights->Take(std::to_string(i), {kElements}));
  const int64_t copied = kTensors * kElements * 4;
  EXPECT_LT(ResidentBytes() - before,
            copied + (8 << 20));  // with the pages of the file it would be twice the copy
}

absl::StatusOr<at::Tensor> TakeOneWeight(const std::vector<std::string>& files) {
  // Example of core/weights/weight_map.h: begin
  absl::StatusOr<WeightMap> weights =
      WeightMap::Open(files, {.prefixes = {"bert.", "roberta."}, .ignored = {"lm_head.*"}});
  if (!weights.ok()) return weights.status();
  const at::Tensor weight = weights->Take("encoder.layer.0.output.dense.weight", {2, 3});
  if (absl::Status status = weights->Finish(); !status.ok()) return status;
  return weight;  // [2, 3], float32
  // Example of core/weights/weight_map.h: end
}

TEST_F(WeightMapTest, ExampleOfTheHeader) {
  ExpectExampleOfHeader("core/weights/weight_map.h", "tests/core/weights/weight_map_test.cc");
  const std::string name = "roberta.encoder.layer.0.output.dense.weight";
  const auto taken = TakeOneWeight(
      {Write("m.safetensors", {{name, Counting({2, 3})}, {"lm_head.bias", Counting({1})}})});
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->sizes(), at::IntArrayRef({2, 3}));
  EXPECT_FALSE(TakeOneWeight({Write("other.safetensors", {{name, Counting({3, 2})}})}).ok());
  EXPECT_FALSE(TakeOneWeight({folder_ + "/none.safetensors"}).ok());
}

}  // namespace
}  // namespace longspan
