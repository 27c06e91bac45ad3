// cuda_kernels_check: runs the kernels of core/cuda/kernels on the card and compares them with
// plain loops in float64, over shapes that reach each of their branches; then measures them.
//   cuda_kernels_check [--no-times]
// Prints PASS or FAIL a case. Exit code 0 = all passed, 1 = a case failed or there is no card to
// run them on, which one line says.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/cuda/kernels/kernels.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/host_values.h"

namespace longspan::cuda {
namespace {

int failures = 0;

const char* NameOf(Storage storage) { return storage == Storage::kBfloat16 ? "bf16" : "fp16"; }
// What rounding the result alone may cost, relative to the norm, with room for inputs that are
// rounded on the way (the weights of values).
double ToleranceOf(Storage storage) { return storage == Storage::kBfloat16 ? 5e-3 : 7e-4; }

// |got - want| / |want|; NaN where a value was not written.
double RelativeError(const std::vector<uint16_t>& got, const std::vector<double>& want,
                     Storage storage) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = FromStorage(got[i], storage) - want[i];
    difference += d * d;
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / norm);
}

void Report(const std::string& what, double error, double tolerance) {
  const bool passed = error <= tolerance;  // not for NaN
  if (!passed) ++failures;
  std::printf("%s %s: %.1e (at most %.1e)\n", passed ? "PASS" : "FAIL", what.c_str(), error,
              tolerance);
}

struct BandCase {
  const char* name;
  std::vector<int> lengths;
  int window;
  std::vector<std::vector<int>> globals;  // positions in each text, in order
};

std::vector<int> Every(int step, int length) {
  std::vector<int> positions;
  for (int i = 0; i < length; i += step) positions.push_back(i);
  return positions;
}

// First rows of the texts, and the number of all rows.
std::vector<int> BeginsOf(const std::vector<int>& lengths) {
  std::vector<int> begins = {0};
  for (const int length : lengths) begins.push_back(begins.back() + length);
  return begins;
}

// What BandAttention makes of `qkv`; `lse` may be null.
std::vector<uint16_t> BandOutput(const std::vector<uint16_t>& qkv, const BandCase& c,
                                 Storage storage, int heads, int size, std::vector<float>* lse) {
  const std::vector<int> begins = BeginsOf(c.lengths);
  const int tokens = begins.back();
  std::vector<int> global_begin = {0}, globals;
  for (size_t text = 0; text < c.globals.size(); ++text) {
    for (const int position : c.globals[text]) globals.push_back(begins[text] + position);
    global_begin.push_back(static_cast<int>(globals.size()));
  }
  const std::vector<BandBlock> blocks = BlocksOfTexts(c.lengths);
  const Device device_qkv(qkv), device_blocks(blocks), device_begin(global_begin),
      device_globals(globals);
  const Device out(sizeof(uint16_t) * tokens * heads * size), sums(sizeof(float) * heads * tokens);
  BandAttentionParams params;
  params.qkv = device_qkv.get();
  params.out = out.get();
  params.lse = sums.as<float>();
  params.blocks = device_blocks.as<BandBlock>();
  params.num_blocks = static_cast<int>(blocks.size());
  params.global_begin = c.globals.empty() ? nullptr : device_begin.as<int>();
  params.globals = device_globals.as<int>();
  params.tokens = tokens;
  params.heads = heads;
  params.head_size = size;
  params.window = c.window;
  params.scale = 1 / std::sqrt(static_cast<float>(size));
  params.storage = storage;
  Require(BandAttention(params, nullptr), "BandAttention");
  if (lse != nullptr) *lse = sums.Read<float>();
  return out.Read<uint16_t>();
}

