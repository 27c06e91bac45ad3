// Linear layers in GFLOP/s and as a share of what this machine's GEMM reaches at its best shape in the same run (2,048 rows,
// 768 -> 3,072, no activation), times the width of the type (bfloat16 2, int8 4), and LayerNorm in GB/s.
// GFLOP/s is wall time; per core is processor time of all threads together, which a busy machine disturbs little, and the share
// compares that. Base geometry. OMP_NUM_THREADS chooses the threads; OMP_WAIT_POLICY=passive keeps waiting out of processor time.
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>

#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"
#include "core/memory.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

at::ScalarType StreamType(DataType dtype) { return dtype == DataType::kBFloat16 ? at::kBFloat16 : at::kFloat; }

// In units of 1e9 a second. By the wall the best run counts, since other processes only ever make a run slower; by processor time
// the mean, since the clock of a thread that sleeps at a barrier lags within one run.
struct Speed {
  double wall = 0;
  double per_core = 0;
  double total_work = 0, total_cpu_seconds = 0;

  template <typename Run>
  void Measure(double work, Run run) {
    const Clock::time_point begin = Clock::now();
    const std::clock_t cpu_begin = std::clock();
    run();
    total_cpu_seconds += static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
    total_work += work;
    wall = std::max(wall, work / std::chrono::duration<double>(Clock::now() - begin).count() / 1e9);
    if (total_cpu_seconds > 0) per_core = total_work / total_cpu_seconds / 1e9;
  }
};

// float32's best GEMM of this run on one core; the units do twice as much in bfloat16 and four times as much in int8.
double BestGemmPerCore(DataType dtype) {
  static const double float32 = [] {
    const Linear linear(at::randn({3072, 768}), {}, DataType::kFloat32);
    const at::Tensor x = at::randn({2048, 768});
    Speed speed;
    for (int i = 0; i < 10; ++i) speed.Measure(2.0 * 2048 * 768 * 3072, [&] { linear(x); });
    return speed.per_core;
  }();
  return float32 * (dtype == DataType::kFloat32 ? 1 : dtype == DataType::kBFloat16 ? 2 : 4);
}

template <typename Run>
void Report(benchmark::State& state, DataType dtype, double flop, Run run) {
  run();
  Speed speed;
  for (auto _ : state) speed.Measure(flop, run);
  state.counters["GFLOP/s"] = speed.wall;
  state.counters["per_core"] = speed.per_core;
  state.counters["share"] = speed.per_core / BestGemmPerCore(dtype);
  state.SetLabel(std::string(DataTypeName(dtype)));
}

void BM_Linear(benchmark::State& state) {
  InstallTensorAllocator();
  const DataType dtype = static_cast<DataType>(state.range(0));
  if (!CheckDataTypeSupported(dtype).ok()) return state.SkipWithError("not on this processor");
  const int64_t rows = state.range(1), in = state.range(2), out = state.range(3);
  const Linear linear(at::randn({out, in}), at::randn({out}), dtype, in < out ? Activation::kGelu : Activation::kNone);
  const at::Tensor x = at::randn({rows, in}).to(StreamType(dtype));
  Report(state, dtype, 2.0 * static_cast<double>(rows * in * out), [&] { linear(x); });
}
BENCHMARK(BM_Linear)
    ->ArgNames({"dtype", "rows", "in", "out"})
    ->ArgsProduct({{0, 1, 2}, {1, 64, 512, 4096}, {768}, {768, 3072}})
    ->ArgsProduct({{0, 1, 2}, {64, 512, 4096}, {3072}, {768}})
    ->Unit(benchmark::kMillisecond);

void BM_FeedForward(benchmark::State& state) {
  InstallTensorAllocator();
  const DataType dtype = static_cast<DataType>(state.range(0));
  if (!CheckDataTypeSupported(dtype).ok()) return state.SkipWithError("not on this processor");
  const FeedForward feed_forward(Linear(at::randn({3072, 768}), at::randn({3072}), dtype, Activation::kGelu),
                                 Linear(at::randn({768, 3072}), at::randn({768}), dtype));
  const LayerNorm norm(at::ones({768}), at::randn({768}), 1e-5);
  const at::Tensor x = at::randn({state.range(1), 768}).to(StreamType(dtype));
  Report(state, dtype, 4.0 * static_cast<double>(state.range(1)) * 768 * 3072, [&] { feed_forward.PostNorm(x, norm); });
}
BENCHMARK(BM_FeedForward)->ArgNames({"dtype", "rows"})->ArgsProduct({{0, 1, 2}, {128, 4096}})->Unit(benchmark::kMillisecond);

// Reads x and the residual, writes the sum's norm.
void BM_AddLayerNorm(benchmark::State& state) {
  InstallTensorAllocator();
  const at::ScalarType type = StreamType(static_cast<DataType>(state.range(0)));
  const LayerNorm norm(at::ones({768}), at::randn({768}), 1e-5);
  const at::Tensor x = at::randn({4096, 768}).to(type), residual = at::randn({4096, 768}).to(type);
  at::Tensor out = at::empty(x.sizes(), x.options());
  const double bytes = 3.0 * static_cast<double>(x.numel() * x.element_size());
  Speed speed;
  for (auto _ : state) speed.Measure(bytes, [&] { norm.Run(x, residual, false, out); });
  state.counters["GB/s"] = speed.wall;
  state.counters["per_core"] = speed.per_core;
}
BENCHMARK(BM_AddLayerNorm)->ArgName("dtype")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace longspan
