// throughput_worker MODEL DTYPE THREADS [DEVICE]
//
// DTYPE and DEVICE are those of longspan-server; without DEVICE it is the CPU. Loads a model and
// prints "ready", or "refused REASON". Then it answers each line "LENGTH TEXTS" with "SECONDS
// PEAK_MIB VALUE...": it encodes one packed batch of TEXTS random texts of LENGTH tokens with mean
// pooling. The values are the vector of the first text, by which compare.py sees that all engines
// computed the same thing. PEAK_MIB is of the host's memory, whatever the device.
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "core/backend/open_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/encoder.h"
#include "core/runtime/runtime_environment.h"

namespace longspan {
namespace {

// The peak of the resident set since the last call, in MiB.
double TakePeakMib() {
  double mib = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) mib = std::stod(line.substr(6)) / 1024;
  }
  std::ofstream("/proc/self/clear_refs") << "5";
  return mib;
}

// Random ids in 3 .. vocabulary - 1, by a linear congruential generator (Numerical Recipes, 7.1).
// engine_worker.py draws the same ones.
std::vector<int32_t> RandomIds(int64_t count, int64_t vocabulary, uint32_t state) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids)
    id = 3 +
         static_cast<int32_t>(((state = state * 1664525u + 1013904223u) >> 8) % (vocabulary - 3));
  return ids;
}

int Serve(const Encoder& encoder) {
  const ModelInfo& info = encoder.info();
  std::cout << "ready" << std::endl;
  for (int64_t length, texts; std::cin >> length >> texts;) {
    TokenBatch batch;
    for (int64_t text = 0; text < texts; ++text) {
      const auto ids = RandomIds(length, info.vocab_size, static_cast<uint32_t>(text + 1));
      const auto globals = ResolveGlobalPositions(info, std::nullopt, {}, length);
      batch.Add({.token_ids = ids, .global_positions = globals});
    }
    EncodeOptions wanted;
    // Of all tokens: with cls the last layer would skip most rows.
    wanted.pooling = PoolingMode::kMean;
    wanted.normalize = false;
    const std::vector<EncodeOptions> options(texts, wanted);
    TakePeakMib();
    const auto start = std::chrono::steady_clock::now();
    const auto results = encoder.Encode(batch, options);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double peak = TakePeakMib();
    for (const auto& result : results) {
      if (!result.ok()) return std::cerr << result.status() << "\n", 1;
    }
    std::cout << seconds << " " << peak;
    for (const float value : results[0]->vector) std::cout << " " << value;
    std::cout << std::endl;
  }
  return 0;
}

absl::StatusOr<std::unique_ptr<Encoder>> Load(const std::string& model, const std::string& dtype,
                                              int threads, const std::string& device) {
  const auto folder = ModelFolder::Open(model);
  if (!folder.ok()) return folder.status();
  const auto backend = OpenBackend(device);
  if (!backend.ok()) return backend.status();
  const auto type = ResolveDataType(dtype, *folder, backend->get());
  if (!type.ok()) return type.status();
  return Encoder::Load(*folder, {.dtype = *type, .num_threads = threads, .backend = *backend});
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  longspan::EnterRuntimeEnvironment(argv);
  if (argc != 4 && argc != 5)
    return std::cerr << "usage: throughput_worker MODEL DTYPE THREADS [DEVICE]\n", 2;
  const auto encoder =
      longspan::Load(argv[1], argv[2], std::stoi(argv[3]), argc == 5 ? argv[4] : "cpu");
  if (!encoder.ok()) return std::cout << "refused " << encoder.status().message() << std::endl, 1;
  return longspan::Serve(**encoder);
}
