// The encoder on a backend: it gives what it gives on the CPU, whatever is asked for, and says what
// becomes of a device that fails.
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/backend/portable_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "tests/core/encoder_fixture.h"

namespace longspan {
namespace {

using testing::HasSubstr;

constexpr PoolingMode kAllModes[] = {PoolingMode::kCls,          PoolingMode::kMax,
                                     PoolingMode::kMean,         PoolingMode::kMeanSqrtLen,
                                     PoolingMode::kWeightedMean, PoolingMode::kLastToken};

// Runs `before_product` before each product, and counts.
class FailingBackend : public PortableBackend {
 public:
  FailingBackend() : PortableBackend(at::Device(at::kCPU)) {}
  std::string name() const override { return "cuda:5"; }
  at::Tensor Product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     kernels::Activation activation) const override {
    ++products;
    if (before_product) before_product();
    return PortableBackend::Product(x, weight, bias, activation);
  }
  at::Tensor Upload(const at::Tensor& host) const override {
    ++uploads;
    return PortableBackend::Upload(host);
  }
  absl::Status CheckDevice() const override { return device; }
  void FreeUnused() const override { ++freed; }

  std::function<void()> before_product;
  absl::Status device;
  mutable int products = 0, uploads = 0, freed = 0;
};

class EncoderBackendTest : public EncoderTest {
 protected:
  // encoder_ is on the CPU; this one is on the backend.
  void LoadBackend() {
    auto encoder = Encoder::Load(checkpoint_.Write(config_), {.backend = backend_});
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    on_backend_ = *std::move(encoder);
  }
  void SetUp() override {
    EncoderTest::SetUp();
    LoadBackend();
  }
  void ExpectSame(const TokenBatch& batch, const std::vector<EncodeOptions>& options) {
    const auto want = encoder_->Encode(batch, options), got = on_backend_->Encode(batch, options);
    for (size_t text = 0; text < want.size(); ++text) {
      ASSERT_TRUE(want[text].ok() && got[text].ok()) << want[text].status() << got[text].status();
      ExpectNear(got[text]->vector, want[text]->vector, 1e-5F);
      ASSERT_EQ(got[text]->span_vectors.size(), want[text]->span_vectors.size());
      for (size_t span = 0; span < want[text]->span_vectors.size(); ++span)
        ExpectNear(got[text]->span_vectors[span], want[text]->span_vectors[span], 1e-5F);
    }
  }

  std::shared_ptr<FailingBackend> backend_ = std::make_shared<FailingBackend>();
  std::unique_ptr<Encoder> on_backend_;
};

TEST_F(EncoderBackendTest, Info_NamesTheDevice) {
  EXPECT_EQ(on_backend_->info().device, "cuda:5");
  EXPECT_EQ(encoder_->info().device, "cpu");
}

// Texts with globals, masks and options of their own in one batch.
TEST_F(EncoderBackendTest, Encode_EqualsTheCpu_WhateverIsAsked) {
  TokenBatch batch;
  std::vector<EncodeOptions> options;
  for (const PoolingMode mode : kAllModes) {
    const std::vector<int32_t> ids = FormulaIds(static_cast<int>(options.size()), 30, 3, 40);
    std::vector<uint8_t> mask(30, 1);
    if (options.size() % 2 == 1) mask[4] = mask[29] = 0;
    const std::vector<int32_t> globals = {0, 7};
    TokenBatch::Text text{.token_ids = ids, .attention_mask = mask};
    if (options.size() % 3 == 0) text.global_positions = globals;
    batch.Add(text);
    options.push_back({.pooling = mode, .spans = {{0, 30}, {3, 9}, {7, 8}, {4, 5}}});
  }
  options[1].normalize = true;
  options[2].dimensions = 6;
  options[3].pooling_begin = 5;
  options[4].document_vector = false;
  ExpectSame(batch, options);
}

TEST_F(EncoderBackendTest, Cls_TakesTheFirstRowAlone) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 40, 3, 40), other = FormulaIds(1, 9, 3, 40);
  const std::vector<int32_t> globals = {0, 20};
  batch.Add({.token_ids = ids});
  batch.Add({.token_ids = other});
  batch.Add({.token_ids = ids, .global_positions = globals});
  ExpectSame(batch, std::vector<EncodeOptions>(3, {.pooling = PoolingMode::kCls}));
}

TEST_F(EncoderBackendTest, TokenSink_GetsTheRowsOfTheCpu) {
  const std::vector<int32_t> ids = FormulaIds(0, 21, 3, 40);
  const std::vector<std::vector<float>> want = TokenRows(ids);
  std::swap(encoder_, on_backend_);
  const std::vector<std::vector<float>> got = TokenRows(ids);
  ASSERT_EQ(got.size(), want.size());
  for (size_t row = 0; row < want.size(); ++row) ExpectNear(got[row], want[row], 1e-5F);
}

