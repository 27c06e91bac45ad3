// The section "attention": windows and globals, their parts, first rows, BigBird's blocks and the
// rows of global tokens.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/attention/upload_layout.h"
#include "tests/core/backend/packed_texts.h"
#include "tests/cuda/operation_check.h"

namespace longspan {
namespace {

using Operation = OperationCheck::Operation;

struct Heads {
  int64_t all, first, taken, size;  // heads [first, first + taken) of a packed [T, 3, all, size]
};
constexpr Heads kHeads[] = {{2, 0, 2, 64},  {2, 0, 2, 32}, {4, 1, 2, 64},
                            {2, 0, 2, 128}, {2, 0, 2, 40}, {3, 2, 1, 32}};

struct Qkv {
  at::Tensor q, k, v;
};
Qkv Take(const at::Tensor& qkv, const Heads& heads) {
  const auto part = [&](int64_t which) {
    return qkv.select(1, which).slice(1, heads.first, heads.first + heads.taken);
  };
  return {part(0), part(1), part(2)};
}

// Scores of a spread of 1.7: far from even, and no row sees one key alone.
at::Tensor RandomQkv(int64_t rows, const Heads& heads, at::ScalarType type) {
  return Random({rows, 3, heads.all, heads.size}, type, 1.3);
}
double ScaleOf(const Heads& heads) { return 1 / std::sqrt(static_cast<double>(heads.size)); }

std::vector<int> Every(int step, int64_t length) {
  std::vector<int> positions;
  for (int i = 0; i < length; i += step) positions.push_back(i);
  return positions;
}

std::vector<uint8_t> Holes(int64_t length, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> read(length);
  for (uint8_t& one : read) one = random() % 4 != 0;
  return read;
}

struct AttentionCase {
  const char* name;
  std::vector<PackedText> texts;
};

constexpr int64_t kWhole = kernels::kUnlimitedWindow;

// Tiles of kernels hold 64 or 128 rows, so seams stand beside their edges.
std::vector<AttentionCase> AttentionCases() {
  return {
      {"length 1", {{1, 3}, {1, kWhole}, {1, 0, {0}}}},
      {"window 0", {{130, 0}, {70, 0, {3}}}},
      {"window 1", {{333, 1}, {70, 1, {0, 69}}}},
      {"window 15", {{200, 15}, {63, 15}, {64, 15}, {65, 15}}},
      {"window 16", {{200, 16}, {127, 16}, {128, 16}, {129, 16}}},
      {"window 17", {{200, 17}, {17, 17}, {18, 17}, {19, 17}}},
      {"window 64", {{600, 64}, {130, 64}, {1, 64}, {400, 64}}},
      {"window 256", {{700, 256}, {1, 256}, {255, 256}, {257, 256}, {513, 256}}},
      {"whole texts", {{300, kWhole}, {1, kWhole}, {65, kWhole}, {500, kWhole}}},
      {"several runs", {{300, 20, {0}}, {200, kWhole}, {300, 64, {5, 290}}, {9, 2}, {150, 20}}},
      {"globals inside the window", {{60, 64, {0, 30, 59}}, {40, 64, {20}}}},
      {"globals outside the window", {{500, 10, {0, 250, 499}}, {300, 10, {150}}}},
      {"globals of some texts", {{400, 32, {0}}, {200, 32}, {100, 32, {0, 50, 99}}, {50, 32}}},
      {"many globals", {{700, 50, Every(7, 700)}, {400, 50, Every(3, 400)}}},
      {"all tokens global", {{200, 16, Every(1, 200)}, {70, 16, Every(1, 70)}}},
      {"holes", {{300, 20, {}, Holes(300, 1)}, {100, 20}, {200, 20, {}, Holes(200, 2)}}},
      {"holes and globals", {{300, 20, {0, 100, 299}, Holes(300, 3)}, {100, 20, {7}}}},
      {"a text that is not read", {{40, 8, {2}, std::vector<uint8_t>(40, 0)}, {90, 8}}},
  };
}

void CheckWindows(const OperationCheck& check, const std::string& name, const PackedTexts& texts,
                  const Heads& heads) {
  const auto make = [&](at::ScalarType type) -> Operation {
    const at::Tensor qkv = RandomQkv(texts.num_rows(), heads, type);
    return [=](const Backend& backend, at::ScalarType stored) {
      const DeviceLayout layout = UploadLayout(backend, texts.Layout());
      const auto [q, k, v] = Take(Put(backend, qkv, stored), heads);
      return std::vector<at::Tensor>{backend.WindowAttention(q, k, v, layout, ScaleOf(heads))};
    };
  };
  check.Run(absl::StrCat("WindowAttention, ", name, ", ", heads.taken, " of ", heads.all,
                         " heads of ", heads.size),
            make);
}

// An infinite log-sum-exp of either sign means the same.
at::Tensor OneInfinity(const at::Tensor& lse) {
  const float none = -std::numeric_limits<float>::infinity();
  return at::where(lse.isinf(), at::full({}, none, lse.options()), lse).transpose(0, 1);
}

// Band, columns and their merge, apart, of the first run.
void CheckParts(const OperationCheck& check, const std::string& name, const PackedTexts& texts,
                const Heads& heads) {
  const auto make = [&](at::ScalarType type) -> Operation {
    const at::Tensor qkv = RandomQkv(texts.num_rows(), heads, type);
    return [=](const Backend& backend, at::ScalarType stored) {
      const DeviceLayout layout = UploadLayout(backend, texts.Layout());
      const WindowRun& run = layout.runs.front();
      const auto rows = [&](const at::Tensor& x) { return x.slice(0, run.row_begin, run.row_end); };
      const auto [q, k, v] = Take(Put(backend, qkv, stored), heads);
      const AttentionPart band = backend.Band(rows(q), rows(k), rows(v), run, ScaleOf(heads));
      std::vector<at::Tensor> all = {band.out, OneInfinity(band.lse)};
      if (run.with_columns.empty()) return all;
      const AttentionPart columns = backend.Columns(rows(q), rows(k), rows(v), run, ScaleOf(heads));
      const AttentionPart merged = backend.Merge(band, columns);
      for (const AttentionPart& part : {columns, merged})
        all.insert(all.end(), {part.out, OneInfinity(part.lse)});
      return all;
    };
  };
  check.Run(absl::StrCat("Band, Columns, Merge, ", name, ", heads of ", heads.size), make);
}

PackedTexts RandomTexts(uint32_t seed, int64_t longest) {
  std::mt19937 random(seed);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  std::vector<PackedText> texts;
  for (int64_t i = 1 + below(6); i > 0; --i) {
    PackedText text{.length = 1 + below(longest)};
    if (below(3) != 0) text.window = below(longest / 4);
    const int64_t one_in = 1 + below(40);
    for (int g = 0; g < text.length && below(3) != 0; ++g) {
      if (below(one_in) == 0) text.globals.push_back(g);
    }
    if (below(4) == 0) text.read = Holes(text.length, seed);
    texts.push_back(text);
  }
  return PackedTexts(texts);
}

// A text of NaN or infinities leaves every bit of its neighbours.
void CheckNeighbours(const CheckPlace& place, at::ScalarType type, const Heads& heads,
                     CheckSection& section) {
  const PackedTexts texts({{70, 40, {0}}, {200, 40, {0, 150}}, {33, 40}, {260, 40, {3}}});
  const DeviceLayout layout = UploadLayout(*place.backend, texts.Layout());
  const at::Tensor qkv = RandomQkv(texts.num_rows(), heads, type);
  const auto run = [&](const at::Tensor& values) {
    const auto [q, k, v] = Take(Put(*place.backend, values, type), heads);
    return place.backend->WindowAttention(q, k, v, layout, ScaleOf(heads)).cpu();
  };
  const at::Tensor want = run(qkv);
  for (const double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    at::Tensor spoilt = qkv.clone();
    spoilt.slice(0, 70, 270).fill_(bad);
    const at::Tensor got = run(spoilt);
    const bool same = got.slice(0, 0, 70).equal(want.slice(0, 0, 70)) &&
                      got.slice(0, 270).equal(want.slice(0, 270));
    const bool shows = !got.slice(0, 70, 270).isfinite().all().item<bool>();
    section.Require(absl::StrCat("neighbours of a text of ", bad, ", ", at::toString(type),
                                 ", heads of ", heads.size),
                    same && shows, same ? "the bad text does not show" : "a neighbour changed");
  }
}

void CheckFirstRows(const OperationCheck& check, const Heads& heads, bool masked) {
  const auto make = [&](at::ScalarType type) -> Operation {
    const std::vector<int32_t> borders = {0, 1, 1, 70, 134, 700};
    const at::Tensor qkv = RandomQkv(borders.back(), heads, type);
    const std::vector<uint8_t> mask = masked ? Holes(borders.back(), 5) : std::vector<uint8_t>();
    return [=](const Backend& backend, at::ScalarType stored) {
      const auto [q, k, v] = Take(Put(backend, qkv, stored), heads);
      return std::vector<at::Tensor>{backend.FirstRows(q, k, v, borders, mask, ScaleOf(heads))};
    };
  };
  check.Run(absl::StrCat("FirstRows, heads of ", heads.size, masked ? ", holes" : ""), make);
}

void CheckBlockSparse(const OperationCheck& check, const Heads& heads, int64_t block,
                      int64_t random_blocks) {
  std::vector<PackedText> texts;
  for (const int64_t blocks : {12, 2, 5, 3, 4}) {
    PackedText text{.length = blocks * block};
    text.read.assign(text.length, 1);
    // Padding at the end, as the model makes it.
    for (int64_t i = 0; i < block / 2 && blocks % 2 == 1; ++i) text.read[text.length - 1 - i] = 0;
    texts.push_back(text);
  }
  const PackedTexts packed(texts);
  const auto make = [&](at::ScalarType type) -> Operation {
    const at::Tensor qkv = RandomQkv(packed.num_rows(), heads, type);
    return [=](const Backend& backend, at::ScalarType stored) {
      const DeviceLayout layout = UploadLayout(backend, packed.Layout());
      const auto [q, k, v] = Take(Put(backend, qkv, stored), heads);
      return std::vector<at::Tensor>{backend.BlockSparse(
          q, k, v, layout.runs.front(), {.block_size = block, .random_blocks = random_blocks},
          ScaleOf(heads))};
    };
  };
  check.Run(absl::StrCat("BlockSparse, blocks of ", block, ", ", random_blocks,
                         " random, heads of ", heads.size),
            make);
}

void CheckGlobalRows(const OperationCheck& check, const std::string& name, const PackedTexts& texts,
                     int64_t heads, int64_t size) {
  const auto make = [&](at::ScalarType type) -> Operation {
    const int64_t width = heads * size;
    const double spread = 1 / std::sqrt(static_cast<double>(width));
    std::vector<at::Tensor> weights, biases;
    for (int i = 0; i < 3; ++i) {
      weights.push_back(Random({width, width}, type, spread));
      biases.push_back(Random({width}, type, 0.2));
    }
    const at::Tensor hidden = Random({texts.num_rows(), width}, type);
    return [=](const Backend& backend, at::ScalarType stored) {
      const auto put = [&](const at::Tensor& values) { return Put(backend, values, stored); };
      const GlobalProjections projections{put(weights[0]), put(biases[0]),  put(weights[1]),
                                          put(biases[1]),  put(weights[2]), put(biases[2])};
      const DeviceLayout layout = UploadLayout(backend, texts.Layout());
      at::Tensor out = put(at::full({texts.num_rows(), heads, size}, 7.0));
      backend.GlobalRows(put(hidden), projections, heads, layout, out);
      return std::vector<at::Tensor>{out};
    };
  };
  check.Run(absl::StrCat("GlobalRows, ", name, ", ", heads, " heads of ", size), make);
}

void CheckAllGlobalRows(const OperationCheck& check, int64_t heads, int64_t size) {
  CheckGlobalRows(check, "the first tokens", PackedTexts({{700, 9, {0}}, {1, 9, {0}}, {65, 9}}),
                  heads, size);
  CheckGlobalRows(check, "many",
                  PackedTexts({{300, 9, Every(5, 300)}, {90, 9, {3}}, {200, 9, Every(1, 200)}}),
                  heads, size);
  CheckGlobalRows(check, "holes", PackedTexts({{300, 9, {0, 7, 290}, Holes(300, 9)}, {80, 9, {0}}}),
                  heads, size);
}

}  // namespace

void CheckAttention(const CheckPlace& place, CheckSection& section) {
  const OperationCheck check(place, section);
  const bool tiny = place.options.tiny;
  for (const AttentionCase& c : AttentionCases()) {
    for (const Heads& heads : kHeads) {
      // The first two take the fastest kernels there are; a dry run is content with them.
      if (tiny && &heads - kHeads >= 2) continue;
      CheckWindows(check, c.name, PackedTexts(c.texts), heads);
    }
    CheckParts(check, c.name, PackedTexts(c.texts), kHeads[0]);
  }
  for (uint32_t seed = 1; seed <= (tiny ? 3U : 40U); ++seed) {
    const PackedTexts texts = RandomTexts(seed, tiny ? 100 : 900);
    CheckWindows(check, absl::StrCat("random batch ", seed), texts, kHeads[seed % 3]);
  }
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const Heads& heads : kHeads) {
      if (!tiny || &heads == kHeads) CheckNeighbours(place, type, heads, section);
    }
  }
  for (const Heads& heads : kHeads) {
    CheckFirstRows(check, heads, /*masked=*/false);
    CheckFirstRows(check, heads, /*masked=*/true);
  }
  for (const int64_t block : {64, 16}) {
    CheckBlockSparse(check, kHeads[0], block, 3);
    CheckBlockSparse(check, kHeads[1], block, 0);
  }
  CheckAllGlobalRows(check, 12, 64);
  CheckAllGlobalRows(check, tiny ? 2 : 12, 32);
}

}  // namespace longspan
