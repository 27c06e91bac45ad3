// Reformer on three scales:
//   - its kernels by themselves: useful GFLOP/s and share of the roofline; kernels that run on the
//     calling thread are called once on each thread;
//   - a layer of each kind, with random weights;
//   - the whole model with the geometry of crime-and-punishment (6 layers local/lsh, E 256, 2 heads
//     of 64, ffn 512, chunks of 64 with 64 before, axial [512, 1024]), with random weights.
// Layers and model report tokens a second, and how far the peak of the resident set rose above what
// was resident before.
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>
#include <omp.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <string>

#include "core/checkpoint/model_folder.h"
#include "core/kernels/bfloat16.h"
#include "core/kernels/local_chunk_attention.h"
#include "core/kernels/lsh_hash.h"
#include "core/kernels/lsh_merge.h"
#include "core/kernels/lsh_sort.h"
#include "core/layers/linear.h"
#include "core/models/reformer/model.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"
#include "tests/bench/roofline.h"

namespace longspan {
namespace {

using kernels::BFloat16;
using kernels::ElementType;

std::vector<float> Normal(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<int32_t> Shuffled(int32_t count) {
  std::vector<int32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(2));
  return order;
}

// Calls block(0) ... block(n - 1) on the team.
template <class Block>
void OnTheTeam(int32_t n, const Block& block) {
#pragma omp parallel for schedule(dynamic)
  for (int32_t i = 0; i < n; ++i) block(i);
}

// Chunks of one head that see themselves and the chunk before, causal, in blocks of 512 slots as
// the layers make them. The rows lie anywhere for lsh and in order otherwise.
void BM_ChunkAttention(benchmark::State& state,
                       kernels::ChunkAttentionImplementation implementation, ElementType type,
                       bool lsh) {
  const int32_t tokens = static_cast<int32_t>(state.range(0));
  const int32_t C = static_cast<int32_t>(state.range(1)), D = static_cast<int32_t>(state.range(2));
  const int32_t chunks = tokens / C, chunks_a_block = std::max(1, 512 / C);
  const std::vector<float> qkv = Normal(static_cast<size_t>(tokens) * 2 * D);
  std::vector<BFloat16> halves(qkv.size());
  for (size_t i = 0; i < qkv.size(); ++i) kernels::FromFloat(qkv[i], &halves[i]);
  const bool wide = type == ElementType::kFloat32;
  const char* rows = wide ? reinterpret_cast<const char*>(qkv.data())
                          : reinterpret_cast<const char*>(halves.data());
  const std::vector<int32_t> slots = Shuffled(tokens);
  std::vector<int32_t> key_slots(chunks * 2);
  std::vector<kernels::ChunkTask> tasks;
  for (int32_t c = 0; c < chunks; ++c) {
    key_slots[c * 2] = (c + chunks - 1) % chunks * C;
    key_slots[c * 2 + 1] = c * C;
    tasks.push_back({.query_slot = c * C,
                     .length = C,
                     .out_row = c % chunks_a_block * C,
                     .num_key_chunks = 2,
                     .key_slots = &key_slots[c * 2]});
  }
  const auto pass = [&] {
    OnTheTeam(chunks / chunks_a_block, [&](int32_t block) {
      thread_local std::vector<float> out;
      out.resize(static_cast<size_t>(chunks_a_block) * C * D);
      implementation.run({.type = type,
                          .q = rows,
                          .k = rows,
                          .v = rows + D * (wide ? sizeof(float) : sizeof(BFloat16)),
                          .q_stride = 2 * D,
                          .k_stride = 2 * D,
                          .v_stride = 2 * D,
                          .num_heads = 1,
                          .head_size = D,
                          .lsh = lsh,
                          .causal = true,
                          .slot_rows = lsh ? slots.data() : nullptr,
                          .tasks = &tasks[block * chunks_a_block],
                          .num_tasks = chunks_a_block,
                          .out_type = type,
                          .out = out.data(),
                          .out_stride = D});
    });
  };
  const double flop = 4.0 * tokens * 2 * C * D;
  bench::MeasureAgainstRoofline(state, {.units = bench::AttentionWork(implementation.name, flop)},
                                pass);
}

void BM_LshHash(benchmark::State& state) {
  constexpr int32_t kTokens = 65536, kHeadSize = 64, kBlock = 256, kColumns = 96;
  const int32_t hashes = static_cast<int32_t>(state.range(0)), columns = hashes * kColumns;
  const int32_t stride = (columns + 31) / 32 * 32;
  const std::vector<float> x = Normal(static_cast<size_t>(kTokens) * kHeadSize);
  const std::vector<float> rotations = Normal(kHeadSize * stride);
  std::vector<int32_t> buckets(static_cast<size_t>(kTokens) * hashes);
  const int32_t factors[] = {64, 128};
  bench::MeasureAgainstRoofline(
      state,
      {.units = {{bench::UnitOf(kernels::LshHashImplementations().front().name),
                  2.0 * kTokens * kHeadSize * columns}}},
      [&] {
        OnTheTeam(kTokens / kBlock, [&](int32_t block) {
          kernels::LshHash({.x = x.data() + static_cast<size_t>(block) * kBlock * kHeadSize,
                            .x_stride = kHeadSize,
                            .rows = kBlock,
                            .head_size = kHeadSize,
                            .rotations = rotations.data(),
                            .rotation_stride = stride,
                            .num_hashes = hashes,
                            .factors = factors,
                            .num_factors = 2,
                            .buckets = buckets.data() + block * kBlock,
                            .bucket_stride = kTokens});
        });
      });
}

// One head and round, on one thread as in the layers.
void BM_LshSort(benchmark::State& state) {
  const int32_t tokens = static_cast<int32_t>(state.range(0));
  std::mt19937 random(3);
  std::vector<int32_t> buckets(tokens), slots(tokens);
  for (int32_t& bucket : buckets) bucket = static_cast<int32_t>(random() % 8192);
  for (auto _ : state) kernels::LshSort(buckets.data(), tokens, 8193, slots.data());
  state.counters["keys/s"] = benchmark::Counter(static_cast<double>(tokens * state.iterations()),
                                                benchmark::Counter::kIsRate);
}

// A round of one head that is not its first, with rows that lie anywhere.
void BM_LshMerge(benchmark::State& state) {
  const int32_t tokens = static_cast<int32_t>(state.range(0));
  constexpr int32_t kHeadSize = 64, kBlock = 512;
  const std::vector<float> out = Normal(kBlock * kHeadSize), lse = Normal(kBlock);
  std::vector<float> sum(static_cast<size_t>(tokens) * kHeadSize);
  std::vector<float> maximum(tokens), weight(tokens, 1.0f);
  const std::vector<int32_t> slots = Shuffled(tokens);
  const kernels::LshMergeState merged{sum.data(), maximum.data(), weight.data(), kHeadSize};
  // It reads and writes the sum and reads the results.
  bench::MeasureAgainstRoofline(state, {.bytes = 3.0 * tokens * kHeadSize * sizeof(float)}, [&] {
    OnTheTeam(tokens / kBlock, [&](int32_t block) {
      kernels::LshMergeRound(merged, out.data(), lse.data(), 0, &slots[block * kBlock], kBlock,
                             false);
    });
  });
}

// The value of a line of /proc/self/status, in MiB.
double StatusMiB(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return std::stod(line.substr(key.size())) / 1024;
  }
  return 0;
}

// Makes the kernel forget the peak of the resident set so far.
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

nlohmann::json Config(const std::vector<std::string>& layers) {
  return {{"model_type", "reformer"},
          {"attn_layers", layers},
          {"vocab_size", 320},
          {"hidden_size", 256},
          {"num_attention_heads", 2},
          {"attention_head_size", 64},
          {"feed_forward_size", 512},
          {"axial_pos_shape", {512, 1024}},
          {"axial_pos_embds_dim", {64, 192}},
          {"max_position_embeddings", 524288},
          {"num_buckets", {64, 128}},
          {"is_decoder", true}};
}

class RandomCheckpoint {
 public:
  void Add(const std::string& name, std::vector<int64_t> shape, float scale, float offset = 0) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    std::normal_distribution<float> normal(offset, scale);
    for (int64_t i = 0; i < count; ++i) values_[name].push_back(normal(random_));
    shapes_[name] = std::move(shape);
  }
  void AddNorm(const std::string& name, int64_t size) {
    Add(name + ".weight", {size}, 0.1f, 1.0f);
    Add(name + ".bias", {size}, 0.1f);
  }
  void Write(const std::string& folder, const nlohmann::json& config) {
    std::map<std::string, StoredTensor> tensors;
    for (const auto& [name, values] : values_)
      tensors[name] = {.type = StoredType::kF32,
                       .shape = shapes_[name],
                       .data = std::as_bytes(std::span(values))};
    const absl::Status status = WriteSafetensors(folder + "/model.safetensors", tensors);
    if (!status.ok()) std::abort();
    std::ofstream(folder + "/config.json") << config;
  }

