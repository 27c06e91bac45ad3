// Attention to the global tokens beyond a window, merged into what a band gave.
#include "core/cuda/kernels/global_columns.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "tests/cuda/check_sections.h"

namespace longspan::cuda {
namespace {

struct ColumnsCase {
  const char* name;
  std::vector<int> lengths;
  std::vector<std::vector<int>> globals;  // of each text, places in it
  int64_t window;
  int heads;
  int head_size;
  bool masked;
};

// The batch of a case in the card's memory. `out` and `lse` are random: any part will do.
struct ColumnsBatch {
  ColumnsBatch(std::mt19937& random, const ColumnsCase& shape, Storage type)
      : c(shape), storage(type), begins(BeginsOf(c.lengths)), width(c.heads * c.head_size) {
    cu_globals.push_back(0);
    for (size_t text = 0; text < c.globals.size(); ++text) {
      for (const int place : c.globals[text]) globals.push_back(begins[text] + place);
      cu_globals.push_back(static_cast<int>(globals.size()));
    }
    qkv = RandomValues(random, int64_t{3} * rows() * width, storage);
    out = RandomValues(random, int64_t{rows()} * width, storage);
    lse = RandomFloats(random, int64_t{rows()} * c.heads);
    read.assign(rows(), 1);
    for (int row = 0; row < rows(); ++row) {
      if (c.masked && random() % 4 == 0) read[row] = 0;
      if (row % 5 == 0) Empty(row);
    }
  }

  // As of a row that no key is in the window of.
  void Empty(int row) {
    std::fill_n(out.stored.begin() + int64_t{row} * width, width, uint16_t{0});
    std::fill_n(out.floats.begin() + int64_t{row} * width, width, 0.0F);
    const float infinity = std::numeric_limits<float>::infinity();
    for (int head = 0; head < c.heads; ++head) {
      lse[int64_t{head} * rows() + row] = row % 2 == 0 ? infinity : -infinity;
    }
  }

  int rows() const { return begins.back(); }
  float scale() const { return 1 / std::sqrt(static_cast<float>(c.head_size)); }