// A text that holds infinities or NaNs must not change a bit of the texts beside it.
void CheckNeighbours(std::mt19937& random, Storage storage, int size) {
  const BandCase c = {"a spoilt neighbour", {70, 200, 33, 500}, 100, {{0}, {0, 150}, {}, {3}}};
  const std::vector<int> begins = BeginsOf(c.lengths);
  const int heads = 2, row = 3 * heads * size;
  const Values qkv = RandomValues(random, int64_t{begins.back()} * row, storage);
  const std::vector<uint16_t> want = BandOutput(qkv.stored, c, storage, heads, size, nullptr);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (size_t text = 0; text < c.lengths.size(); ++text) {
      std::vector<uint16_t> spoilt = qkv.stored;
      std::fill(spoilt.begin() + int64_t{begins[text]} * row,
                spoilt.begin() + int64_t{begins[text + 1]} * row, ToStorage(bad, storage));
      const std::vector<uint16_t> got = BandOutput(spoilt, c, storage, heads, size, nullptr);
      int64_t changed = 0;
      for (int64_t i = 0; i < static_cast<int64_t>(want.size()); ++i) {
        const int64_t token = i / (row / 3);
        const bool is_spoilt = token >= begins[text] && token < begins[text + 1];
        changed += !is_spoilt && got[i] != want[i];
      }
      Report("band attention beside text " + std::to_string(text) + " of " + std::to_string(bad) +
                 ", " + NameOf(storage) + ", heads of " + std::to_string(size),
             static_cast<double>(changed), 0);
    }
  }
}

void CheckBand(std::mt19937& random, const BandCase& c, Storage storage, int heads, int size) {
  const std::vector<int> begins = BeginsOf(c.lengths);
  const int tokens = begins.back();
  const int64_t row = int64_t{3} * heads * size;
  const float scale = 1 / std::sqrt(static_cast<float>(size));
  const Values qkv = RandomValues(random, tokens * row, storage);
  std::vector<float> got_lse;
  const std::vector<uint16_t> got = BandOutput(qkv.stored, c, storage, heads, size, &got_lse);

  std::vector<double> want(tokens * row / 3);
  double lse_error = 0;
  for (size_t text = 0; text < c.lengths.size(); ++text) {
    std::vector<char> is_global(c.lengths[text]);
    if (!c.globals.empty()) {
      for (const int position : c.globals[text]) is_global[position] = 1;
    }
    for (int head = 0; head < heads; ++head) {
      for (int i = 0; i < c.lengths[text]; ++i) {
        const float* q = &qkv.floats[(begins[text] + i) * row + head * size];
        double* o = &want[(begins[text] + i) * row / 3 + head * size];
        double sum = 0;
        for (int j = 0; j < c.lengths[text]; ++j) {
          if (std::abs(i - j) > c.window && !is_global[j]) continue;
          const float* k = &qkv.floats[(begins[text] + j) * row + (heads + head) * size];
          const float* v = k + heads * size;
          float score = 0;
          for (int d = 0; d < size; ++d) score += q[d] * k[d];
          const double weight = std::exp(static_cast<double>(score * scale));
          sum += weight;
          for (int d = 0; d < size; ++d) o[d] += weight * v[d];
        }
        for (int d = 0; d < size; ++d) o[d] /= sum;
        const double difference =
            got_lse[int64_t{head} * tokens + begins[text] + i] - std::log(sum);
        lse_error =
            std::isnan(difference) ? difference : std::fmax(lse_error, std::fabs(difference));
        if (std::isnan(lse_error)) break;
      }
    }
  }
  const std::string what = std::string("band attention, ") + c.name + ", " + NameOf(storage) +
                           ", heads of " + std::to_string(size);
  Report(what, RelativeError(got, want, storage), ToleranceOf(storage));
  Report(what + ", log of the sum", lse_error, 1e-4);
}