 private:
  std::mt19937 random_{1};
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, std::vector<int64_t>> shapes_;
};

std::unique_ptr<EncoderModel> MakeModel(DataType dtype, const std::vector<std::string>& layers) {
  RandomCheckpoint checkpoint;
  checkpoint.Add("embeddings.word_embeddings.weight", {320, 256}, 1.0f);
  checkpoint.Add("embeddings.position_embeddings.weights.0", {512, 1, 64}, 1.0f);
  checkpoint.Add("embeddings.position_embeddings.weights.1", {1, 1024, 192}, 1.0f);
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string layer = "encoder.layers." + std::to_string(i) + ".";
    checkpoint.AddNorm(layer + "attention.layer_norm", 256);
    for (const std::string& name : layers[i] == "lsh"
                                       ? std::vector<std::string>{"query_key", "value"}
                                       : std::vector<std::string>{"query", "key", "value"}) {
      checkpoint.Add(layer + "attention.self_attention." + name + ".weight", {128, 256}, 0.06f);
    }
    checkpoint.Add(layer + "attention.output.dense.weight", {256, 128}, 0.06f);
    checkpoint.AddNorm(layer + "feed_forward.layer_norm", 256);
    checkpoint.Add(layer + "feed_forward.dense.dense.weight", {512, 256}, 0.06f);
    checkpoint.Add(layer + "feed_forward.dense.dense.bias", {512}, 0.1f);
    checkpoint.Add(layer + "feed_forward.output.dense.weight", {256, 512}, 0.04f);
    checkpoint.Add(layer + "feed_forward.output.dense.bias", {256}, 0.1f);
  }
  checkpoint.AddNorm("encoder.layer_norm", 512);
  std::string folder = (std::filesystem::temp_directory_path() / "longspan_bench_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) std::abort();
  checkpoint.Write(folder, Config(layers));
  absl::StatusOr<ModelFolder> opened = ModelFolder::Open(folder);
  auto model = opened.ok() ? LoadReformer(*opened, dtype) : opened.status();
  std::filesystem::remove_all(folder);
  if (!model.ok()) std::abort();
  return *std::move(model);
}

