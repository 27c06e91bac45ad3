// The encoder on a backend: it gives what it gives on the CPU, whatever is asked for, and says what
// becomes of a device that fails.
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "core/backend/portable_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/cost_model.h"
#include "tests/core/backend/recording_backend.h"
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
    if (x.size(0) > most_rows) TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory");
    return PortableBackend::Product(x, weight, bias, activation);
  }
  HostCopy ReadBack(const at::Tensor& values) const override {
    return [copy = PortableBackend::ReadBack(values), wait = before_copy] {
      if (wait) wait();
      return copy();
    };
  }
  absl::Status CheckDevice() const override { return device; }
  DeviceMemory Memory() const override { return {.total_bytes = 1000, .free_bytes = 400}; }
  void FreeUnused() const override {
    ++freed;
    if (before_free) before_free();
  }

  std::function<void()> before_product, before_free;
  std::function<void()> before_copy;                        // of those that are begun from now on
  int64_t most_rows = std::numeric_limits<int64_t>::max();  // more of them do not fit in memory
  absl::Status device;
  mutable std::atomic<int> products = 0;
  mutable int uploads = 0, freed = 0;

 protected:
  at::Tensor CopyToDevice(const at::Tensor& host) const override {
    ++uploads;
    return PortableBackend::CopyToDevice(host);
  }
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
  ExpectNear(results[0]->vector, want);
  ExpectNear(results[2]->vector, want);
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

// The device's queue gets the next pass while the vectors of the one before are on their way.
TEST_F(EncoderBackendTest, TheNextPass_IsPutOnTheQueue_WhileOneWaitsForItsVectors) {
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40), other = FormulaIds(1, 12, 3, 40);
  const std::vector<float> want = Encode(ids).vector, want_other = Encode(other).vector;
  const auto encode = [this](const std::vector<int32_t>& text) {
    TokenBatch batch;
    batch.Add({.token_ids = text});
    return on_backend_->Encode(batch, std::vector<EncodeOptions>(1))[0];
  };
  absl::Notification waits, computed;
  backend_->before_copy = [&] {
    waits.Notify();
    computed.WaitForNotification();
  };
  absl::StatusOr<EncodedText> first = absl::InternalError("not yet");
  std::thread thread([&] { first = encode(ids); });
  waits.WaitForNotification();
  backend_->before_copy = {};
  const absl::StatusOr<EncodedText> second = encode(other);
  EXPECT_FALSE(computed.HasBeenNotified());
  computed.Notify();
  thread.join();
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  ExpectNear(first->vector, want, 1e-5F);
  ExpectNear(second->vector, want_other, 1e-5F);
}