void CheckRows(std::mt19937& random, Storage storage, int64_t rows, int width) {
  const std::string shape =
      std::to_string(rows) + " x " + std::to_string(width) + ", " + NameOf(storage);
  const Values x = RandomValues(random, rows * width, storage, 2),
               residual = RandomValues(random, rows * width, storage),
               bias = RandomValues(random, width, storage);
  const std::vector<float> gamma = RandomFloats(random, width), beta = RandomFloats(random, width);
  const Device device_bias(bias.stored), device_gamma(gamma), device_beta(beta);
  std::vector<double> want(rows * width);
  {
    const Device values(x.stored);
    Require(AddBiasGelu(values.get(), device_bias.get(), rows, width, storage, nullptr),
            "AddBiasGelu");
    for (int64_t i = 0; i < rows * width; ++i) {
      const double sum = double{x.floats[i]} + bias.floats[i % width];
      want[i] = 0.5 * sum * std::erfc(-sum / std::sqrt(2.0));
    }
    Report("bias and GELU, " + shape, RelativeError(values.Read<uint16_t>(), want, storage),
           ToleranceOf(storage));
  }
  if (width > kMaxNormWidth) return;
  auto normalize = [&](const std::function<double(int64_t, int)>& in) {
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0, squares = 0;
      for (int d = 0; d < width; ++d) mean += in(r, d) / width;
      for (int d = 0; d < width; ++d) squares += (in(r, d) - mean) * (in(r, d) - mean) / width;
      for (int d = 0; d < width; ++d) {
        want[r * width + d] = (in(r, d) - mean) / std::sqrt(squares + 1e-5) * gamma[d] + beta[d];
      }
    }
  };
  {
    const Device values(x.stored), beside(residual.stored), out(x.stored.size() * 2);
    Require(AddBiasResidualNorm(values.get(), device_bias.get(), beside.get(),
                                device_gamma.as<float>(), device_beta.as<float>(), 1e-5F, out.get(),
                                rows, width, storage, nullptr),
            "AddBiasResidualNorm");
    normalize([&](int64_t r, int d) {
      return double{x.floats[r * width + d]} + residual.floats[r * width + d] + bias.floats[d];
    });
    Report("bias, residual and LayerNorm, " + shape,
           RelativeError(out.Read<uint16_t>(), want, storage), ToleranceOf(storage));
  }
  {
    std::vector<int> ids(rows), positions(rows);
    for (int64_t r = 0; r < rows; ++r)
      ids[r] = static_cast<int>(random() % rows), positions[r] = static_cast<int>(random() % rows);
    const Device words(x.stored), table(residual.stored), device_ids(ids),
        device_positions(positions), out(x.stored.size() * 2);
    Require(EmbedNorm(device_ids.as<int>(), device_positions.as<int>(), words.get(), table.get(),
                      device_bias.get(), device_gamma.as<float>(), device_beta.as<float>(), 1e-5F,
                      out.get(), rows, width, storage, nullptr),
            "EmbedNorm");
    normalize([&](int64_t r, int d) {
      return double{x.floats[int64_t{ids[r]} * width + d]} +
             residual.floats[int64_t{positions[r]} * width + d] + bias.floats[d];
    });
    Report("embeddings and LayerNorm, " + shape, RelativeError(out.Read<uint16_t>(), want, storage),
           ToleranceOf(storage));
  }
}

