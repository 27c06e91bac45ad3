// Linear layers and feed-forward in useful GFLOP/s, and the addition with LayerNorm in GB/s, each
// with its share of what the units and the memory of this machine do in the same run (roofline.h).
// The sizes are those of a base model: 768 wide, 3072 in the feed-forward.
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include <string>

#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"
#include "core/models/row_blocks.h"
#include "core/runtime/memory.h"
#include "tests/bench/roofline.h"

namespace longspan {
namespace {

template <typename Run>
void Report(benchmark::State& state, DataType dtype, double flop, Run run) {
  bench::MeasureAgainstRoofline(state, {.units = {{bench::UnitOfLinear(dtype), flop}}}, run);
  state.SetLabel(std::string(DataTypeName(dtype)));
}

void BM_Linear(benchmark::State& state) {
  InstallTensorAllocator();
  const DataType dtype = static_cast<DataType>(state.range(0));
  if (!CheckDataTypeSupported(dtype).ok()) return state.SkipWithError("not on this processor");
  const int64_t rows = state.range(1), in = state.range(2), out = state.range(3);
  const Linear linear(at::randn({out, in}), at::randn({out}), dtype,
                      in < out ? Activation::kGelu : Activation::kNone);
  const at::Tensor x = at::randn({rows, in}).to(RowType(dtype));
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
  const FeedForward feed_forward(
      Linear(at::randn({3072, 768}), at::randn({3072}), dtype, Activation::kGelu),
      Linear(at::randn({768, 3072}), at::randn({768}), dtype));
  const LayerNorm norm(at::ones({768}), at::randn({768}), 1e-5);
  const at::Tensor x = at::randn({state.range(1), 768}).to(RowType(dtype));
  Report(state, dtype, 4.0 * static_cast<double>(state.range(1)) * 768 * 3072, [&] {
    ForEachRowBlock(x.size(0), nullptr, [&](int64_t begin, int64_t end) {
      const at::Tensor rows = x.slice(0, begin, end);
      norm.AddNorm(feed_forward(rows), rows);
    });
  });
}
BENCHMARK(BM_FeedForward)
    ->ArgNames({"dtype", "rows"})
    ->ArgsProduct({{0, 1, 2}, {128, 4096}})
    ->Unit(benchmark::kMillisecond);

// It reads x and the residual, and writes the normalised sum.
void BM_AddLayerNorm(benchmark::State& state) {
  InstallTensorAllocator();
  const at::ScalarType type = RowType(static_cast<DataType>(state.range(0)));
  const LayerNorm norm(at::ones({768}), at::randn({768}), 1e-5);
  const at::Tensor x = at::randn({4096, 768}).to(type), residual = at::randn({4096, 768}).to(type);
  at::Tensor out = at::empty(x.sizes(), x.options());
  const double bytes = 3.0 * static_cast<double>(x.numel() * x.element_size());
  bench::MeasureAgainstRoofline(state, {.bytes = bytes}, [&] { norm.Run(x, residual, out); });
}
BENCHMARK(BM_AddLayerNorm)->ArgName("dtype")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace longspan