// Its rows are copied block by block, and no block should wait for the layers of another pass.
TEST_F(EncoderBackendTest, ThePassOfATokenSink_KeepsItsTurn_UntilItsRowsAreThere) {
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40);
  std::thread other;
  int products_in_sink = 0;
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  std::vector<EncodeOptions> options(1);
  options[0].token_sink = [&](int64_t, int64_t, const float*) {
    const int before = backend_->products;
    other = std::thread([&] { on_backend_->Encode(batch, std::vector<EncodeOptions>(1)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // ample for its first product
    products_in_sink = backend_->products - before;
  };
  EXPECT_TRUE(on_backend_->Encode(batch, options)[0].ok());
  other.join();
  EXPECT_EQ(products_in_sink, 0);
}

TEST_F(EncoderBackendTest, AnotherPass_MayRunAtASeam) {
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40), other = FormulaIds(1, 12, 3, 40);
  const auto encode = [this](const std::vector<int32_t>& text, const EncodeControl& control) {
    TokenBatch batch;
    batch.Add({.token_ids = text});
    return on_backend_->Encode(batch, std::vector<EncodeOptions>(1), control)[0];
  };
  absl::StatusOr<EncodedText> inner = absl::InternalError("not run");
  const auto outer = encode(ids, {.at_seam = [&] { inner = encode(other, {}); }});
  ASSERT_TRUE(outer.ok() && inner.ok()) << outer.status() << inner.status();
  ExpectNear(outer->vector, Encode(ids).vector, 1e-5F);
  ExpectNear(inner->vector, Encode(other).vector, 1e-5F);
}

// --- Recorded runs of layers.

TEST_F(EncoderBackendTest, ALoneTextOfALengthThatComesAgain_IsRepeated_AndRight) {
  auto recording = std::make_shared<RecordingBackend>();
  auto loaded = Encoder::Load(checkpoint_.Write(config_), {.backend = recording});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  on_backend_ = *std::move(loaded);
  ASSERT_TRUE(on_backend_->WarmUp(256).ok());
  EXPECT_EQ(recording->recorded, 0) << "what is calibrated are shapes that are new";
  for (int text = 0; text < 4; ++text) {
    TokenBatch batch;
    const std::vector<int32_t> ids = FormulaIds(text, 30, 3, 40);
    batch.Add({.token_ids = ids});
    const auto got = on_backend_->Encode(batch, std::vector<EncodeOptions>(1));
    ASSERT_TRUE(got[0].ok()) << got[0].status();
    ExpectNear(got[0]->vector, Encode(ids).vector, 1e-5F);
  }
  EXPECT_EQ(recording->recorded, 1);
  EXPECT_EQ(recording->repeated, 2);
}

// What recordings hold may be what is missing.
TEST_F(EncoderBackendTest, WhereMemoryIsShort_RecordingsAreGivenBack) {
  struct Full : RecordingBackend {
    at::Tensor Product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       kernels::Activation activation) const override {
      if (x.size(0) > 40) TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory");
      return RecordingBackend::Product(x, weight, bias, activation);
    }
  };
  auto recording = std::make_shared<Full>();
  auto loaded = Encoder::Load(checkpoint_.Write(config_), {.backend = recording});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto encode = [&](int length) {
    TokenBatch batch;
    const std::vector<int32_t> ids = FormulaIds(0, length, 3, 40);
    batch.Add({.token_ids = ids});
    return (*loaded)->Encode(batch, std::vector<EncodeOptions>(1))[0].status();
  };
  for (int time = 0; time < 3; ++time) ASSERT_TRUE(encode(30).ok());
  EXPECT_EQ(recording->repeated, 1);
  EXPECT_EQ(encode(60).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(encode(30).ok());
  EXPECT_EQ(recording->repeated, 1) << "the shape is new again";
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

// What the server's worker does with such a batch: both halves again.
TEST_F(EncoderBackendTest, ABatchThatDoesNotFit_IsRightInHalves) {
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40);
  const std::vector<float> want = Encode(ids).vector;
  const auto encode = [&](int texts) {
    TokenBatch batch;
    for (int i = 0; i < texts; ++i) batch.Add({.token_ids = ids});
    return on_backend_->Encode(batch, std::vector<EncodeOptions>(texts));
  };
  backend_->most_rows = 75;
  for (const auto& result : encode(4))
    EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend_->freed, 1);
  for (const auto& result : encode(2)) {
    ASSERT_TRUE(result.ok()) << result.status();
    ExpectNear(result->vector, want, 1e-5F);
  }
}

// On a device that is gone nothing can be given back. No exception leaves the encoder.
TEST_F(EncoderBackendTest, APoolThatCannotBeFreed_IsTheDevices) {
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 9, 3, 40);
  batch.Add({.token_ids = ids});
  backend_->most_rows = 1;
  backend_->before_free = [this] {
    backend_->device = absl::InternalError("unspecified launch failure");
    TORCH_CHECK(false, "CUDA error");
  };
  EXPECT_EQ(on_backend_->Encode(batch, std::vector<EncodeOptions>(1))[0].status().code(),
            kDeviceLost);
}

TEST_F(EncoderBackendTest, Memory_IsTheDevices) {
  EXPECT_TRUE(on_backend_->on_backend());
  EXPECT_EQ(on_backend_->device_memory().total_bytes, 1000);
  EXPECT_EQ(on_backend_->device_memory().free_bytes, 400);
  EXPECT_FALSE(encoder_->on_backend());
  EXPECT_EQ(encoder_->device_memory().total_bytes, 0);
}