  const ColumnsCase& c;
  const Storage storage;
  const std::vector<int> begins;
  const int width;
  std::vector<int> globals, cu_globals;
  Values qkv, out;
  std::vector<float> lse;
  std::vector<uint8_t> read;
};

// One row and head as it must come out: [head_size], and the lse.
double WantOf(const ColumnsBatch& b, int text, int row, int head, double* out) {
  const int size = b.c.head_size;
  const float* q = &b.qkv.floats[int64_t{row} * 3 * b.width + head * size];
  const float lse = b.lse[int64_t{head} * b.rows() + row];
  double total = std::isinf(lse) ? 0 : std::exp(double{lse});
  for (int d = 0; d < size; ++d) {
    out[d] = total * b.out.floats[int64_t{row} * b.width + head * size + d];
  }
  bool changed = false;
  for (int i = b.cu_globals[text]; i < b.cu_globals[text + 1]; ++i) {
    const int global = b.globals[i];
    if (!b.read[row] || !b.read[global] || std::abs(row - global) <= b.c.window) continue;
    const float* k = &b.qkv.floats[int64_t{global} * 3 * b.width + b.width + head * size];
    double score = 0;
    for (int d = 0; d < size; ++d) score += double{q[d]} * k[d];
    const double weight = std::exp(score * b.scale());
    total += weight;
    for (int d = 0; d < size; ++d) out[d] += weight * (k + b.width)[d];
    changed = true;
  }
  if (!changed) {
    for (int d = 0; d < size; ++d) {
      out[d] = b.out.floats[int64_t{row} * b.width + head * size + d];
    }
    return lse;
  }
  for (int d = 0; d < size; ++d) out[d] /= total;
  return std::log(total);
}

void CheckColumns(std::mt19937& random, const ColumnsCase& c, Storage storage) {
  const ColumnsBatch b(random, c, storage);
  const Device qkv(b.qkv.stored), out(b.out.stored), lse(b.lse), begins(b.begins),
      globals(b.globals), cu_globals(b.cu_globals), read(b.read);
  GlobalColumnsParams p;
  p.out = out.get();
  p.lse = lse.as<float>();
  p.q = qkv.get();
  p.k = qkv.as<uint16_t>() + b.width;
  p.v = qkv.as<uint16_t>() + 2 * b.width;
  p.q_stride = p.k_stride = p.v_stride = int64_t{3} * b.width;
  p.cu_seqlens = begins.as<int32_t>();
  p.globals = globals.as<int32_t>();
  p.cu_globals = cu_globals.as<int32_t>();
  p.read = c.masked ? read.as<uint8_t>() : nullptr;
  p.num_texts = static_cast<int32_t>(c.lengths.size());
  p.num_rows = b.rows();
  p.num_heads = c.heads;
  p.head_size = c.head_size;
  p.window = c.window;
  p.scale = b.scale();
  p.storage = storage;
  Require(GlobalColumns(p, nullptr), "GlobalColumns");

  const std::vector<float> got_lse = lse.Read<float>();
  std::vector<double> want(b.out.floats.size());
  double lse_error = 0;
  int text = 0;
  for (int row = 0; row < b.rows(); ++row) {
    while (b.begins[text + 1] <= row) ++text;
    for (int head = 0; head < c.heads; ++head) {
      const double want_lse =
          WantOf(b, text, row, head, &want[int64_t{row} * b.width + head * c.head_size]);
      const double got = got_lse[int64_t{head} * b.rows() + row];
      lse_error = LargerError(lse_error, got == want_lse ? 0 : std::fabs(got - want_lse));
    }
  }
  const std::string what = std::string("global columns, ") + c.name + ", " + NameOf(storage) +
                           ", heads of " + std::to_string(c.head_size);
  Report(what, RelativeError(out.Read<uint16_t>(), want, storage), ToleranceOf(storage));
  Report(what + ", log of the sum", lse_error, 1e-4);
}

}  // namespace

void CheckGlobalColumns(std::mt19937& random, Storage storage) {
  const int64_t unlimited = std::numeric_limits<int64_t>::max();
  const std::vector<ColumnsCase> cases = {
      {"one global", {900, 300, 1, 2}, {{0}, {0}, {0}, {0}}, 100, 12, 64, false},
      {"some", {900, 300, 200}, {{0, 450, 899}, {}, {0, 5, 199}}, 64, 5, 64, true},
      {"many", {800, 500}, {Every(7, 800), Every(3, 500)}, 50, 3, 32, false},
      {"all tokens", {300, 100}, {Every(1, 300), Every(1, 100)}, 16, 3, 128, true},
      {"window 0", {200}, {Every(9, 200)}, 0, 2, 8, false},
      {"whole texts", {200, 90}, {{0}, {5}}, unlimited, 2, 64, false},
      {"odd sizes", {200, 90}, {{0, 1}, {5}}, 8, 7, 24, false},
      {"large heads", {200, 90}, {{0, 1}, {5}}, 8, 3, 256, false},
      {"large odd heads", {200, 90}, {{0, 1}, {5}}, 8, 3, 200, true},
  };
  for (const ColumnsCase& c : cases) CheckColumns(random, c, storage);
}

void MeasureGlobalColumns(const Device& values, const Device& out) {
  constexpr int kLength = 4096, kWindow = 256;
  const Device lse(std::vector<float>(size_t{kTokens} * kHeads, 1));
  for (const int globals_of_text : {1, 16, 256}) {
    std::vector<int> begins = {0}, globals, cu_globals = {0};
    for (int begin = 0; begin < kTokens; begin += kLength) {
      for (int i = 0; i < globals_of_text; ++i) globals.push_back(begin + i);
      cu_globals.push_back(static_cast<int>(globals.size()));
      begins.push_back(begin + kLength);
    }
    const Device device_begins(begins), device_globals(globals), device_cu_globals(cu_globals);
    GlobalColumnsParams p;
    p.out = out.get();
    p.lse = lse.as<float>();
    p.q = values.get();
    p.k = values.as<uint16_t>() + kWidth;
    p.v = values.as<uint16_t>() + 2 * kWidth;
    p.q_stride = p.k_stride = p.v_stride = 3 * kWidth;
    p.cu_seqlens = device_begins.as<int32_t>();
    p.globals = device_globals.as<int32_t>();
    p.cu_globals = device_cu_globals.as<int32_t>();
    p.num_texts = kTokens / kLength;
    p.num_rows = kTokens;
    p.num_heads = kHeads;
    p.head_size = kHeadSize;
    p.window = kWindow;
    p.scale = 0.125F;
    const double seconds = Seconds([&] { Require(GlobalColumns(p, nullptr), "GlobalColumns"); });
    std::printf("TIME global columns, texts of %d, window %d, %d globals: %.2f ns a token\n",
                kLength, kWindow, globals_of_text, seconds / kTokens * 1e9);
  }
}

}  // namespace longspan::cuda
