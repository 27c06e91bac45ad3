// What late interaction costs beside the pass that made the vectors: tokens a second of one core,
// to make rows of int8 (TokenMatrix) and to compare them with a question (CellCosines).
//
//   late_interaction_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "core/search/cells.h"
#include "core/search/late_interaction.h"
#include "core/search/token_matrix.h"

namespace longspan {
namespace {

constexpr int64_t kTokens = 16384;

std::vector<float> Rows(int64_t count, int64_t width) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * width);
  for (float& value : rows) value = normal(random);
  return rows;
}

void BM_MakeRows(benchmark::State& state) {
  const int64_t width = state.range(0);
  const std::vector<float> rows = Rows(kTokens, width);
  TokenMatrix matrix(width);
  matrix.Resize(kTokens);
  for (auto _ : state) {
    matrix.Set(0, rows.data(), kTokens);
    benchmark::DoNotOptimize(matrix.rows());
  }
  state.SetItemsProcessed(state.iterations() * kTokens);
}
BENCHMARK(BM_MakeRows)->ArgNames({"width"})->Arg(384)->Arg(768);

void BM_Compare(benchmark::State& state) {
  const int64_t width = state.range(0), tokens = state.range(1);
  TokenMatrix matrix(width);
  matrix.Append(Rows(kTokens, width).data(), kTokens);
  const LateQuestion question(Rows(tokens, width).data(), tokens, width);
  for (auto _ : state)
    benchmark::DoNotOptimize(CellCosines(question, matrix, 0, kTokens, kCellTokens));
  state.SetItemsProcessed(state.iterations() * kTokens);
}
BENCHMARK(BM_Compare)
    ->ArgNames({"width", "question"})
    ->Args({384, 16})
    ->Args({384, 32})
    ->Args({384, 64})
    ->Args({768, 16});

}  // namespace
}  // namespace longspan
