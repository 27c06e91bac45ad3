// The memory of the attention kernels does not grow with the square of the length. The tests
// compare the peak of the resident set before and after a run, with the tensors already in place. A
// matrix of one byte a pair would be 64 MiB for the dense text and 4 GiB for the long one.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <random>
#include <vector>

#include "core/kernels/row_attention.h"
#include "core/kernels/sliding_window_attention.h"
#include "tests/reference/attention.h"

namespace longspan::kernels {
namespace {

constexpr int kHeadSize = 64;

int64_t PeakResidentBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

// One text of one head; q, k, v and out are resident after construction.
struct LongText {
  explicit LongText(int length)
      : length(length),
        q(Normal(length)),
        k(Normal(length)),
        v(Normal(length)),
        out(q.size(), -1.0f) {}

  static std::vector<float> Normal(int length) {
    std::mt19937 random(length);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(length) * kHeadSize);
    for (float& value : values) value = normal(random);
    return values;
  }

  void Run(const RowAttentionImplementation& implementation, int64_t window) {
    const int32_t cu_seqlens[2] = {0, length};
    SlidingWindowAttentionParams params;
    params.q = q.data();
    params.k = k.data();
    params.v = v.data();
    params.out = out.data();
    params.q_stride = params.k_stride = params.v_stride = params.out_stride = kHeadSize;
    params.num_heads = 1;
    params.head_size = kHeadSize;
    params.scale = 0.125f;
    params.num_texts = 1;
    params.cu_seqlens = cu_seqlens;
    params.windows = &window;
    const std::vector<RowTask> tasks = SlidingWindowTasks(params);
    implementation.run(params, tasks.data(), static_cast<int64_t>(tasks.size()));
  }

  int length;
  std::vector<float> q, k, v, out;
};

// How much a run on `text` raises the peak, after a shorter run has given every thread its scratch.
int64_t PeakGrowth(const RowAttentionImplementation& implementation, LongText& text,
                   int64_t window) {
  LongText warm_up(4096);
  warm_up.Run(implementation, 64);
  const int64_t before = PeakResidentBytes();
  text.Run(implementation, window);
  return PeakResidentBytes() - before;
}

TEST(SlidingWindowAttentionMemory, BandOf64KTokens_TakesNoMoreThanAFewMiB_AndIsRightAtItsEnd) {
  constexpr int kTokens = 65536, kWindow = 256, kTail = 400;
  LongText text(kTokens);
  for (const auto& implementation : RowAttentionImplementations(ElementType::kFloat32)) {
    EXPECT_LT(PeakGrowth(implementation, text, kWindow), 4 << 20) << implementation.name;
    // The last rows see nothing before the tail, so the tail alone is their reference.
    const auto tail = [](const std::vector<float>& x) {
      return std::vector<float>(x.end() - kTail * kHeadSize, x.end());
    };
    const reference::AttentionResult want =
        reference::Attention(kTail, kHeadSize, 0.125, tail(text.q), tail(text.k), tail(text.v),
                             reference::SlidingWindowPattern(kWindow, {}, {}));
    const std::vector<float> got = tail(text.out);
    for (int i = (kTail - kTail / 4) * kHeadSize; i < kTail * kHeadSize; ++i)
      ASSERT_NEAR(got[i], want.out[i], 1e-5);
  }
}

TEST(SlidingWindowAttentionMemory, DenseTextOf8KTokens_TakesNoMoreThanAFewMiB) {
  LongText text(8192);
  for (const auto& implementation : RowAttentionImplementations(ElementType::kFloat32))
    EXPECT_LT(PeakGrowth(implementation, text, kUnlimitedWindow), 4 << 20) << implementation.name;
}

}  // namespace
}  // namespace longspan::kernels