// A thread that sleeps stands for one that waits for a card: it uses no CPU time. A team would spin
// beside it.
TEST_F(EncoderBackendTest, WarmUp_CalibratesByTheTimeThatPassesTake_NotByCpuTime) {
  auto loaded = Encoder::Load(checkpoint_.Write(config_), {.num_threads = 1, .backend = backend_});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  on_backend_ = *std::move(loaded);
  constexpr auto kProduct = std::chrono::milliseconds(5);
  backend_->before_product = [&] { std::this_thread::sleep_for(kProduct); };
  ASSERT_TRUE(on_backend_->WarmUp(256).ok());
  backend_->products = 0;
  TokenBatch batch;
  const std::vector<int32_t> ids = FormulaIds(0, 30, 3, 40);
  batch.Add({.token_ids = ids});
  ASSERT_TRUE(on_backend_->Encode(batch, std::vector<EncodeOptions>(1))[0].ok());
  const double asleep = backend_->products * std::chrono::duration<double>(kProduct).count();
  const std::vector<TextShape> texts = {TextShape(30)};
  EXPECT_GE(on_backend_->cost_model().BatchSeconds(texts), 0.8 * asleep);
}

TEST_F(EncoderBackendTest, TypesOfABackend) {
  const auto folder = ModelFolder::Open(checkpoint_.Write(config_));
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto type = [&](const std::string& name) {
    return ResolveDataType(name, *folder, backend_.get());
  };
  EXPECT_EQ(*type("auto"), DataType::kBFloat16);
  EXPECT_EQ(*type("float16"), DataType::kFloat16);
  EXPECT_EQ(*type("float32"), DataType::kFloat32);
  EXPECT_EQ(type("fp8").status().message(),
            "dtype is 'fp8'; allowed: float32, bfloat16, float16, int8, auto");
  EXPECT_EQ(ResolveDataType("float16", *folder).status().message(),
            "dtype is 'float16', which needs a card (device cuda); allowed on device cpu: float32, "
            "bfloat16, int8, auto");
  EXPECT_NE(*ResolveDataType("auto", *folder), DataType::kFloat16);
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

// Its rows are padded, and lie in another order than the texts.
TEST(EncodeOnABackend, Reformer_EqualsTheCpu) {
  const std::string folder = std::string(LONGSPAN_FIXTURES) + "/reformer-auto";
  const auto on_cpu = Encoder::Load(folder);
  const auto on_backend = Encoder::Load(folder, {.backend = std::make_shared<FailingBackend>()});
  ASSERT_TRUE(on_cpu.ok() && on_backend.ok()) << on_cpu.status() << on_backend.status();
  TokenBatch batch;
  std::vector<EncodeOptions> options;
  for (const PoolingMode mode : kAllModes) {
    for (const int length : {60, 5, 30}) {
      const auto place = static_cast<int>(options.size());
      const std::vector<int32_t> ids = FormulaIds(place, length, 3, 40);
      std::vector<uint8_t> mask(length, 1);
      if (place % 2 == 1) mask[4] = mask[length - 2] = 0;
      batch.Add({.token_ids = ids, .attention_mask = mask});
      options.push_back({.pooling = mode, .spans = {{0, length}, {1, 4}}});
    }
  }
  const auto want = (*on_cpu)->Encode(batch, options), got = (*on_backend)->Encode(batch, options);
  for (size_t text = 0; text < want.size(); ++text) {
    ASSERT_TRUE(want[text].ok() && got[text].ok()) << want[text].status() << got[text].status();
    ExpectNear(got[text]->vector, want[text]->vector, 2e-5F);
    ASSERT_EQ(got[text]->span_vectors.size(), 2u);
    for (size_t span = 0; span < 2; ++span)
      ExpectNear(got[text]->span_vectors[span], want[text]->span_vectors[span], 2e-5F);
  }
}

}  // namespace
}  // namespace longspan
