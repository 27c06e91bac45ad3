// The process's own allocator behind LibTorch. What reaches the system is counted by functions that
// stand in front of malloc's entry points.
#include "core/runtime/memory.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/attention/global_row_attention.h"
#include "core/encoder.h"
#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"

namespace {

constexpr size_t kLarge = size_t{1} << 20;  // requests of so many bytes are counted
std::atomic<int> large_requests = 0;

void Count(size_t size) {
  if (size >= kLarge) ++large_requests;
}

}  // namespace

// These replace the functions of libc in this program; LibTorch calls them too.
extern "C" int posix_memalign(void** pointer, size_t alignment, size_t size) noexcept {
  static const auto real =
      reinterpret_cast<int (*)(void**, size_t, size_t)>(dlsym(RTLD_NEXT, "posix_memalign"));
  Count(size);
  return real(pointer, alignment, size);
}
extern "C" void* malloc(size_t size) noexcept {
  static const auto real = reinterpret_cast<void* (*)(size_t)>(dlsym(RTLD_NEXT, "malloc"));
  Count(size);
  return real(size);
}
extern "C" void* mmap(void* address, size_t size, int protection, int flags, int file,
                      off_t offset) noexcept {
  static const auto real =
      reinterpret_cast<void* (*)(void*, size_t, int, int, int, off_t)>(dlsym(RTLD_NEXT, "mmap"));
  Count(size);
  return real(address, size, protection, flags, file, offset);
}

namespace longspan {
namespace {

constexpr int64_t kMiB = 1 << 20;

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override { InstallTensorAllocator(); }
  void TearDown() override {
    SetMemoryBudget(0);
    TrimMemory();
  }
};

// The parts of one transformer layer with rows of 300 values, run as a model runs them.
struct Layer {
  Linear qkv{at::randn({900, 300}), at::randn({900}), DataType::kFloat32};
  Linear output{at::randn({300, 300}), at::randn({300}), DataType::kFloat32};
  FeedForward feed_forward{
      Linear(at::randn({1200, 300}), at::randn({1200}), DataType::kFloat32, Activation::kGelu),
      Linear(at::randn({300, 1200}), at::randn({300}), DataType::kFloat32)};
  LayerNorm norm{at::ones({300}), at::randn({300}), 1e-5};
  GlobalProjections global{at::randn({300, 300}), at::randn({300}),      at::randn({300, 300}),
                           at::randn({300}),      at::randn({300, 300}), at::randn({300})};

