// Attention to a window and to global tokens.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/cuda/kernels/kernels.h"
#include "tests/cuda/check_sections.h"

namespace longspan::cuda {
namespace {

struct BandCase {
  const char* name;
  std::vector<int> lengths;
  int window;
  std::vector<std::vector<int>> globals;  // positions in each text, in order
};

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

}  // namespace

void CheckBandAttention(std::mt19937& random, Storage storage) {
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
}

void MeasureBandAttention(const Device& values, const Device& out) {
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
                            kHeadSize,
                            window,
                            0.125F,
                            Storage::kBfloat16};
      const double alone = Seconds([&] { Require(BandAttention(p, nullptr), "BandAttention"); });
      p.global_begin = device_begin.as<int>();
      const double with = Seconds([&] { Require(BandAttention(p, nullptr), "BandAttention"); });
      const double keys = std::min<double>(length, 2.0 * window + 1);
      std::printf(
          "TIME band attention, texts of %d, window %d: %.2f ns a token, %.0f TFLOP/s; with one "
          "global %.2f ns\n",
          length, window, alone / kTokens * 1e9,
          4 * keys * kHeads * kHeadSize * kTokens / alone * 1e-12, with / kTokens * 1e9);
    }
  }
}

}  // namespace longspan::cuda
