// Reformer with the geometry of crime-and-punishment (6 layers local/lsh, E 256, 2 heads of 64, ffn 512, chunks of 64 + 64
// before, axial [512, 1024]) and random weights: tokens a second of one text, and the peak of the resident set beyond what was
// there before.
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "core/models/model_folder.h"
#include "core/models/reformer/model.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

// A line of /proc/self/status, in MiB.
double StatusMiB(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return std::stod(line.substr(key.size())) / 1024;
  }
  return 0;
}

// Forgets the peak so far.
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

nlohmann::json Config() {
  return {{"model_type", "reformer"},
          {"attn_layers", {"local", "lsh", "local", "lsh", "local", "lsh"}},
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
  void Write(const std::string& folder) {
    std::map<std::string, StoredTensor> tensors;
    for (const auto& [name, values] : values_)
      tensors[name] = {.type = StoredType::kF32, .shape = shapes_[name], .data = std::as_bytes(std::span(values))};
    const absl::Status status = WriteSafetensors(folder + "/model.safetensors", tensors);
    if (!status.ok()) std::abort();
    std::ofstream(folder + "/config.json") << Config();
  }

 private:
  std::mt19937 random_{1};
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, std::vector<int64_t>> shapes_;
};

std::unique_ptr<EncoderModel> MakeModel(DataType dtype) {
  RandomCheckpoint checkpoint;
  checkpoint.Add("embeddings.word_embeddings.weight", {320, 256}, 1.0f);
  checkpoint.Add("embeddings.position_embeddings.weights.0", {512, 1, 64}, 1.0f);
  checkpoint.Add("embeddings.position_embeddings.weights.1", {1, 1024, 192}, 1.0f);
  for (int i = 0; i < 6; ++i) {
    const std::string layer = "encoder.layers." + std::to_string(i) + ".";
    checkpoint.AddNorm(layer + "attention.layer_norm", 256);
    for (const std::string& name :
         i % 2 ? std::vector<std::string>{"query_key", "value"} : std::vector<std::string>{"query", "key", "value"}) {
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
  checkpoint.Write(folder);
  absl::StatusOr<ModelFolder> opened = ModelFolder::Open(folder);
  auto model = opened.ok() ? LoadReformer(*opened, dtype) : opened.status();
  std::filesystem::remove_all(folder);
  if (!model.ok()) std::abort();
  return *std::move(model);
}

void BM_Reformer(benchmark::State& state, DataType dtype) {
  const std::unique_ptr<EncoderModel> model = MakeModel(dtype);
  const int64_t length = state.range(0);
  const int32_t num_hashes = static_cast<int32_t>(state.range(1)), num_texts = static_cast<int32_t>(state.range(2));
  std::mt19937 random(2);
  TokenBatch batch;
  for (int32_t text = 0; text < num_texts; ++text) {
    std::vector<int32_t> ids(length);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % 320);
    batch.Add({.token_ids = ids, .lsh = {.num_hashes = num_hashes}});
  }
  c10::InferenceMode inference;
  if (length < 100000 && !model->Forward(batch, {}).ok()) std::abort();  // lazy set-up and the first kernels of each shape
  ResetPeak();
  const double before = StatusMiB("VmRSS:");
  for (auto _ : state) {
    absl::StatusOr<HiddenStates> states = model->Forward(batch, {});
    if (!states.ok()) std::abort();
    benchmark::DoNotOptimize(states->Rows(0, 0, 64));
  }
  state.counters["tok/s"] =
      benchmark::Counter(static_cast<double>(batch.num_tokens() * state.iterations()), benchmark::Counter::kIsRate);
  state.counters["peak_MiB"] = StatusMiB("VmHWM:") - before;
  state.counters["process_MiB"] = StatusMiB("VmHWM:");
}

void Shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tokens", "hashes", "texts"})->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
  bench->Args({128, 1, 1})->Args({128, 1, 32})->Args({4096, 1, 1})->Args({4096, 4, 1})->Args({65536, 1, 1})->Args({524288, 1, 1});
}
BENCHMARK_CAPTURE(BM_Reformer, float32, DataType::kFloat32)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_Reformer, bfloat16, DataType::kBFloat16)->Apply(Shapes);

}  // namespace
}  // namespace longspan