  at::Tensor operator()(const at::Tensor& x) const {
    const MemoryPass pass;
    const at::Tensor packed = qkv(x);
    at::Tensor attended = packed.narrow(1, 0, 300).contiguous().view({x.size(0), 3, 100});
    const std::vector<int32_t> borders = {0, static_cast<int32_t>(x.size(0))}, globals = {0},
                               global_borders = {0, 1};
    GlobalRowAttention(x, global, 3,
                       {.cu_seqlens = borders, .globals = globals, .cu_globals = global_borders},
                       attended);
    const at::Tensor middle = norm.AddNorm(output(attended.view({x.size(0), 300})), x);
    return norm.AddNorm(feed_forward(middle), middle);
  }
};

TEST_F(MemoryTest, WarmPass_TakesNothingLargeFromTheSystem) {
  const Layer layer;
  const at::Tensor x = at::randn({3000, 300}), shorter = at::randn({1100, 300});
  for (int warm_up = 0; warm_up < 4; ++warm_up) layer(x), layer(shorter);
  const int64_t mappings = GetMemoryStats().num_mappings;
  large_requests = 0;
  for (int pass = 0; pass < 5; ++pass) layer(x), layer(shorter);
  EXPECT_EQ(large_requests, 0);
  EXPECT_EQ(GetMemoryStats().num_mappings, mappings);
}

// What a pass over `num_tokens` tokens holds at once, by the shapes of its model.
struct PassBytes {
  int64_t largest;  // of one tensor
  int64_t together;
};

// A value has the bytes of the model's rows: in int8 two where the processor has bfloat16.
PassBytes LeastBytesOfAPass(const ModelInfo& info, int64_t num_tokens) {
  if (info.architecture == "reformer") {
    // Both streams [T, E] are float32 in every type; the rest of the work runs in small blocks.
    const int64_t stream = num_tokens * info.hidden_size * 4;
    return {.largest = stream, .together = 2 * stream};
  }
  // While a layer attends, three tensors live: its rows [T, E], the packed queries, keys and values
  // [T, 3, H, D] and the attended rows [T, H, D].
  const auto value = static_cast<int64_t>(c10::elementSize(RowType(info.dtype)));
  const int64_t heads = num_tokens * info.num_heads * info.head_size * value;
  return {.largest = 3 * heads, .together = num_tokens * info.hidden_size * value + 4 * heads};
}

// Every architecture in every data type that this processor runs: the whole pass, from embeddings
// to pooled vectors. The widths of the fixtures are small, so a batch has enough rows for tensors
// of more than kLarge.
class WarmEncoderTest : public MemoryTest,
                        public ::testing::WithParamInterface<std::tuple<std::string, DataType>> {};

TEST_P(WarmEncoderTest, TakesNothingLargeFromTheSystem) {
  const auto& [family, dtype] = GetParam();
  const auto encoder =
      Encoder::Load(std::string(LONGSPAN_FIXTURES) + "/" + family, {.dtype = dtype});
  if (encoder.status().code() == absl::StatusCode::kFailedPrecondition)
    GTEST_SKIP() << encoder.status();
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const ModelInfo& info = (*encoder)->info();
  std::vector<int32_t> ids(info.CutToLongest(60));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int32_t>(3 + (i * 7) % (info.vocab_size - 4));
  const std::vector<int32_t> globals =
      ResolveGlobalPositions(info, std::nullopt, {}, static_cast<int64_t>(ids.size()));
  TokenBatch batch;
  while (batch.num_tokens() < 12'000) batch.Add({.token_ids = ids, .global_positions = globals});
  const std::vector<EncodeOptions> options(batch.num_texts(),
                                           EncodeOptions{.pooling = PoolingMode::kMean});
  const auto pass = [&] {
    for (const auto& result : (*encoder)->Encode(batch, options))
      ASSERT_TRUE(result.ok()) << result.status();
  };
  for (int warm_up = 0; warm_up < 5; ++warm_up) pass();
  const PassBytes least = LeastBytesOfAPass(info, batch.num_tokens());
  ASSERT_GT(least.largest, static_cast<int64_t>(kLarge)) << "a pass has a tensor that is counted";
  const MemoryStats needed = GetMemoryStats();
  EXPECT_GE(needed.peak_bytes - needed.live_bytes, least.together)
      << "the arena holds the tensors of a pass";
  const int64_t mappings = GetMemoryStats().num_mappings;
  large_requests = 0;
  for (int i = 0; i < 3; ++i) pass();
  EXPECT_EQ(large_requests, 0);
  EXPECT_EQ(GetMemoryStats().num_mappings, mappings);
}

INSTANTIATE_TEST_SUITE_P(
    AllFamilies, WarmEncoderTest,
    ::testing::Combine(::testing::Values("longformer-windows", "longformer-long", "bert", "roberta",
                                         "led", "modernbert", "bigbird", "reformer-local",
                                         "reformer-lsh", "reformer-mixed"),
                       ::testing::Values(DataType::kFloat32, DataType::kBFloat16, DataType::kInt8)),
    [](const auto& info) {
      std::string name =
          std::get<0>(info.param) + "_" + std::string(DataTypeName(std::get<1>(info.param)));
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// The count of the tests above can fail: work without a warm-up does take memory from the system.
TEST_F(MemoryTest, ColdPass_IsCounted) {
  TrimMemory();
  large_requests = 0;
  at::empty({8 * kMiB});
  EXPECT_GT(large_requests, 0);
}

TEST_F(MemoryTest, Budget_ThrowsOutOfMemory_AndTheNextAllocationWorks) {
  SetMemoryBudget(GetMemoryStats().live_bytes + 10 * kMiB);
  EXPECT_THROW(at::empty({4 * kMiB}), c10::OutOfMemoryError);  // 16 MiB of float32
  EXPECT_EQ(at::ones({kMiB}).sum().item<float>(), static_cast<float>(kMiB));
}

TEST_F(MemoryTest, RefusedByTheSystem_ThrowsOutOfMemory) {
  EXPECT_THROW(at::empty({int64_t{1} << 48}), c10::OutOfMemoryError);
  EXPECT_EQ(at::ones({kMiB}).sum().item<float>(), static_cast<float>(kMiB));
}

TEST_F(MemoryTest, UnusuallyLargePass_GivesItsMemoryBack) {
  const auto pass = [](int64_t megabytes) {
    const MemoryPass scope;
    at::ones({megabytes * kMiB / 4});
  };
  for (int i = 0; i < 8; ++i) pass(8);
  const int64_t before = ResidentBytes();
  pass(500);
#ifdef __SANITIZE_ADDRESS__
  constexpr int64_t kShadow = 500 / 8 * kMiB;  // AddressSanitizer's byte for each 8; it stays
#else
  constexpr int64_t kShadow = 0;
#endif
  EXPECT_LT(ResidentBytes(), before + 30 * kMiB + kShadow);
}

TEST_F(MemoryTest, PassesThatAreUsuallyLarge_KeepTheirMemory) {
  const auto pass = [] {
    const MemoryPass scope;
    at::ones({64 * kMiB / 4});
  };
  for (int i = 0; i < 8; ++i) pass();
  const int64_t mappings = GetMemoryStats().num_mappings;
  for (int i = 0; i < 8; ++i) pass();
  EXPECT_EQ(GetMemoryStats().num_mappings, mappings);
}

TEST_F(MemoryTest, Stats_CountLiveTensors) {
  const MemoryStats before = GetMemoryStats();
  std::optional<at::Tensor> tensor = at::empty({kMiB});
  EXPECT_EQ(GetMemoryStats().live_bytes - before.live_bytes, 4 * kMiB);
  tensor.reset();
  EXPECT_EQ(GetMemoryStats().live_bytes, before.live_bytes);
}

// Each large block lies between two small ones that stay, as the pieces of a message do between
// what others hold. By itself malloc would keep all of them once it has seen a larger block freed.
TEST(MallocTest, LargeBlocksGoBackToTheSystem_WhateverWasFreedBefore) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "another allocator is linked";
  MapLargeBlocks();
  std::free(std::memset(std::malloc(16 << 20), 1, 16 << 20));
  const int64_t before = ResidentPrivateBytes();
  std::vector<void*> large, small;
  for (int i = 0; i < 256; ++i) {
    large.push_back(std::memset(std::malloc(256 << 10), 1, 256 << 10));
    small.push_back(std::malloc(64));
  }
  EXPECT_GE(ResidentPrivateBytes() - before, 60 << 20);
  for (void* block : large) std::free(block);
  EXPECT_LE(ResidentPrivateBytes() - before, 4 << 20);
  for (void* block : small) std::free(block);
}

TEST(TensorBudgetTest, LeavesATenth_AndWhatTheProcessHasWithoutAModel) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  EXPECT_EQ(TensorBudget(10'000 * kMiB, 60 * kMiB), 9'000 * kMiB);
  EXPECT_EQ(TensorBudget(200 * kMiB, 60 * kMiB), (200 - 60 - 16 - 16) * kMiB);
  EXPECT_LE(TensorBudget(70 * kMiB, 60 * kMiB), 0);
  EXPECT_GT(ResidentPrivateBytes(), 0);
}

}  // namespace
}  // namespace longspan