// FLOP of `tokens` tokens by unit: the attention, the linear layers, and what is float32 in every
// type (LSH queries and hashing). A chunk of 64 sees 128 keys; factors of 64 and 128 are 96 columns
// of hashing.
bench::Work WorkOf(DataType dtype, const std::vector<std::string>& layers, int32_t num_hashes,
                   double tokens) {
  constexpr double E = 256, HD = 128, F = 512, kKeys = 128, kColumns = 96;
  double linear = 0, float32 = 0, attention = 0;
  for (const std::string& layer : layers) {
    const bool lsh = layer == "lsh";
    const double rounds = lsh ? num_hashes : 1;
    linear += 2 * E * HD * (lsh ? 2 : 4) + 4 * E * F;
    float32 += lsh ? 2 * E * HD + 2 * HD * kColumns * rounds : 0;
    attention += 4 * kKeys * HD * rounds;
  }
  const ElementType type =
      RowType(dtype) == at::kFloat ? ElementType::kFloat32 : ElementType::kBFloat16;
  bench::Work work{
      .units = bench::AttentionWork(kernels::ChunkAttentionImplementations(type).front().name,
                                    attention * tokens)};
  work.units.push_back({bench::UnitOfLinear(dtype), linear * tokens});
  work.units.push_back({bench::UnitOfLinear(DataType::kFloat32), float32 * tokens});
  return work;
}