// Median seconds of `run`, by the device's events.
double Seconds(const std::function<void()>& run) {
  cudaEvent_t begin, end;
  Require(cudaEventCreate(&begin), "cudaEventCreate");
  Require(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times(20);
  for (int i = 0; i < 3; ++i) run();
  for (float& time : times) {
    Require(cudaEventRecord(begin), "cudaEventRecord");
    run();
    Require(cudaEventRecord(end), "cudaEventRecord");
    Require(cudaEventSynchronize(end), "a kernel");
    Require(cudaEventElapsedTime(&time, begin, end), "cudaEventElapsedTime");
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1e-3;
}

void Measure(std::mt19937& random) {
  constexpr int kTokens = 65'536, kHeads = 12, kSize = 64;
  const Storage storage = Storage::kBfloat16;
  // Random numbers repeat; what they are does not matter, that they are not zeros does.
  Values some = RandomValues(random, int64_t{1} << 20, storage);
  std::vector<uint16_t> stored;
  while (stored.size() < size_t{kTokens} * 3072)
    stored.insert(stored.end(), some.stored.begin(), some.stored.end());
  stored.resize(size_t{kTokens} * 3072);
  const Device values(stored), out(size_t{kTokens} * 768 * 2), ones(std::vector<float>(3072, 1));
  for (const int length : {128, 512, 4096, 65'536}) {
    for (const int window : {64, 256, kBandMaxWindow}) {
      if (window > length && length > 4096) continue;
      std::vector<int> begin, globals;
      for (int text = 0; text <= kTokens / length; ++text) begin.push_back(text);
      for (int text = 0; text < kTokens / length; ++text) globals.push_back(text * length);
      const std::vector<BandBlock> blocks =
          BlocksOfTexts(std::vector<int>(kTokens / length, length));
      const Device device_blocks(blocks), device_begin(begin), device_globals(globals);
      BandAttentionParams p{values.get(),
                            out.get(),
                            nullptr,
                            device_blocks.as<BandBlock>(),
                            static_cast<int>(blocks.size()),
                            nullptr,
                            device_globals.as<int>(),
                            kTokens,
                            kHeads,
                            kSize,
                            window,
                            0.125F,
                            storage};
      const double alone = Seconds([&] { Require(BandAttention(p, nullptr), "BandAttention"); });
      p.global_begin = device_begin.as<int>();
      const double with = Seconds([&] { Require(BandAttention(p, nullptr), "BandAttention"); });
      const double keys = std::min<double>(length, 2.0 * window + 1);
      std::printf(
          "TIME band attention, texts of %d, window %d: %.2f ns a token, %.0f TFLOP/s; with one "
          "global %.2f ns\n",
          length, window, alone / kTokens * 1e9,
          4 * keys * kHeads * kSize * kTokens / alone * 1e-12, with / kTokens * 1e9);
    }
  }
  const double gelu = Seconds([&] {
    Require(AddBiasGelu(values.get(), out.get(), kTokens, 3072, storage, nullptr), "AddBiasGelu");
  });
  std::printf("TIME bias and GELU, 3,072 wide: %.2f ns a row, %.2f TB/s\n", gelu / kTokens * 1e9,
              3072 * 4.0 * kTokens / gelu * 1e-12);
  const double norm = Seconds([&] {
    Require(AddBiasResidualNorm(values.get(), ones.get(),
                                values.as<uint16_t>() + size_t{kTokens} * 768, ones.as<float>(),
                                ones.as<float>(), 1e-5F, out.get(), kTokens, 768, storage, nullptr),
            "AddBiasResidualNorm");
  });
  std::printf("TIME bias, residual and LayerNorm, 768 wide: %.2f ns a row, %.2f TB/s\n",
              norm / kTokens * 1e9, 768 * 6.0 * kTokens / norm * 1e-12);
}

int Run(bool times) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no CUDA device to check the kernels on: %s\n",
                error != cudaSuccess ? cudaGetErrorString(error) : "the driver lists none");
    return 1;
  }
  cudaDeviceProp properties;
  Require(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("%s, compute capability %d.%d\n", properties.name, properties.major,
              properties.minor);
  std::mt19937 random(1);
  for (const Storage storage : {Storage::kBfloat16, Storage::kFloat16}) {
    if (properties.major == 9) {
      const std::vector<BandCase> cases = {
          {"window 256", {700, 1, 63, 64, 65, 127, 129, 2}, 256, {}},
          {"window 64", {600, 130, 1, 400}, 64, {}},
          {"window 1", {333, 70}, 1, {}},
          {"window 0", {200}, 0, {}},
          {"window 17", {500, 129}, 17, {}},
          {"whole texts", {700, 300, 1, 1000}, kBandMaxWindow, {}},
          {"few globals", {900, 300, 200}, 100, {{0}, {0, 5, 299}, {}}},
          {"many globals", {800, 500}, 50, {Every(7, 800), Every(3, 500)}},
          {"all tokens global", {300, 100}, 16, {Every(1, 300), Every(1, 100)}},
      };
      for (const BandCase& c : cases) {
        CheckBand(random, c, storage, 3, 64);
        CheckBand(random, c, storage, 2, 32);
      }
      CheckNeighbours(random, storage, 64);
      CheckNeighbours(random, storage, 32);
    } else {
      std::printf("band attention needs compute capability 9.0: not checked\n");
    }
    for (const int width : {8, 256, 384, 520, 768, 1024, 2048, 3072}) {
      for (const int64_t rows : {1, 3, 1001}) CheckRows(random, storage, rows, width);
    }
  }
  if (failures == 0 && times && properties.major == 9) Measure(random);
  std::printf(failures == 0 ? "all checks passed\n" : "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace longspan::cuda

int main(int argc, char** argv) {
  const bool times = argc < 2 || std::strcmp(argv[1], "--no-times") != 0;
  return longspan::cuda::Run(times);
}
