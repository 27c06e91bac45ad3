// The encoder without a server, for load.py, which compares it with the server under the same load.
//
//   bare_encoder MODEL DTYPE THREADS LENGTHS TEXTS [DEVICE]
//
// DTYPE and DEVICE are those of longspan-server; without DEVICE it is the CPU.
// Each line "SECONDS" on stdin asks it to encode packed batches, one after the other, for so many
// seconds. A batch holds TEXTS texts, whose lengths are drawn as `longspan bench --lengths LENGTHS`
// draws them. The answer is "TOKENS SECONDS": what was encoded, and how long that took.
#include <chrono>
#include <iostream>
#include <random>
#include <string>

#include "client/length_mix.h"
#include "core/backend/open_backend.h"
#include "core/checkpoint/model_folder.h"
#include "core/encoder.h"

namespace longspan {
namespace {

TokenBatch RandomBatch(const ModelInfo& info, const LengthMix& lengths, int texts,
                       std::mt19937_64* random) {
  TokenBatch batch;
  for (int text = 0; text < texts; ++text) {
    std::vector<int32_t> ids(lengths.Draw(info.max_tokens, random));
    for (int32_t& id : ids)
      id = 3 + static_cast<int32_t>((*random)() % static_cast<uint64_t>(info.vocab_size - 3));
    const auto globals =
        ResolveGlobalPositions(info, std::nullopt, {}, static_cast<int64_t>(ids.size()));
    batch.Add({.token_ids = ids, .global_positions = globals});
  }
  return batch;
}

int Serve(const Encoder& encoder, const LengthMix& lengths, int texts) {
  using Clock = std::chrono::steady_clock;
  std::mt19937_64 random(1);
  const std::vector<EncodeOptions> options(texts);
  std::cout << "ready" << std::endl;
  for (double seconds = 0; std::cin >> seconds;) {
    int64_t tokens = 0;
    double encoding = 0;  // seconds; the time to make the texts does not count
    while (encoding < seconds) {
      const TokenBatch batch = RandomBatch(encoder.info(), lengths, texts, &random);
      const auto start = Clock::now();
      for (const auto& result : encoder.Encode(batch, options)) {
        if (!result.ok()) return std::cerr << result.status() << "\n", 1;
      }
      encoding += std::chrono::duration<double>(Clock::now() - start).count();
      tokens += batch.num_tokens();
    }
    std::cout << tokens << " " << encoding << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7)
    return std::cerr << "usage: bare_encoder MODEL DTYPE THREADS LENGTHS TEXTS [DEVICE]\n", 2;
  const auto folder = longspan::ModelFolder::Open(argv[1]);
  if (!folder.ok()) return std::cerr << folder.status() << "\n", 1;
  const auto backend = longspan::OpenBackend(argc == 7 ? argv[6] : "cpu");
  if (!backend.ok()) return std::cerr << backend.status() << "\n", 1;
  const auto dtype = longspan::ResolveDataType(argv[2], *folder, backend->get());
  if (!dtype.ok()) return std::cerr << dtype.status() << "\n", 2;
  const auto lengths = longspan::LengthMix::Parse(argv[4]);
  if (!lengths.ok()) return std::cerr << lengths.status() << "\n", 2;
  const auto encoder = longspan::Encoder::Load(
      *folder, {.dtype = *dtype, .num_threads = std::stoi(argv[3]), .backend = *backend});
  if (!encoder.ok()) return std::cerr << encoder.status() << "\n", 1;
  if (const absl::Status status = (*encoder)->WarmUp(); !status.ok())
    return std::cerr << status << "\n", 1;
  return longspan::Serve(**encoder, *lengths, std::stoi(argv[5]));
}
