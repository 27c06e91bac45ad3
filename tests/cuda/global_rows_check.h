// A part of cuda_kernels_check: the averages of rows for global tokens (global_rows.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/global_rows.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/host_values.h"

namespace longspan::cuda {

struct GlobalRowsCase {
  const char* name;
  std::vector<int> lengths;  // of the texts
  std::vector<int> globals;  // of each
  int heads;
  int width;
  bool masked;
};

// A batch on the device, and what the kernel makes of it.
class GlobalRowsBatch {
 public:
  GlobalRowsBatch(const GlobalRowsCase& c, const std::vector<uint16_t>& hidden,
                  const std::vector<float>& u, const std::vector<uint8_t>& read, Storage storage)
      : texts_(TextsOf(c)),
        plan_(PlanGlobalRows(texts_, c.heads)),
        hidden_(hidden),
        u_(u),
        read_(read),
        blocks_(plan_.blocks),
        merges_(plan_.merges),
        averages_(u.size() * sizeof(float)),
        scratch_(GlobalRowsScratch(plan_.num_parts, c.width)) {
    params_.hidden = hidden_.get();
    params_.u = u_.as<float>();
    params_.read = c.masked ? read_.as<uint8_t>() : nullptr;
    params_.blocks = blocks_.as<GlobalRowsBlock>();
    params_.merges = merges_.as<GlobalRowsMerge>();
    params_.num_blocks = static_cast<int>(plan_.blocks.size());
    params_.num_merges = static_cast<int>(plan_.merges.size());
    params_.num_parts = plan_.num_parts;
    params_.num_globals = texts_.empty() ? 0 : texts_.back().global_end;
    params_.width = c.width;
    params_.averages = averages_.as<float>();
    params_.scratch = scratch_.get();
    params_.storage = storage;
  }

  static std::vector<GlobalRowsText> TextsOf(const GlobalRowsCase& c) {
    std::vector<GlobalRowsText> texts;
    int row = 0, global = 0;
    for (size_t text = 0; text < c.lengths.size(); ++text) {
      texts.push_back({row, row + c.lengths[text], global, global + c.globals[text]});
      row += c.lengths[text];
      global += c.globals[text];
    }
    return texts;
  }

  const std::vector<GlobalRowsText>& texts() const { return texts_; }
  void Run() const { Require(GlobalRowAverages(params_, nullptr), "GlobalRowAverages"); }
  std::vector<float> Averages() const {
    Run();
    return averages_.Read<float>();
  }

 private:
  const std::vector<GlobalRowsText> texts_;
  const GlobalRowsPlan plan_;
  const Device hidden_, u_, read_, blocks_, merges_, averages_, scratch_;
  GlobalRowsParams params_;
};

// `report` takes what was checked, its error and its tolerance.
using ReportFunction = std::function<void(const std::string&, double, double)>;

inline void CheckGlobalRows(std::mt19937& random, const GlobalRowsCase& c, Storage storage,
                            const ReportFunction& report) {
  const std::vector<GlobalRowsText> texts = GlobalRowsBatch::TextsOf(c);
  const int rows = texts.back().row_end, globals = texts.back().global_end;
  const int64_t width = c.width;
  Values hidden = RandomValues(random, rows * width, storage);
  std::vector<float> u = RandomFloats(random, int64_t{c.heads} * globals * width);
  for (float& x : u) x *= 3 / std::sqrt(static_cast<float>(width));
  std::vector<uint8_t> read(static_cast<size_t>(rows), 1);
  for (int row = 0; row < rows && c.masked; ++row) {
    // Of the last text nothing is read. What is not read is NaN.
    if (random() % 3 != 0 && row < texts.back().row_begin) continue;
    read[row] = 0;
    std::fill_n(hidden.stored.begin() + row * width, width, uint16_t{0x7fff});
  }
  const std::vector<float> got = GlobalRowsBatch(c, hidden.stored, u, read, storage).Averages();

  double difference = 0, norm = 0;
  std::vector<double> weights(static_cast<size_t>(rows)), sum(static_cast<size_t>(width));
  for (const GlobalRowsText& text : texts) {
    for (int query = 0; query < c.heads * (text.global_end - text.global_begin); ++query) {
      const GlobalRowsTile tile = {text.global_begin, text.global_end - text.global_begin, query,
                                   1};
      const int64_t at = GlobalRowsQuery(tile, 0, globals) * width;
      double most = -std::numeric_limits<double>::infinity(), total = 0;
      for (int row = text.row_begin; row < text.row_end; ++row) {
        double score = 0;
        for (int64_t d = 0; d < width; ++d) {
          score += double{u[at + d]} * hidden.floats[row * width + d];
        }
        weights[row] = score;
        if (read[row] != 0) most = std::fmax(most, score);
      }
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int row = text.row_begin; row < text.row_end; ++row) {
        if (read[row] == 0) continue;
        const double weight = std::exp(weights[row] - most);
        total += weight;
        for (int64_t d = 0; d < width; ++d) sum[d] += weight * hidden.floats[row * width + d];
      }
      for (int64_t d = 0; d < width; ++d) {
        const double want = total == 0 ? 0 : sum[d] / total;
        difference += (got[at + d] - want) * (got[at + d] - want);
        norm += want * want;
      }
    }
  }
  report(std::string("rows of global tokens, ") + c.name +
             (storage == Storage::kBfloat16 ? ", bf16" : ", fp16"),
         std::sqrt(difference / norm), 2e-5);