TokenBatch RandomTexts(int32_t num_texts, int64_t length, int32_t num_hashes) {
  std::mt19937 random(2);
  TokenBatch batch;
  for (int32_t text = 0; text < num_texts; ++text) {
    std::vector<int32_t> ids(length);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % 320);
    batch.Add({.token_ids = ids, .lsh = {.num_hashes = num_hashes}});
  }
  return batch;
}

void BM_Reformer(benchmark::State& state, DataType dtype, const std::vector<std::string>& layers) {
  if (const absl::Status supported = CheckDataTypeSupported(dtype); !supported.ok())
    return state.SkipWithError(std::string(supported.message()).c_str());
  const std::unique_ptr<EncoderModel> model = MakeModel(dtype, layers);
  const int64_t length = state.range(0);
  const int32_t num_hashes = static_cast<int32_t>(state.range(1));
  const int32_t num_texts = static_cast<int32_t>(state.range(2));
  const TokenBatch batch = RandomTexts(num_texts, length, num_hashes);
  c10::InferenceMode inference;
  ResetPeak();
  const double before = StatusMiB("VmRSS:");
  const bench::Work work =
      WorkOf(dtype, layers, num_hashes, static_cast<double>(batch.num_tokens()));
  const double passes = bench::MeasureAgainstRoofline(state, work, [&] {
    absl::StatusOr<HiddenStates> states = model->Forward(batch, {});
    if (!states.ok()) std::abort();
    benchmark::DoNotOptimize(states->Rows(0, 0, 64));
  });
  state.counters["tok/s"] = passes * static_cast<double>(batch.num_tokens());
  state.counters["peak_MiB"] = StatusMiB("VmHWM:") - before;
  state.counters["process_MiB"] = StatusMiB("VmHWM:");
}

void Shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tokens", "hashes", "texts"})
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime()
      ->UseRealTime();
  bench->Args({128, 1, 1})
      ->Args({128, 1, 32})
      ->Args({4096, 1, 1})
      ->Args({4096, 4, 1})
      ->Args({65536, 1, 1})
      ->Args({524288, 1, 1});
}

const int kRegistered = [] {
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    for (const auto& implementation : kernels::ChunkAttentionImplementations(type)) {
      for (bool lsh : {false, true}) {
        const std::string name = std::string("ChunkAttention/") + (lsh ? "lsh/" : "local/") +
                                 (type == ElementType::kFloat32 ? "float32/" : "bfloat16/") +
                                 implementation.name;
        benchmark::RegisterBenchmark(name.c_str(), BM_ChunkAttention, implementation, type, lsh)
            ->ArgNames({"tokens", "chunk", "head"})
            ->Args({4096, 64, 64})
            ->Args({262144, 64, 64})
            ->Args({16384, 256, 128})
            ->MinTime(0.2)
            ->UseRealTime();
      }
    }
  }
  benchmark::RegisterBenchmark("LshHash", BM_LshHash)
      ->ArgName("hashes")
      ->Arg(1)
      ->Arg(4)
      ->UseRealTime();
  benchmark::RegisterBenchmark("LshSort", BM_LshSort)
      ->ArgName("tokens")
      ->Arg(4096)
      ->Arg(524288)
      ->UseRealTime();
  benchmark::RegisterBenchmark("LshMerge", BM_LshMerge)
      ->ArgName("tokens")
      ->Arg(4096)
      ->Arg(524288)
      ->UseRealTime();
  const std::vector<std::string> local = {"local"}, lsh = {"lsh"};
  const std::vector<std::string> all = {"local", "lsh", "local", "lsh", "local", "lsh"};
  for (const auto& [name, dtype] : {std::pair{"float32", DataType::kFloat32},
                                    {"bfloat16", DataType::kBFloat16},
                                    {"int8", DataType::kInt8}}) {
    Shapes(benchmark::RegisterBenchmark((std::string("LocalLayer/") + name).c_str(), BM_Reformer,
                                        dtype, local));
    Shapes(benchmark::RegisterBenchmark((std::string("LshLayer/") + name).c_str(), BM_Reformer,
                                        dtype, lsh));
    Shapes(benchmark::RegisterBenchmark((std::string("Reformer/") + name).c_str(), BM_Reformer,
                                        dtype, all));
  }
  return 0;
}();

}  // namespace
}  // namespace longspan