TEST_F(EncoderBackendTest, DroppedTexts_LeaveBetweenLayers) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40), globals = {3};
  for (int i = 0; i < 3; ++i) batch.Add({.token_ids = ids, .global_positions = globals});
  int seams = 0;
  const EncodeControl control{.at_seam = [&] { ++seams; },
                              .is_dropped = [&](int32_t text) { return text == 1 && seams >= 2; }};
  const auto results = on_backend_->Encode(batch, std::vector<EncodeOptions>(3), control);
  EXPECT_EQ(results[1].status().code(), absl::StatusCode::kCancelled);
  const std::vector<float> want = Encode(ids, {}, globals).vector;
  ASSERT_TRUE(results[0].ok() && results[2].ok());
  ExpectNear(results[0]->vector, want, 1e-5F);
  ExpectNear(results[2]->vector, want, 1e-5F);
  EXPECT_EQ(seams, 3) << "before each of two layers, and after the last";
}

// What a layer reads is there before the first one: two layers of one window would add none.
TEST_F(EncoderBackendTest, LayersUploadNothing_ThatTheLayerBeforeHasUploaded) {
  config_["attention_window"] = 4;
  LoadBackend();
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40), globals = {3};
  batch.Add({.token_ids = ids, .global_positions = globals});
  std::vector<int> uploads_before_layer;
  const EncodeControl control{
      .at_seam = [&] { uploads_before_layer.push_back(backend_->uploads); }};
  ASSERT_TRUE(on_backend_->Encode(batch, std::vector<EncodeOptions>(1), control)[0].ok());
  ASSERT_EQ(uploads_before_layer.size(), 3u);
  EXPECT_GT(uploads_before_layer[1], uploads_before_layer[0]) << "the first layer's layout";
  EXPECT_EQ(uploads_before_layer[2], uploads_before_layer[1]);
}

// A pass whose last layers are gone is INTERNAL as long as the device lives, and the next works.
TEST_F(EncoderBackendTest, AnExceptionOnAGoodDevice_IsInternal) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 9, 3, 40);
  batch.Add({.token_ids = ids});
  backend_->before_product = [] { TORCH_CHECK(false, "a kernel refused"); };
  const auto failed = on_backend_->Encode(batch, std::vector<EncodeOptions>(1));
  EXPECT_EQ(failed[0].status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(failed[0].status().message()), HasSubstr("a kernel refused"));
  backend_->before_product = {};
  EXPECT_TRUE(on_backend_->Encode(batch, std::vector<EncodeOptions>(1))[0].ok());
}

TEST_F(EncoderBackendTest, ADeviceThatIsGone_IsDeviceLost) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 9, 3, 40);
  batch.Add({.token_ids = ids});
  batch.Add({.token_ids = ids});
  backend_->before_product = [this] {
    backend_->device = absl::InternalError("an illegal memory access was encountered");
    TORCH_CHECK(false, "CUDA error");
  };
  for (const auto& result : on_backend_->Encode(batch, std::vector<EncodeOptions>(2))) {
    EXPECT_EQ(result.status().code(), kDeviceLost);
    EXPECT_EQ(result.status().message(),
              "device cuda:5 is lost: an illegal memory access was encountered");
  }
}

TEST_F(EncoderBackendTest, OutOfMemory_IsResourceExhausted_AndThePoolIsFreed) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 9, 3, 40);
  batch.Add({.token_ids = ids});
  backend_->before_product = [] {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory");
  };
  const auto failed = on_backend_->Encode(batch, std::vector<EncodeOptions>(1));
  EXPECT_EQ(failed[0].status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend_->freed, 1);
  backend_->before_product = {};
  EXPECT_TRUE(on_backend_->Encode(batch, std::vector<EncodeOptions>(1))[0].ok());
}

TEST_F(EncoderBackendTest, WarmUp_Works) {
  EXPECT_TRUE(on_backend_->WarmUp(256).ok());
  EXPECT_GT(backend_->products, 0);
}

TEST_F(EncoderBackendTest, DevicesThatAreNotThere_AreRefusedAtLoad) {
  EXPECT_EQ(TryLoad({.device = "tpu"}).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status missing = TryLoad({.device = "cuda"});
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("device is 'cuda': the CUDA plugin"));
  EXPECT_TRUE(TryLoad({.device = "auto"}).ok());
  EXPECT_EQ(encoder_->info().device, "cpu");
}

TEST(LoadOnABackend, Reformer_IsUnimplemented) {
  const auto folder = ModelFolder::Open(std::string(LONGSPAN_FIXTURES) + "/reformer-local");
  ASSERT_TRUE(folder.ok()) << folder.status();
  const FailingBackend backend;
  const auto model = LoadEncoderModel(*folder, {DataType::kFloat32, &backend});
  EXPECT_EQ(model.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(model.status().message()),
              HasSubstr("model_type is \"reformer\", which runs on device cpu alone; device is "
                        "cuda:5"));
}

}  // namespace
}  // namespace longspan