  // Each text alone, bit for bit.
  int64_t changed = 0;
  for (size_t text = 0; text < texts.size(); ++text) {
    GlobalRowsCase alone = {c.name,  {c.lengths[text]}, {c.globals[text]},
                            c.heads, c.width,           c.masked};
    const int64_t begin = texts[text].row_begin, end = texts[text].row_end;
    const int64_t size = c.globals[text] * width;
    std::vector<float> own_u;
    for (int head = 0; head < c.heads; ++head) {
      const auto first = u.begin() + (int64_t{head} * globals + texts[text].global_begin) * width;
      own_u.insert(own_u.end(), first, first + size);
    }
    const std::vector<float> own =
        GlobalRowsBatch(
            alone, {hidden.stored.begin() + begin * width, hidden.stored.begin() + end * width},
            own_u, {read.begin() + begin, read.begin() + end}, storage)
            .Averages();
    for (int head = 0; head < c.heads; ++head) {
      changed += std::memcmp(&own[head * size],
                             &got[(int64_t{head} * globals + texts[text].global_begin) * width],
                             size * sizeof(float)) != 0;
    }
  }
  report(std::string("rows of global tokens, ") + c.name + ", each text alone",
         static_cast<double>(changed), 0);
}

inline void CheckAllGlobalRows(std::mt19937& random, Storage storage,
                               const ReportFunction& report) {
  const std::vector<GlobalRowsCase> cases = {
      {"one global", {700, 1, 33, 256, 257, 3000}, {1, 1, 1, 1, 1, 1}, 12, 768, false},
      {"masked", {700, 64, 3000, 300}, {1, 2, 1, 1}, 12, 768, true},
      {"large", {500, 70}, {1, 1}, 16, 1024, false},
      {"several globals", {400, 2100}, {40, 3}, 12, 768, true},
      {"many parts", {20'000}, {1}, 4, 128, false},
      {"odd widths", {600, 31}, {2, 1}, 3, 264, true},
      {"narrow", {600, 31}, {5, 1}, 2, 8, false},
  };
  for (const GlobalRowsCase& c : cases) CheckGlobalRows(random, c, storage, report);
}

// `seconds` gives the median time of a call.
inline void MeasureGlobalRows(std::mt19937& random,
                              const std::function<double(const std::function<void()>&)>& seconds) {
  constexpr int kTokens = 65'536, kHeads = 12, kWidth = 768;
  const Values some = RandomValues(random, int64_t{1} << 20, Storage::kBfloat16);
  std::vector<uint16_t> hidden;
  while (hidden.size() < size_t{kTokens} * kWidth) {
    hidden.insert(hidden.end(), some.stored.begin(), some.stored.end());
  }
  hidden.resize(size_t{kTokens} * kWidth);
  for (const int globals : {1, 16}) {
    for (const int length : {512, 4096, kTokens}) {
      const int texts = kTokens / length;
      const GlobalRowsCase c = {
          "",   std::vector<int>(texts, length), std::vector<int>(texts, globals), kHeads, kWidth,
          false};
      std::vector<float> u = RandomFloats(random, int64_t{kHeads} * texts * globals * kWidth);
      for (float& x : u) x *= 0.1F;
      const GlobalRowsBatch batch(c, hidden, u, {}, Storage::kBfloat16);
      const double time = seconds([&] { batch.Run(); });
      std::printf(
          "TIME rows of global tokens, texts of %d, %d a text, 12 heads, 768 wide: %.3f ns a "
          "token, %.2f TB/s\n",
          length, globals, time / kTokens * 1e9, kWidth * 2.0 * kTokens / time * 1e-12);
    }
  }
}

}  // namespace longspan::cuda
